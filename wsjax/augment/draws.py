"""Random numbers for every weight of a network, each array's own part of what one key gives.

On a CPU the random bits are most of the time that noise and dropout take.
"""

import functools
from collections.abc import Callable, Sequence
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float

from wsjax.networks.sine import sine
from wsjax.symmetry.draws import word_pairs, words
from wsjax.typing import Key, Scalar

T = TypeVar("T")
STEP = np.float32(2.0**-24)


def dropped(key: Key, shape: Sequence[int], rate: Scalar, start: int = 0) -> Bool[Array, "..."]:
    """True with chance `rate`, to a part in 2^24, for each entry; for rates 0 and 1 never and always."""
    bound = jnp.round(jnp.asarray(rate, jnp.float32) / STEP).astype(jnp.uint32)
    return (words(key, shape, start) >> 8) < bound


def normals(key: Key, shape: Sequence[int], start: int = 0, dtype: DTypeLike = np.float32) -> Float[Array, "..."]:
    """Independent draws of N(0, 1), faster than those of `jax.random.normal` on a CPU, which serve for float64.

    Box and Muller 1958: sqrt(-2 log u) sin(2 pi v), with u from one word, in the middle of its step, and v from
    another. The largest is 5.9 deviations, beyond which one normal number in 250 million lies.
    """
    if dtype == np.float64:
        return jax.random.normal(jax.random.fold_in(key, start), shape, np.float64)
    return _box_muller(*uniforms(key, shape, start))


# Outside of `jit` one program for each shape, in place of one for each operation; within it no call of its own.
@functools.partial(jax.jit, inline=True)
def _box_muller(uniform: Array, turn: Array) -> Array:
    return jnp.sqrt(-2 * jnp.log(uniform)) * sine(turn * np.float32(2 * np.pi))


def uniforms(key: Key, shape: Sequence[int], start: int = 0) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
    """Two independent numbers uniform on (0, 1) for each entry, in steps of 2^-24; only the second may be 0."""
    first, second = word_pairs(key, shape, start)
    return ((first >> 8).astype(jnp.float32) + np.float32(0.5)) * STEP, (second >> 8).astype(jnp.float32) * STEP


def for_each(draw: Callable[[Sequence[int], int], T], arrays: Sequence[Array]) -> list[T]:
    """A draw for each of some arrays, given its shape and how many entries stand before it."""
    starts = np.cumsum([0, *(array.size for array in arrays)]).tolist()
    return [draw(array.shape, start) for array, start in zip(arrays, starts, strict=False)]
