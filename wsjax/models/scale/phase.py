"""Phases of sine neurons: what a bias is read as, so that no shift by half turns changes what is read.

A shift by k half turns and a sign s of a neuron turn its phase z = pi b / half_turn into s z + k pi, what produces it
into s times that, and what consumes it into s (-1)^k times that. So its vectors are of two kinds: *arriving* ones have
the factor s, as the sum of its inputs has, and *leaving* ones s (-1)^k, as its activation has. The bias has neither,
but

    sin z: s (-1)^k        cos z: (-1)^k

so a leaving vector is an odd function of an arriving one times cos z, plus an even one times sin z, and a leaving
vector times cos z is an arriving one. With phases read so, shifts and signs act as signs do.

Source: the group is that of arXiv 2402.04081, section 4; a bias that is read as cos z and sin z, with vectors of two
kinds, is in the public code of project-siren-gap. The wavelets, and their place in a graph convolution, are ours.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from wsjax.models.layers.feature_layout import Feature


class Shifted(NamedTuple):
    """The biases of a set of nodes whose phases shift, and what one half turn adds to them."""

    biases: tuple[Feature, ...]
    half_turn: float


class Phasor(NamedTuple):
    """cos z and sin z of the neurons of a set, (size, 1); the means over its positions where each has a bias."""

    cos: Float[Array, "size 1"]
    sin: Float[Array, "size 1"]


def read_phasors(shifted: Sequence[Shifted | None], leaves: Sequence[Array], dtype: DTypeLike) -> list[Phasor | None]:
    """The phasors of each set of nodes, of the arrays as they are stored: normalized ones have lost their phases.

    Whole turns are taken off in float32 at least, before a rounding to `dtype`.
    """

    def phasor(one: Shifted) -> Phasor:
        biases = [feature.lift(jnp.asarray(leaves[feature.leaf])) for feature in one.biases]
        wide = functools.reduce(np.promote_types, [np.float32, dtype, *(b.dtype for b in biases)])
        turns = jnp.concatenate([b.astype(wide) for b in biases], axis=1) / one.half_turn
        z = jnp.pi * (turns - 2 * jnp.round(turns / 2))
        return Phasor(*(jnp.mean(f(z), axis=1, keepdims=True).astype(dtype) for f in (jnp.cos, jnp.sin)))

    return [None if one is None else phasor(one) for one in shifted]


def arriving(y: Float[Array, "size channels"], phasor: Phasor | None) -> Float[Array, "size channels"]:
    """Leaving vectors as arriving ones, y cos z; as they are where no phase shifts."""
    return y if phasor is None else y * phasor.cos


class Wavelets(eqx.Module):
    """From the vectors arriving at sine neurons to those that leave them, a wavelet of each channel at a phase:

        y = (cos(z) p + sin(z) (1 - p^2 / 2)) / (1 + p^2 / 16)^2,    p = t x

    with a learned scale t for each channel: an odd and an even function that cross zero as sin p and cos p do near 0,
    and fall off where these go on. With sin p and cos p themselves y would be sin(p + z), and the reader would run the
    network that it reads.

    **Preserves** equivariance: y has the factor s (-1)^k where x has s, and z is s z + k pi.
    """

    scales: Float[Array, " channels"]

    def __init__(self, channels: int):
        self.scales = jax.device_put(np.geomspace(1.5, 8.0, channels))

    def __call__(self, x: Float[Array, "size channels"], phasor: Phasor) -> Float[Array, "size channels"]:
        p = x * self.scales[None, :]
        fall = 1 / (1 + jnp.square(p / 4))
        # So written that nothing overflows into NaN: (1 - p^2 / 2) fall = 9 fall - 8.
        return fall * (phasor.cos * (p * fall) + phasor.sin * (9 * fall - 8))
