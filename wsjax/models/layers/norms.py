"""Norms that need no batch: each network is normalized by its own statistics, the same at training and at evaluation.

A statistic over channels, or over all entries of an array, is the same whatever the order of neurons, and what is
learned has one number for each channel: so all of them keep equivariance.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from wsjax.errors import check_choice, check_number
from wsjax.floats import widened
from wsjax.models.layers.draws import full

NORMS = ("layer", "rms", "array")
EPSILON = 1e-5
"""What is added to a mean square before its root is divided by."""


class Norm(eqx.Module):
    """Features (*groups, channels) divided by a root mean square, in float32 at least:

        y = gain * x / sqrt(mean(x^2) + 1e-5) + offset

    `"layer"` centers each position's channels and takes their mean (Ba et al., arXiv 1607.06450). `"rms"` neither
    centers nor adds an offset, so it is odd in x and keeps signs (Zhang and Sennrich, arXiv 1910.07467). `"array"`
    takes the mean over all positions and channels, uncentered, so neurons keep their sizes relative to each other (the
    group norm of Wu and He, arXiv 1803.08494, with one group).
    """

    gain: Array
    offset: Array | None
    kind: str = eqx.field(static=True)

    def __init__(self, kind: str, channels: int):
        check_choice("norm", kind, NORMS)
        check_number(f"channels of the norm {kind!r}", channels, low=2 if kind == "layer" else 1, integer=True)
        self.gain, self.offset = full(channels, 1.0), None if kind == "rms" else full(channels, 0.0)
        self.kind = kind

    def __call__(self, x: Float[Array, "*groups channels"]) -> Float[Array, "*groups channels"]:
        wide = widened(x)
        if self.kind == "layer":
            wide = wide - jnp.mean(wide, axis=-1, keepdims=True)
        square = jnp.mean(jnp.square(wide), axis=None if self.kind == "array" else -1, keepdims=True)
        along = lambda channels: along_last(channels.astype(wide.dtype), x.ndim)
        scaled = along(self.gain) * (wide * jax.lax.rsqrt(square + EPSILON))
        return (scaled if self.offset is None else scaled + along(self.offset)).astype(x.dtype)


def along_last(vector: Float[Array, " channels"], rank: int) -> Array:
    """A vector as an array of a rank, along its last axis."""
    return vector.reshape((1,) * (rank - 1) + (-1,))
