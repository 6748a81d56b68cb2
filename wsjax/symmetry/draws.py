"""Random draws of group elements: the distributions of `jax.random`, at a fraction of its time on a CPU."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.random import threefry_2x32
from jaxtyping import Array, Int, UInt32

from wsjax.typing import Key, Scalar

LARGEST_COUNTED = 256


def words(key: Key, count: int) -> UInt32[Array, " count"]:
    """Uniformly random words of 32 bits: the raw material of every draw here and of the augmentations' largest.

    Threefry makes two words at a time. `jax.random.bits` folds them into one, so that a long array can be split over
    devices wherever one likes; a network's own words lie on one device, and using both takes half the time. Keys of
    other generators go to `jax.random.bits`.

    Example:
        >>> import jax
        >>> words(jax.random.key(0), 3).shape
        (3,)
    """
    if jax.random.key_impl(key) != "threefry2x32":
        return jax.random.bits(key, (count,))
    return threefry_2x32(jax.random.key_data(key), jnp.arange(count, dtype=jnp.uint32))


def permutations(key: Key, sizes: Sequence[int]) -> list[Int[Array, " size"]]:
    """For each size an independent, uniformly random permutation of 0..size-1: the ranks of random words.

    Ranks by counting take size^2 comparisons and for the groups of small networks an eighth of the time of a sort.

    Example:
        >>> import jax
        >>> [sorted(p.tolist()) for p in permutations(jax.random.key(0), (4, 2))]
        [[0, 1, 2, 3], [0, 1]]
    """
    ends = np.cumsum(sizes).tolist()
    if not ends:
        return []
    return [_ranks(own) for own in jnp.split(words(key, ends[-1]), ends[:-1])]


def _ranks(drawn: Array) -> Array:
    if len(drawn) > LARGEST_COUNTED:
        return jnp.argsort(drawn).astype(jnp.int32)
    place = jnp.arange(len(drawn))
    tied = (drawn[None, :] == drawn[:, None]) & (place[None, :] < place[:, None])
    return jnp.sum((drawn[None, :] < drawn[:, None]) | tied, axis=1, dtype=jnp.int32)


def whole_numbers(key: Key, size: int, bound: Scalar) -> Int[Array, " size"]:
    """Uniform on the whole numbers -bound..bound, for bounds far below 2^22.

    Example:
        >>> import jax
        >>> bool((abs(whole_numbers(jax.random.key(0), 9, 2)) <= 2).all())
        True
    """
    bound = jnp.asarray(bound).astype(jnp.int32)
    steps = (2 * bound + 1).astype(jnp.float32)
    drawn = ((words(key, size) >> 8).astype(jnp.float32) * np.float32(2.0**-24) * steps).astype(jnp.int32)
    return jnp.minimum(drawn, 2 * bound) - bound
