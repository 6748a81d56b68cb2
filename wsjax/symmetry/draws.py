"""Random draws of group elements, and the words they are made of, in fewer and larger steps than `jax.random` takes.

On a CPU `jax.random` runs Threefry's rounds as a loop over arrays in memory. Here all rounds stand in one expression,
which compiles into the code that uses the words: the same bits in a third of the time.
"""

import functools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, PyTree, UInt32

from wsjax.typing import Key, Scalar

LARGEST_COUNTED, TURNS = 256, 8
ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
PARITY = np.uint32(0x1BD11BDA)


def words(key: Key, shape: Sequence[int], start: int = 0) -> UInt32[Array, "..."]:
    """Uniformly random words of 32 bits: those of `jax.random.bits` for the same key, from number `start` on, so that
    several arrays can have words of one key without being cut out of one."""
    first, second = word_pairs(key, shape, start)
    return first ^ second


def word_pairs(key: Key, shape: Sequence[int], start: int = 0) -> tuple[UInt32[Array, "..."], UInt32[Array, "..."]]:
    """Two independent words for each entry, for the price of one. Keys of other generators than Threefry serve too.

    Source: Threefry-2x32 with 20 rounds, Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3" (SC 2011).
    """
    if jax.random.key_impl(key) != "threefry2x32":
        first, second = jax.random.bits(jax.random.fold_in(key, start), (2, *shape))
        return first, second
    return _threefry(jax.random.key_data(key), tuple(shape), start)


# Outside of `jit` one program for each shape, in place of one for each operation; within it no call of its own.
@functools.partial(jax.jit, static_argnums=(1, 2), inline=True)
def _threefry(data: UInt32[Array, "2"], shape: tuple[int, ...], start: int) -> tuple[Array, Array]:
    low, high = data
    schedule = (low, high, low ^ high ^ PARITY)
    count = np.arange(start, start + math.prod(shape), dtype=np.uint32).reshape(shape)
    x, y = jnp.broadcast_to(schedule[0], shape), jnp.asarray(count) + schedule[1]
    for turn in range(5):
        for rotation in ROTATIONS[turn % 2]:
            x = x + y
            y = ((y << np.uint32(rotation)) | (y >> np.uint32(32 - rotation))) ^ x
        x, y = x + schedule[(turn + 1) % 3], y + (schedule[(turn + 2) % 3] + np.uint32(turn + 1))
    return x, y


def permutations(key: Key, sizes: Sequence[int]) -> list[Int[Array, " size"]]:
    """For each size an independent, uniformly random permutation of 0..size-1: the ranks of random words.

    Ranks by counting take size^2 comparisons, many at once, and a twentieth of the time of a sort.
    """
    return _permutations(key, tuple(sizes)) if len(sizes) else []


# One program for each choice of sizes, for a loop outside of `jit` is compiled at every call; within `jit` no call of
# its own.
@functools.partial(jax.jit, static_argnums=1, inline=True)
def _permutations(key: Key, sizes: tuple[int, ...]) -> list[Array]:
    ends = np.cumsum(sizes).tolist()
    return [_ranks(own) for own in jnp.split(words(key, (ends[-1],)), ends[:-1])]


def _ranks(drawn: Array) -> Array:
    if len(drawn) > LARGEST_COUNTED:
        return jnp.argsort(drawn).astype(jnp.int32)
    # With its place in its lowest bits each word is unique; of the others, so many tie that one order in 300,000 of 32
    # neurons, and one in 500 of 256, has two of them in the order of their places.
    bits = np.uint32((len(drawn) - 1).bit_length())
    unique = ((drawn >> bits) << bits) | np.arange(len(drawn), dtype=np.uint32)
    # Some words a turn: a sum over a table of comparisons XLA makes one at a time, and what stands in one expression it
    # ranks anew for each weight that is moved.
    each = -(-len(drawn) // TURNS)
    padded = jnp.pad(unique, (0, each * TURNS - len(drawn)), constant_values=np.uint32(2**32 - 1))

    def turn(i: Array, rank: Array) -> Array:
        some = jax.lax.dynamic_slice(padded, (i * each,), (each,))
        return sum(((some[j] < unique).astype(jnp.int32) for j in range(each)), start=rank)

    return jax.lax.fori_loop(0, TURNS, turn, varying_as(drawn, jnp.zeros(len(drawn), jnp.int32)))


def varying_as(array: Array, start: PyTree) -> PyTree:
    """The start values of a loop over an array, made to depend on it: under `jax.shard_map` a loop's values must vary
    over the same mesh axes from the start on."""
    nothing = jnp.any(array != array) & False
    return jax.tree.map(lambda x: x | nothing if x.dtype == bool else x + nothing.astype(x.dtype), start)


def uniform_integers(key: Key, size: int, bound: Scalar) -> Int[Array, " size"]:
    """Uniform on the integers -bound..bound, for bounds far below 2^22."""
    bound = jnp.asarray(bound).astype(jnp.int32)
    steps = (2 * bound + 1).astype(jnp.float32)
    drawn = ((words(key, (size,)) >> 8).astype(jnp.float32) * np.float32(2.0**-24) * steps).astype(jnp.int32)
    return jnp.minimum(drawn, 2 * bound) - bound
