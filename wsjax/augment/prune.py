"""Perturbations: magnitude pruning, below a random quantile of each array or of the whole network."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from wsjax.errors import check_number
from wsjax.floats import common, floats_of, with_floats
from wsjax.symmetry.draws import varying_as
from wsjax.typing import Key, Scalar, Weights


def prune(key: Key, weights: Weights, *, max_quantile: Scalar = 0.1) -> Weights:
    """Set the smallest entries of each array to zero, up to a random quantile of its magnitudes.

    w' = w where |w| >= Q_q(|w|), else 0: one q ~ U(0, max_quantile) for the network, Q_q the magnitude in one array
    that a share q of its entries, rounded down, lies below. Where that share is less than one entry, the array stays.

    **Perturbs** the function.

    Args:
        key: a typed key.
        weights: one network, any pytree; leaves that are not floating point stay.
        max_quantile: [] the largest share of each array to remove, in [0, 1]; 0 is the identity.

    Raises:
        ValueError: a max_quantile outside [0, 1].

    Source: the quantile augmentation in the code of arXiv 2402.04081, which takes one quantile over all arrays:
    `prune_global`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> pruned = prune(jax.random.key(0), jnp.arange(1.0, 101.0), max_quantile=0.5)
        >>> bool((jnp.diff(pruned) >= 0).all()), 0 < int((pruned == 0).sum()) <= 50
        (True, True)
    """
    check_number("max_quantile", max_quantile, low=0, high=1)
    magnitudes = _magnitudes(weights)
    if not magnitudes:
        return weights
    return _without_small(weights, magnitudes, _quantiles(magnitudes, jax.random.uniform(key, maxval=max_quantile)))


def prune_global(key: Key, weights: Weights, *, max_quantile: Scalar = 0.1) -> Weights:
    """Set the smallest entries of the whole network to zero, up to a random quantile of all magnitudes.

    w' = w where |w| >= Q_q, else 0: q ~ U(0, max_quantile), Q_q as in `prune` but over all arrays together. The layers
    of a fitted SIREN differ in deviation by 6 to 10 times, so this prunes mostly one of them; `prune` treats all alike.

    **Perturbs** the function.

    Args:
        key: a typed key.
        weights: one network, any pytree; leaves that are not floating point stay.
        max_quantile: [] the largest share of the network to remove, in [0, 1]; 0 is the identity.

    Raises:
        ValueError: a max_quantile outside [0, 1].

    Source: the quantile augmentation in the code of arXiv 2402.04081; the same there.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> small, large = prune_global(jax.random.key(0), (jnp.arange(1.0, 51.0), jnp.arange(51.0, 101.0)))
        >>> int((small == 0).sum()) > 0, int((large == 0).sum())
        (True, 0)
    """
    check_number("max_quantile", max_quantile, low=0, high=1)
    magnitudes = _magnitudes(weights)
    if not magnitudes:
        return weights
    least = _quantiles([jnp.concatenate(magnitudes)], jax.random.uniform(key, maxval=max_quantile))
    return _without_small(weights, magnitudes, jnp.broadcast_to(least, len(magnitudes)))


def _magnitudes(weights: Weights) -> list[Array]:
    """|w| of every floating array, flat, all in one type that holds each of them exactly."""
    leaves = floats_of(weights)
    dtype = common(leaves)
    return [jnp.abs(leaf).astype(dtype).reshape(-1) for leaf in leaves]


# A loop outside of `jit` is compiled at every call; within `jit` this is no call of its own.
@functools.partial(jax.jit, inline=True)
def _quantiles(samples: list[Array], quantile: Array) -> Float[Array, " samples"]:
    """For each of several flat arrays of non-negative floats the entry that this share of it, rounded down, lies below.

    Read as whole numbers, the bits of such floats are in the floats' own order, so the entry is found from its highest
    bit down by counting. That takes one pass for each bit and no sort, which on a CPU takes twenty times as long.
    """
    whole = np.dtype(f"int{8 * samples[0].dtype.itemsize}")
    width = 8 * whole.itemsize - 1  # without the sign
    rows = [_in_rows(jax.lax.bitcast_convert_type(x, whole)) for x in samples]
    below = jnp.stack([jnp.minimum((quantile * x.size).astype(jnp.int32), x.size - 1) for x in samples])

    def count(x: Array, bound: Array) -> Array:
        # A sum of floats runs faster than one of whole numbers, and is as exact up to 2^24 of them.
        exact = jnp.float32 if x.size < 2**24 else jnp.int32
        return jnp.sum(jnp.sum(x < bound, axis=0, dtype=exact)).astype(jnp.int32)

    def refine(i: Array, found: Array) -> Array:
        raised = found | (jnp.ones_like(found) << jnp.asarray(width - 1 - i).astype(whole))
        fewer = jnp.stack([count(x, raised[j]) for j, x in enumerate(rows)]) <= below
        return jnp.where(fewer, raised, found)

    found = jax.lax.fori_loop(0, width, refine, varying_as(below, jnp.zeros(len(rows), whole)))
    return jax.lax.bitcast_convert_type(found, samples[0].dtype)


def _in_rows(x: Array, rows: int = 8) -> Array:
    """Filled up with the largest number, which no count includes: XLA counts rows side by side faster than one line."""
    return jnp.pad(x, (0, -x.size % rows), constant_values=np.iinfo(x.dtype).max).reshape(rows, -1)


def _without_small(weights: Weights, magnitudes: list[Array], least: Float[Array, " arrays"]) -> Weights:
    floats = floats_of(weights)
    small = [(size < least[j]).reshape(x.shape) for j, (x, size) in enumerate(zip(floats, magnitudes, strict=True))]
    return with_floats(weights, [jnp.where(s, jnp.zeros_like(x), x) for x, s in zip(floats, small, strict=True)])
