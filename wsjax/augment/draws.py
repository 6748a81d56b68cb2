"""Random numbers for every weight of a network: one draw for all arrays, and no more random bits than it takes.

On a CPU the random bits are most of the time that noise and dropout take.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool

from wsjax.typing import Key, Scalar


def dropped(key: Key, size: int, rate: Scalar) -> Bool[Array, " size"]:
    """True with chance `rate`, from one random byte for each.

    A byte is compared with floor(256 rate + U), U uniform and one for all, so that every entry's chance is exactly the
    rate, 0 and 1 among them.

    Example:
        >>> import jax
        >>> int(dropped(jax.random.key(0), 5, 1.0).sum()), int(dropped(jax.random.key(0), 5, 0.0).sum())
        (5, 0)
    """
    words = jax.random.bits(key, ((size + 3) // 4 + 1,), jnp.uint32)
    chance = (words[-1] >> 8).astype(jnp.float32) * np.float32(2.0**-24)
    bound = jnp.floor(256 * jnp.asarray(rate, jnp.float32) + chance).astype(jnp.uint32)
    quarters = [(words[:-1] >> shift) & 0xFF for shift in (0, 8, 16, 24)]
    return jnp.concatenate(quarters)[:size] < bound


def for_each(draw: Callable[[int], Array], arrays: Sequence[Array]) -> list[Array]:
    """One draw for all entries of some arrays, cut into their shapes.

    Example:
        >>> import jax.numpy as jnp
        >>> [x.tolist() for x in for_each(jnp.arange, [jnp.zeros(1), jnp.zeros((2, 1))])]
        [[0], [[1], [2]]]
    """
    ends = np.cumsum([array.size for array in arrays]).tolist()
    if not ends:
        return []
    parts = jnp.split(draw(ends[-1]), ends[:-1])
    return [part.reshape(array.shape) for part, array in zip(parts, arrays, strict=True)]
