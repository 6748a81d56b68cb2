"""Whom a network is mixed with.

A partner comes from the batch itself, along a random cycle through it, or from a pool that the caller hands over:
a network from outside is never seen.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Int

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
    (order,) = permutations(key, [size])
    following = jnp.roll(order, -1)
    if pool is not None:
        if jnp.shape(pool) != (size,):
            raise ValueError(f"pool has shape {jnp.shape(pool)}; expected one number for each of {size} networks")
        order = order[jnp.argsort(jnp.asarray(pool)[order], stable=True)]
        number = jnp.asarray(pool)[order]
        first = number != jnp.roll(number, 1)
        start = jax.lax.cummax(jnp.where(first, jnp.arange(size), 0))
        following = jnp.where(jnp.roll(first, -1), order[start], jnp.roll(order, -1))
    return jnp.zeros_like(order).at[order].set(following)


def size_of(batch: Batch) -> int:
    return jax.tree.leaves(batch.weights)[0].shape[0]


def take(batch: Batch, rows: Int[Array, " batch"]) -> Batch:
    return jax.tree.map(lambda x: jnp.asarray(x).at[rows].get(mode="promise_in_bounds"), batch)
