"""Whom a network is mixed with.

A partner comes from the batch itself, along a random cycle through it, or from a pool that the caller hands over:
a network from outside is never seen.
"""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Bool, Int

from wsjax.errors import leaf_names
from wsjax.symmetry.draws import permutations
from wsjax.typing import Batch, Key


def partners(key: Key, size: int, pool: Int[ArrayLike, " batch"] | None = None) -> Int[Array, " batch"]:
    """Each network's partner, along a uniformly random cycle through the networks of its own pool.

    So partners are a permutation of the batch, every other network of the pool is equally likely, and none is its own
    partner, except one that is alone in its pool: mixed with itself, it stays as it is.

    Args:
        key: a typed key.
        size: how many networks.
        pool: (size,) whole numbers; only networks of the same number meet. None: all may.

    Raises:
        ValueError: a pool of another length.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> partners(jax.random.key(0), 5, jnp.array([7, 1, 7, 1, 0])).tolist()
        [2, 3, 0, 1, 4]
    """
    if pool is not None and jnp.shape(pool) != (size,):
        raise ValueError(f"pool has shape {jnp.shape(pool)}; expected one number for each of {size} networks")
    return _following(permutations(key, [size])[0], pool)


# Outside of `jit` one program, in place of one for each operation; within it no call of its own.
@functools.partial(jax.jit, inline=True)
def _following(order: Int[Array, " batch"], pool: Int[ArrayLike, " batch"] | None) -> Int[Array, " batch"]:
    """For each network the next one of its pool in an order of them all, and the first for the last."""
    size, following = len(order), jnp.roll(order, -1)
    if pool is not None:
        order = order[jnp.argsort(jnp.asarray(pool)[order], stable=True)]
        number = jnp.asarray(pool)[order]
        first = number != jnp.roll(number, 1)
        start = jax.lax.cummax(jnp.where(first, jnp.arange(size), 0))
        following = jnp.where(jnp.roll(first, -1), order[start], jnp.roll(order, -1))
    return jnp.zeros_like(order).at[order].set(following)


def partners_in(
    key: Key, shown: Int[ArrayLike, " batch"], pool: Int[ArrayLike, " networks"]
) -> tuple[Int[Array, " batch"], Bool[Array, " batch"]]:
    """For each network a row of a pool that shows the same object, uniformly drawn, and whether the pool holds one.

    The row is one of the pool's, of whatever object, where it holds none.

    Args:
        key: a typed key.
        shown: (batch,) whole numbers, each network's object.
        pool: (networks,) whole numbers, the objects of the pool's rows, in any order.

    Example:
        >>> rows, found = partners_in(jax.random.key(0), jnp.array([7, 3, 1]), jnp.array([1, 2, 7]))
        >>> rows[found].tolist(), found.tolist()
        ([2, 0], [True, False, True])
    """
    return _rows_of(key, jnp.asarray(shown), jnp.asarray(pool))


@functools.partial(jax.jit, inline=True)
def _rows_of(key: Key, shown: Array, pool: Array) -> tuple[Array, Array]:
    order = jnp.argsort(pool)
    known = pool[order]
    first, end = (jnp.searchsorted(known, shown, side=side) for side in ("left", "right"))
    place = jax.random.randint(key, first.shape, first, jnp.maximum(end, first + 1))
    return order[jnp.minimum(place, len(order) - 1)], end > first


def size_of(batch: Batch) -> int:
    return jnp.shape(jax.tree.leaves(batch.weights)[0])[0]


def check_batch(batch: Batch, name: str = "batch") -> None:
    """Raise TypeError unless this is a `Batch`, and ValueError unless each of its arrays has a row for each network.

    Rows beyond an array's end would be its last one in silence.

    Example:
        >>> check_batch(Batch(jnp.ones((4, 2)), jnp.ones((3, 2))))
        Traceback (most recent call last):
        ValueError: batch.label has shape (3, 2); expected 4 rows, one for each network, as batch.weights has: stack ...
    """
    if not isinstance(batch, Batch):
        raise TypeError(
            f"{name} is a {type(batch).__name__}; expected a Batch of stacked networks and their labels: "
            f"wsjax.typing.Batch(weights, label)"
        )
    names, leaves = leaf_names(batch, name), jax.tree.leaves(batch)
    size = jnp.shape(leaves[0])[:1] if leaves else ()
    for leaf_name, leaf in zip(names, leaves, strict=True):
        if not size or jnp.shape(leaf)[:1] != size:
            rows = f"{size[0]} rows, one for each network, as {names[0]} has" if size else "a row for each network"
            raise ValueError(f"{leaf_name} has shape {jnp.shape(leaf)}; expected {rows}: stack all of them alike")


def take(batch: Batch, rows: Int[Array, " batch"]) -> Batch:
    return jax.tree.map(lambda x: jnp.asarray(x).at[rows].get(mode="promise_in_bounds"), batch)
