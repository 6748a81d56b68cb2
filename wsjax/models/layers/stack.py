"""Dense layers with ReLU between them, the head of most readers; and dropout, whose rate may be traced."""

from itertools import pairwise

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from wsjax.models.layers.draws import linear
from wsjax.typing import Key, Scalar


def dropout(x: Array, key: Key | None, rate: Float[ArrayLike, ""] | float, *, index: int) -> Array:
    """Drop whole channels (the last axis) with probability `rate` and divide the rest by 1 - rate.

    The same channels go at every position of one network, so equivariance holds. Without a key: the identity.

    Example:
        >>> dropout(jnp.ones(2), None, 0.5, index=0).tolist()
        [1.0, 1.0]
    """
    if key is None:
        return x
    keep = 1 - jnp.asarray(rate, x.dtype)
    mask = jax.random.bernoulli(jax.random.fold_in(key, index), keep, x.shape[-1:])
    factor = jnp.where(mask, 1 / jnp.maximum(keep, 1e-6), jnp.zeros_like(keep))
    return x * factor.reshape((1,) * (x.ndim - 1) + (-1,))


class Stack(eqx.Module):
    """Dense layers with ReLU and dropout between them."""

    layers: tuple[eqx.nn.Linear, ...]

    def __init__(self, inputs: int, outputs: int, width: int, depth: int, *, key: Key):
        sizes = [inputs, *[width] * depth, outputs]
        pairs = pairwise(sizes)
        self.layers = tuple(linear(a, b, key=jax.random.fold_in(key, i)) for i, (a, b) in enumerate(pairs))

    @property
    def dtype(self) -> np.dtype:
        """What it computes in."""
        return self.layers[0].weight.dtype

    def __call__(self, x: Array, *, key: Key | None = None, dropout_rate: Scalar = 0.0) -> Array:
        for i, layer in enumerate(self.layers[:-1]):
            x = dropout(jax.nn.relu(layer(x)), key, dropout_rate, index=i)
        return self.layers[-1](x)
