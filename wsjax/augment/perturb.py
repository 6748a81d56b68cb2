"""Perturbations: the function changes a little, in no known way.

`compose.leave_out` keeps chosen arrays, the output layer for example, out of any of them.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, PyTree

from wsjax.augment.draws import dropped, for_each
from wsjax.errors import check_number, check_shape, check_structure, leaf_names
from wsjax.symmetry import Symmetry
from wsjax.symmetry.axes import vector_along
from wsjax.typing import Key, Scalar, Weights


class Statistics(NamedTuple):
    """What perturbations in units of a data set need to know of it. `statistics_of` makes it.

    mean: the element-wise mean network; deviation: one scalar for each array, the standard deviation of all its
    entries in all networks about one mean.
    """

    mean: PyTree
    deviation: PyTree


def statistics_of(weights: PyTree) -> Statistics:
    """The mean network of stacked networks, and one standard deviation for each array.

    Half types are averaged in float32. Of arrays that are not floating point the mean is the first network's, and
    the deviation 0.

    Args:
        weights: networks stacked along a leading axis, the training split's.

    Example:
        >>> import jax.numpy as jnp
        >>> found = statistics_of((jnp.array([[1.0, 3.0], [5.0, 7.0]]),))
        >>> found.mean[0].tolist(), round(float(found.deviation[0]), 3)
        ([3.0, 5.0], 2.236)
    """

    def deviation(stack: Array) -> Array:
        # Each network first, then all: one float32 sum over every entry of a large data set loses digits.
        entries = _wide(stack).reshape(len(stack), -1)
        square = jnp.square(entries - jnp.mean(jnp.mean(entries, axis=1)))
        return jnp.sqrt(jnp.mean(jnp.mean(square, axis=1)))

    stacks = jax.tree.map(jnp.asarray, weights)
    return Statistics(
        jax.tree.map(lambda x: jnp.mean(_wide(x), axis=0) if _floating(x) else x[0], stacks),
        jax.tree.map(lambda x: deviation(x) if _floating(x) else jnp.zeros(()), stacks),
    )


def noise(key: Key, weights: Weights, *, std: Scalar = 0.1) -> Weights:
    """Add Gaussian noise to every array, in units of that array's own deviation.

    w' = w + std * sd(w) * N(0, 1), sd over the entries of one array of one network. An array of one entry has
    deviation 0 and stays.

    **Perturbs** the function.

    Args:
        key: a typed key.
        weights: one network, any pytree; leaves that are not floating point stay.
        std: [] multiples of each array's standard deviation; 0 is the identity.

    Raises:
        ValueError: a negative std.

    Source: arXiv 2402.04081, section 4. The code of arXiv 2301.12780 adds the same constant to every entry instead
    of noise.

    Example:
        >>> import jax
        >>> from wsjax import networks
        >>> w = networks.siren_init(jax.random.key(0), (2, 4, 1))
        >>> bool((noise(jax.random.key(1), w, std=0.5)[0].kernel == w[0].kernel).any())
        False
    """
    check_number("std", std, low=0)
    return _with_noise(key, weights, [_deviation(x) for x in map(_wide, _floats(weights))], std)


def noise_shared(key: Key, weights: Weights, *, statistics: Statistics, std: Scalar = 0.1) -> Weights:
    """Add Gaussian noise to every array, in units of the data set's deviation of that array.

    w' = w + std * sd * N(0, 1), sd over the entries of that array in all networks: the noise is as strong in every
    network, and arrays of one entry take it too.

    **Perturbs** the function.

    Args:
        key: a typed key.
        weights: one network, any pytree; leaves that are not floating point stay.
        statistics: of the data set, as `statistics_of` gives them.
        std: [] multiples of each array's standard deviation in the data set; 0 is the identity.

    Raises:
        ValueError: a negative std, or weights without the structure and shapes of the statistics.

    Source: arXiv 2402.04081, section 4, with one deviation for all networks; its code takes each network's own, as
    `noise` does.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> known = statistics_of((jnp.array([[1.0], [3.0]]),))
        >>> bool(noise_shared(jax.random.key(0), (jnp.ones(1),), statistics=known, std=0.5)[0] == 1)
        False
    """
    check_number("std", std, low=0)
    _check_statistics(weights, statistics)
    pairs = zip(jax.tree.leaves(weights), jax.tree.leaves(statistics.deviation), strict=True)
    return _with_noise(key, weights, [_wide(sd, jnp.asarray(x)) for x, sd in pairs if _floating(x)], std)


def dropout(key: Key, weights: Weights, *, rate: Scalar = 0.1) -> Weights:
    """Set each weight to zero with a given chance; the others stay as they are.

    w' = w m, m ~ Bernoulli(1 - rate) for each entry of each array.

    **Perturbs** the function.

    Args:
        key: a typed key.
        weights: one network, any pytree; leaves that are not floating point stay.
        rate: [] chance for each weight, in [0, 1]; 0 is the identity.

    Raises:
        ValueError: a rate outside [0, 1].

    Source: arXiv 2402.04081, section 4, whose code multiplies the survivors by 1 / (1 - rate). That keeps the mean of
    a hidden unit's input in a network that is being trained; here it would move every surviving weight of the data,
    by 11 % at a rate of 0.1, and it is left out.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> sorted(set(dropout(jax.random.key(0), jnp.full(100, 3.0), rate=0.5).tolist()))
        [0.0, 3.0]
    """
    check_number("rate", rate, low=0, high=1)
    floats = _floats(weights)
    gone = for_each(lambda size: dropped(key, size, rate), floats)
    return _with_floats(weights, [jnp.where(m, jnp.zeros_like(x), x) for x, m in zip(floats, gone, strict=True)])


def drop_neurons(key: Key, weights: Weights, *, symmetry: Symmetry, rate: Scalar = 0.1) -> Weights:
    """Remove each neuron of every group with a given chance.

    For a dropped neuron all that makes it (its column of W_i and its entry of b_i) and all that reads it (its row of
    W_{i+1}) is zero; a convolution's channel goes with every position of it.

    **Perturbs** the function.

    Args:
        key: a typed key.
        weights: one network.
        symmetry: its Symmetry, which says where the neurons are.
        rate: [] chance for each neuron, in [0, 1]; 0 is the identity.

    Raises:
        ValueError: a rate outside [0, 1], or weights of another Symmetry.

    Source: dropout of units (Srivastava et al. 2014), on networks that are data; arXiv 2402.04081 drops single
    weights only.

    Example:
        >>> import jax
        >>> from wsjax import networks, symmetry
        >>> w, spec = networks.siren_init(jax.random.key(0), (2, 8, 1)), symmetry.siren((2, 8, 1))
        >>> dropped = drop_neurons(jax.random.key(1), w, symmetry=spec, rate=0.5)
        >>> bool(((dropped[0].kernel == 0).all(axis=0) == (dropped[1].kernel == 0).all(axis=1)).all())
        True
    """
    check_number("rate", rate, low=0, high=1)
    kept = {
        name: ~jax.random.bernoulli(jax.random.fold_in(key, i), rate, (group.size,))
        for i, (name, group) in enumerate(symmetry.groups.items())
    }
    leaves = symmetry.leaves(weights)
    for i, axes in enumerate(symmetry.axes):
        if not _floating(leaves[i]):
            continue
        for axis, entry in enumerate(axes.entries):
            factor = vector_along(entry, symmetry.sizes, kept).astype(leaves[i].dtype)
            leaves[i] = leaves[i] * jnp.expand_dims(factor, [a for a in range(leaves[i].ndim) if a != axis])
    return symmetry.unflatten(leaves)


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
    least = _quantiles([jnp.concatenate(magnitudes)], jax.random.uniform(key, maxval=max_quantile))
    return _without_small(weights, magnitudes, jnp.broadcast_to(least, len(magnitudes)))


def towards_mean(key: Key, weights: Weights, *, statistics: Statistics, max_share: Scalar = 0.2) -> Weights:
    """Move a network part of the way to the data set's mean network.

    w' = (1 - s) w + s mean, one s ~ U(0, max_share) for the network. The mean is that of neurons in the data set's
    own order: place this before `permute` and the other symmetries.

    **Perturbs** the function.

    Args:
        key: a typed key.
        weights: one network, any pytree; leaves that are not floating point stay.
        statistics: of the data set, as `statistics_of` gives them.
        max_share: [] the largest share of the way, in [0, 1]; 0 is the identity.

    Raises:
        ValueError: a max_share outside [0, 1], or weights without the structure and shapes of the statistics.

    Source: no paper; MixUp of arXiv 2402.04081, section 5, with the mean network as every partner.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> known = statistics_of((jnp.array([[0.0], [8.0]]),))
        >>> 3 <= float(towards_mean(jax.random.key(0), (jnp.full(1, 3.0),), statistics=known)[0][0]) <= 3.2
        True
    """
    check_number("max_share", max_share, low=0, high=1)
    _check_statistics(weights, statistics)
    share = jax.random.uniform(key, maxval=max_share)

    def move(x: ArrayLike, mean: ArrayLike) -> Array:
        leaf = jnp.asarray(x)
        if not _floating(leaf):
            return leaf
        s = jnp.asarray(share, _wide(leaf).dtype)
        return ((1 - s) * _wide(leaf) + s * _wide(mean, leaf)).astype(leaf.dtype)

    return jax.tree.map(move, weights, statistics.mean)


def _floating(leaf: ArrayLike) -> bool:
    return jnp.issubdtype(jnp.asarray(leaf).dtype, jnp.floating)


def _wide(leaf: ArrayLike, like: Array | None = None) -> Array:
    """In the type to compute in: float32 for half types, else the array's own, or that of another array."""
    like = jnp.asarray(leaf) if like is None else like
    return jnp.asarray(leaf).astype(
        np.promote_types(like.dtype, np.float32)
    )  # JAX's own refuses under strict promotion


def _floats(weights: Weights) -> list[Array]:
    return [jnp.asarray(leaf) for leaf in jax.tree.leaves(weights) if _floating(leaf)]


def _with_floats(weights: Weights, floats: list[Array]) -> Weights:
    """The weights with other floating leaves, in order."""
    others = iter(floats)
    return jax.tree.map(lambda leaf: next(others) if _floating(leaf) else jnp.asarray(leaf), weights)


def _with_noise(key: Key, weights: Weights, deviations: list[Array], std: Scalar) -> Weights:
    floats = _floats(weights)
    wide = functools.reduce(np.promote_types, (x.dtype for x in floats), np.dtype(np.float32))
    draws = for_each(lambda size: jax.random.normal(key, (size,), wide), floats)

    def noisy(leaf: Array, deviation: Array, draw: Array) -> Array:
        strength = deviation * jnp.asarray(std, deviation.dtype)
        return leaf + (strength * draw.astype(deviation.dtype)).astype(leaf.dtype)

    return _with_floats(weights, [noisy(*three) for three in zip(floats, deviations, draws, strict=True)])


def _deviation(x: Array) -> Float[Array, ""]:
    """The standard deviation of all entries, with gradient 0 where it is 0 (the root's own is infinite there)."""
    variance = jnp.var(x)
    varies = variance > 0
    return jnp.where(varies, jnp.sqrt(jnp.where(varies, variance, jnp.ones_like(variance))), jnp.zeros_like(variance))


def _check_statistics(weights: Weights, statistics: Statistics) -> None:
    check_structure(weights, jax.tree.structure(statistics.mean), "the data set's statistics")
    leaves, means = jax.tree.leaves(weights), jax.tree.leaves(statistics.mean)
    for name, leaf, mean in zip(leaf_names(weights), leaves, means, strict=True):
        check_shape(name, jnp.shape(leaf), jnp.shape(mean), "the data set's mean network")


def _magnitudes(weights: Weights) -> list[Array]:
    """|w| of every floating array, flat, all in one type that holds each of them exactly."""
    leaves = _floats(weights)
    wide = functools.reduce(np.promote_types, (leaf.dtype for leaf in leaves), np.dtype(np.float32))
    return [jnp.abs(leaf).astype(wide).reshape(-1) for leaf in leaves]


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
        raised = found | (jnp.ones_like(found) << (width - 1 - i).astype(whole))
        fewer = jnp.stack([count(x, raised[j]) for j, x in enumerate(rows)]) <= below
        return jnp.where(fewer, raised, found)

    found = jax.lax.fori_loop(0, width, refine, jnp.zeros(len(rows), whole))
    return jax.lax.bitcast_convert_type(found, samples[0].dtype)


def _in_rows(x: Array, rows: int = 8) -> Array:
    """Filled up with the largest number, which no count includes: XLA counts rows side by side faster than one line."""
    return jnp.pad(x, (0, -x.size % rows), constant_values=np.iinfo(x.dtype).max).reshape(rows, -1)


def _without_small(weights: Weights, magnitudes: list[Array], least: Float[Array, " arrays"]) -> Weights:
    floats = _floats(weights)
    small = [(size < least[j]).reshape(x.shape) for j, (x, size) in enumerate(zip(floats, magnitudes, strict=True))]
    return _with_floats(weights, [jnp.where(s, jnp.zeros_like(x), x) for x, s in zip(floats, small, strict=True)])
