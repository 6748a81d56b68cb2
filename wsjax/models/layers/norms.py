"""Norms that need no batch: each network is normed by its own numbers, the same at training and at evaluation.

A statistic over channels, or over all entries of an array, is the same whatever the order of neurons, and what is
learned has one number for each channel; so all of them keep equivariance. They take features, (*groups, channels),
of which `feature_layout.lift` makes those of a network, and compute in float32 at least.
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from wsjax.errors import check_number
from wsjax.floats import widened

EPSILON = 1e-5
"""What is added to a mean square before its root is divided by."""


class LayerNorm(eqx.Module):
    """Each position's channels, centered and divided by their deviation:

        y = gain * (x - mean) / sqrt(variance + 1e-5) + offset,    mean and variance over the channels of one position

    **Preserves** equivariance under permutations.

    Raises:
        ValueError: fewer than two channels, which leave nothing of a position.

    Source: Ba et al., arXiv 1607.06450; on weights the norms of arXiv 2302.14040, for each array apart.

    Example:
        >>> LayerNorm(2)(jnp.array([[1.0, 3.0], [0.0, 4.0]])).round(2).tolist()
        [[-1.0, 1.0], [-1.0, 1.0]]
    """

    gain: Array
    offset: Array

    def __init__(self, channels: int):
        check_number("channels of a layer norm", channels, low=2, integer=True)
        self.gain, self.offset = jnp.ones(channels), jnp.zeros(channels)

    def __call__(self, x: Float[Array, "*groups channels"]) -> Float[Array, "*groups channels"]:
        wide = widened(x)
        centered = wide - jnp.mean(wide, axis=-1, keepdims=True)
        return _along(self.gain, _unit(centered, -1), self.offset).astype(x.dtype)


class RMSNorm(eqx.Module):
    """Each position's channels, divided by their root mean square:

        y = gain * x / sqrt(mean(x^2) + 1e-5),    the mean over the channels of one position

    **Preserves** equivariance under permutations, and under signs, as it is odd in x. Rescalings it takes away.

    Raises:
        ValueError: no channel.

    Source: Zhang and Sennrich, arXiv 1910.07467.

    Example:
        >>> RMSNorm(2)(jnp.array([[3.0, -3.0], [0.5, 0.5]])).round(2).tolist()
        [[1.0, -1.0], [1.0, 1.0]]
    """

    gain: Array

    def __init__(self, channels: int):
        check_number("channels of a norm", channels, low=1, integer=True)
        self.gain = jnp.ones(channels)

    def __call__(self, x: Float[Array, "*groups channels"]) -> Float[Array, "*groups channels"]:
        return _along(self.gain, _unit(widened(x), -1), jnp.zeros_like(self.gain)).astype(x.dtype)


class ArrayNorm(eqx.Module):
    """All of an array, divided by its root mean square:

        y = gain * x / sqrt(mean(x^2) + 1e-5) + offset,    the mean over all positions and channels

    Neurons keep their sizes relative to each other, which the norms of single positions take away.

    **Preserves** equivariance under permutations.

    Raises:
        ValueError: no channel.

    Source: the group norm of Wu and He, arXiv 1803.08494, with one group; not centered, as the average over an array
    is what an equivariant layer repeats.

    Example:
        >>> ArrayNorm(1)(jnp.array([[7.0], [-1.0]])).tolist()   # divided by 5
        [[1.39...], [-0.19...]]
    """

    gain: Array
    offset: Array

    def __init__(self, channels: int):
        check_number("channels of a norm", channels, low=1, integer=True)
        self.gain, self.offset = jnp.ones(channels), jnp.zeros(channels)

    def __call__(self, x: Float[Array, "*groups channels"]) -> Float[Array, "*groups channels"]:
        return _along(self.gain, _unit(widened(x), None), self.offset).astype(x.dtype)


NORMS: dict[str, Callable[[int], LayerNorm | RMSNorm | ArrayNorm]] = {
    "layer": LayerNorm,
    "rms": RMSNorm,
    "array": ArrayNorm,
}


def _unit(x: Array, axis: int | None) -> Array:
    return x * jax.lax.rsqrt(jnp.mean(jnp.square(x), axis=axis, keepdims=True) + EPSILON)


def _along(gain: Array, x: Array, offset: Array) -> Array:
    """One gain and one offset for each channel."""
    leading = (1,) * (x.ndim - 1)
    gain, offset = gain.astype(x.dtype), offset.astype(x.dtype)
    return gain.reshape(*leading, -1) * x + offset.reshape(*leading, -1)
