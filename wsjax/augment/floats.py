"""What perturbations change of a network, its floating-point arrays, and the type to compute one of them in."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike

from wsjax.typing import Weights


def floating(leaf: ArrayLike) -> bool:
    return jnp.issubdtype(jnp.asarray(leaf).dtype, jnp.floating)


def wide(leaf: Array) -> np.dtype:
    """The dtype to compute a leaf in: at least float32, so that half types round once."""
    return np.promote_types(leaf.dtype, np.float32)  # JAX's own refuses under strict promotion


def widened(leaf: ArrayLike, like: Array | None = None) -> Array:
    """A leaf in the dtype to compute it in, or to compute another in."""
    leaf = jnp.asarray(leaf)
    return leaf.astype(wide(leaf if like is None else like))


def floats_of(weights: Weights) -> list[Array]:
    return [jnp.asarray(leaf) for leaf in jax.tree.leaves(weights) if floating(leaf)]


def with_floats(weights: Weights, floats: list[Array]) -> Weights:
    """The weights with other floating leaves, in order."""
    others = iter(floats)
    return jax.tree.map(lambda leaf: next(others) if floating(leaf) else jnp.asarray(leaf), weights)
