from collections.abc import Iterator

import jax
import pytest


@pytest.fixture
def plain_jax() -> Iterator[None]:
    """JAX as users have it: Flax promotes dtypes and ranks."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield
