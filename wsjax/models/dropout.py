"""Dropout of channels, with a rate that may be traced, so that runs with different rates train side by side."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from wsjax.typing import Key


def dropout(x: Array, key: Key | None, rate: Float[ArrayLike, ""] | float, *, salt: int) -> Array:
    """Drop whole channels (the last axis) with probability `rate` and divide the rest by 1 - rate.

    The same channels go at every position of one network, so equivariance holds. Without a key: the identity.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> dropout(jnp.ones(2), None, 0.5, salt=0).tolist()
        [1.0, 1.0]
    """
    if key is None:
        return x
    keep = 1 - jnp.asarray(rate, x.dtype)
    mask = jax.random.bernoulli(jax.random.fold_in(key, salt), keep, x.shape[-1:])
    factor = jnp.where(mask, 1 / jnp.maximum(keep, 1e-6), jnp.zeros_like(keep))
    return x * factor.reshape((1,) * (x.ndim - 1) + (-1,))
