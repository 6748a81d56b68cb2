"""Perturbations: noise, dropout, pruning and the way to the mean, which change the function in no known way."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from wsjax.augment.draws import dropped, for_each, normals
from wsjax.augment.register import FRACTION, NOT_NEGATIVE, register
from wsjax.augment.statistics import Statistics, check_statistics
from wsjax.floats import common, floating, floats_of, inexact, wide, widened, with_floats
from wsjax.symmetry import Symmetry
from wsjax.symmetry.axes import atoms, base, vector_along
from wsjax.symmetry.draws import varying_as
from wsjax.typing import Key, Scalar, Weights


@register(
    effect="perturbs",
    formula="w' = w + std sd(w) N(0, 1), sd of each array of the network",
    identity={"std": 0.0},
    ranges={"std": NOT_NEGATIVE},
)
def noise(key: Key, weights: Weights, *, std: Scalar = 0.1) -> Weights:
    """Add Gaussian noise to every array, in units of that array's own deviation.

    w' = w + std * sd(w) * N(0, 1), sd over the entries of one array of one network. An array of one entry has
    deviation 0 and stays.

    **Perturbs** the function.

    Args:
        std: [] multiples of each array's standard deviation; 0 is the identity.

    Returns:
        A transform `(key, weights) -> weights` of one network, any pytree; leaves that are not floating point stay.

    Raises:
        ValueError: a negative std.

    Source: arXiv 2402.04081, section 4. The code of arXiv 2301.12780 adds the same constant to every entry instead
    of noise.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> w = {"kernel": jnp.arange(4.0)}
        >>> bool((noise(std=0.5)(jax.random.key(1), w)["kernel"] == w["kernel"]).any())
        False
    """
    return _with_noise(key, weights, [_deviation(x) for x in map(widened, floats_of(weights))], std)


@register(
    effect="perturbs",
    formula="the same, sd of each array over the data set",
    identity={"std": 0.0},
    ranges={"std": NOT_NEGATIVE},
)
def noise_shared(key: Key, weights: Weights, statistics: Statistics, *, std: Scalar = 0.1) -> Weights:
    """Add Gaussian noise to every array, in units of the data set's deviation of that array.

    w' = w + std * sd * N(0, 1), sd over the entries of that array in all networks: the noise is as strong in every
    network, and arrays of one entry change too.

    **Perturbs** the function.

    Args:
        statistics: of the data set, as `statistics_of` gives them.
        std: [] multiples of each array's standard deviation in the data set; 0 is the identity.

    Returns:
        A transform `(key, weights) -> weights` of one network, any pytree; leaves that are not floating point stay.

    Raises:
        ValueError: a negative std, or weights without the structure and shapes of the statistics.

    Source: arXiv 2402.04081, section 4, with one deviation for all networks; its code takes each network's own, as
    `noise` does.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from wsjax.augment import statistics_of
        >>> known = statistics_of((jnp.array([[1.0], [3.0]]),))
        >>> bool(noise_shared(statistics=known, std=0.5)(jax.random.key(0), (jnp.ones(1),))[0] == 1)
        False
    """
    check_statistics(weights, statistics)
    pairs = zip(jax.tree.leaves(weights), jax.tree.leaves(statistics.deviation), strict=True)
    return _with_noise(key, weights, [widened(sd, jnp.asarray(x)) for x, sd in pairs if floating(x)], std)


@register(
    effect="perturbs",
    formula="w' = survivors w B, B ~ Bernoulli(1 - rate) for each weight",
    identity={"rate": 0.0, "survivors": 1.0},
    ranges={"rate": FRACTION, "survivors": NOT_NEGATIVE},
)
def dropout(key: Key, weights: Weights, *, rate: Scalar = 0.1, survivors: Scalar = 1.0) -> Weights:
    """Set each weight to zero with a given chance; the others stay as they are, unless you have them multiplied.

    w' = survivors w m, m ~ Bernoulli(1 - rate) for each entry of each array.

    **Perturbs** the function.

    Args:
        rate: [] chance for each weight, in [0, 1]; 0 is the identity.
        survivors: [] what the others are multiplied by; 1 / (1 - rate) keeps each weight's mean.

    Returns:
        A transform `(key, weights) -> weights` of one network, any pytree; leaves that are not floating point stay.

    Raises:
        ValueError: a rate outside [0, 1], or survivors below 0.

    Source: arXiv 2402.04081, section 4, whose code multiplies the survivors by 1 / (1 - rate). That keeps the mean of
    a hidden unit's input in a network that is being trained; here it moves every surviving weight of the data, by
    11 % at a rate of 0.1, so that it is not the default.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> sorted(set(dropout(rate=0.5)(jax.random.key(0), jnp.full(100, 3.0)).tolist()))
        [0.0, 3.0]
    """
    floats = floats_of(weights)
    gone = for_each(lambda shape, start: dropped(key, shape, rate, start), floats)

    def left(x: Array, mask: Array) -> Array:
        kept = widened(x) * jnp.asarray(survivors, wide(x))
        return jnp.where(mask, jnp.zeros_like(x), kept.astype(x.dtype))

    return with_floats(weights, [left(x, mask) for x, mask in zip(floats, gone, strict=True)])


@register(
    effect="perturbs",
    formula="all that makes and reads a neuron is 0, with chance rate",
    identity={"rate": 0.0},
    ranges={"rate": FRACTION},
)
def drop_neurons(key: Key, weights: Weights, symmetry: Symmetry, *, rate: Scalar = 0.1) -> Weights:
    """Remove each neuron of every group with a given chance.

    For a dropped neuron all that makes it (its column of W_i and its entry of b_i) and all that reads it (its row of
    W_{i+1}) is zero; a convolution's channel goes with every position of it.

    **Perturbs** the function.

    Args:
        symmetry: its Symmetry, which says where the neurons are.
        rate: [] chance for each neuron, in [0, 1]; 0 is the identity.

    Returns:
        A transform `(key, weights) -> weights` of one network.

    Raises:
        ValueError: a rate outside [0, 1], or weights of another Symmetry.

    Source: dropout of units (Srivastava et al. 2014), on networks that are data; arXiv 2402.04081 drops single
    weights only.

    Example:
        >>> import jax
        >>> from wsjax import networks, symmetry
        >>> w, spec = networks.siren_init(jax.random.key(0), (2, 8, 1)), symmetry.siren((2, 8, 1))
        >>> dropped = drop_neurons(spec, rate=0.5)(jax.random.key(1), w)
        >>> bool(((dropped[0].kernel == 0).all(axis=0) == (dropped[1].kernel == 0).all(axis=1)).all())
        True
    """
    kept = {
        name: ~jax.random.bernoulli(jax.random.fold_in(key, i), rate, (group.size,))
        for i, (name, group) in enumerate(symmetry.groups.items())
    }
    leaves = symmetry.leaves(weights)
    for i, axes in enumerate(symmetry.axes):
        if not inexact(leaves[i]):
            continue
        for axis, entry in enumerate(axes.entries):
            if not {base(name) for name in atoms(entry)} & set(kept):
                continue
            stays = vector_along(entry, symmetry.sizes, kept)
            stays = jnp.expand_dims(stays, [a for a in range(leaves[i].ndim) if a != axis])
            leaves[i] = jnp.where(stays, leaves[i], jnp.zeros_like(leaves[i]))
    return symmetry.unflatten(leaves)


@register(
    effect="perturbs",
    formula="w' = (1 - s) w + s mean of the data set",
    identity={"max_fraction": 0.0},
    ranges={"max_fraction": FRACTION},
)
def towards_mean(key: Key, weights: Weights, statistics: Statistics, *, max_fraction: Scalar = 0.2) -> Weights:
    """Move a network part of the way to the data set's mean network.

    w' = (1 - s) w + s mean, one s ~ U(0, max_fraction) for the network. The mean is that of neurons in the data set's
    own order: place this before `permute` and the other symmetries.

    **Perturbs** the function.

    Args:
        statistics: of the data set, as `statistics_of` gives them.
        max_fraction: [] the largest fraction of the way, in [0, 1]; 0 is the identity.

    Returns:
        A transform `(key, weights) -> weights` of one network, any pytree; leaves that are not floating point stay.

    Raises:
        ValueError: a max_fraction outside [0, 1], or weights without the structure and shapes of the statistics.

    Source: no paper; MixUp of arXiv 2402.04081, section 5, with the mean network as every partner.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from wsjax.augment import statistics_of
        >>> known = statistics_of((jnp.array([[0.0], [8.0]]),))
        >>> 3 <= float(towards_mean(statistics=known)(jax.random.key(0), (jnp.full(1, 3.0),))[0][0]) <= 3.2
        True
    """
    check_statistics(weights, statistics)
    fraction = jax.random.uniform(key, maxval=max_fraction)

    def move(x: ArrayLike, mean: ArrayLike) -> Array:
        leaf = jnp.asarray(x)
        if not floating(leaf):
            return leaf
        s = jnp.asarray(fraction, wide(leaf))
        return ((1 - s) * widened(leaf) + s * widened(mean, leaf)).astype(leaf.dtype)

    return jax.tree.map(move, weights, statistics.mean)


def _with_noise(key: Key, weights: Weights, deviations: list[Array], std: Scalar) -> Weights:
    floats = floats_of(weights)
    draws = for_each(lambda shape, start: normals(key, shape, start, common(floats)), floats)

    def noisy(leaf: Array, deviation: Array, draw: Array) -> Array:
        strength = deviation * jnp.asarray(std, deviation.dtype)
        return (widened(leaf) + strength * draw.astype(deviation.dtype)).astype(leaf.dtype)

    return with_floats(weights, [noisy(*three) for three in zip(floats, deviations, draws, strict=True)])


def _deviation(x: Array) -> Float[Array, ""]:
    """The standard deviation of all entries, with gradient 0 where it is 0 (the root's own is infinite there)."""
    variance = jnp.var(x)
    varies = variance > 0
    return jnp.where(varies, jnp.sqrt(jnp.where(varies, variance, jnp.ones_like(variance))), jnp.zeros_like(variance))


@register(
    effect="perturbs",
    formula="0 where |w| is below its array's q-quantile, q uniform on [0, max_quantile]",
    identity={"max_quantile": 0.0},
    ranges={"max_quantile": FRACTION},
)
def prune(key: Key, weights: Weights, *, max_quantile: Scalar = 0.1) -> Weights:
    """Set the smallest entries of each array to zero, up to a random quantile of its magnitudes.

    w' = w where |w| >= Q_q(|w|), else 0: one q ~ U(0, max_quantile) for the network, Q_q the magnitude in one array
    that a fraction q of its entries, rounded down, lies below. Where that is less than one entry, the array stays.

    **Perturbs** the function.

    Args:
        max_quantile: [] the largest fraction of each array to remove, in [0, 1]; 0 is the identity.

    Returns:
        A transform `(key, weights) -> weights` of one network, any pytree; leaves that are not floating point stay.

    Raises:
        ValueError: a max_quantile outside [0, 1].

    Source: the quantile augmentation in the code of arXiv 2402.04081, which takes one quantile over all arrays:
    `prune_global`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> pruned = prune(max_quantile=0.5)(jax.random.key(0), jnp.arange(1.0, 101.0))
        >>> bool((jnp.diff(pruned) >= 0).all()), 0 < int((pruned == 0).sum()) <= 50
        (True, True)
    """
    magnitudes = _magnitudes(weights)
    if not magnitudes:
        return weights
    return _without_small(weights, magnitudes, _quantiles(magnitudes, jax.random.uniform(key, maxval=max_quantile)))


@register(
    effect="perturbs",
    formula="the same, one quantile for all arrays",
    identity={"max_quantile": 0.0},
    ranges={"max_quantile": FRACTION},
)
def prune_global(key: Key, weights: Weights, *, max_quantile: Scalar = 0.1) -> Weights:
    """Set the smallest entries of the whole network to zero, up to a random quantile of all magnitudes.

    w' = w where |w| >= Q_q, else 0: q ~ U(0, max_quantile), Q_q as in `prune` but over all arrays together. The layers
    of a fitted SIREN differ in deviation by 6 to 10 times, so this prunes mostly one of them; `prune` treats all alike.

    **Perturbs** the function.

    Args:
        max_quantile: [] the largest fraction of the network to remove, in [0, 1]; 0 is the identity.

    Returns:
        A transform `(key, weights) -> weights` of one network, any pytree; leaves that are not floating point stay.

    Raises:
        ValueError: a max_quantile outside [0, 1].

    Source: the quantile augmentation in the code of arXiv 2402.04081; the same there.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> small, large = prune_global()(jax.random.key(0), (jnp.arange(1.0, 51.0), jnp.arange(51.0, 101.0)))
        >>> int((small == 0).sum()) > 0, int((large == 0).sum())
        (True, 0)
    """
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
    """Of each of several flat arrays of non-negative floats the entry that this fraction, rounded down, lies below.

    Read as integers, the bits of such floats are in the floats' own order, so the entry is found from its highest
    bit down by counting. That takes one pass for each bit and no sort, which on a CPU takes twenty times as long.
    """
    whole = np.dtype(f"int{8 * samples[0].dtype.itemsize}")
    width = 8 * whole.itemsize - 1  # without the sign
    rows = [_in_rows(jax.lax.bitcast_convert_type(x, whole)) for x in samples]
    below = jnp.stack([jnp.minimum((quantile * x.size).astype(jnp.int32), x.size - 1) for x in samples])

    def count(x: Array, bound: Array) -> Array:
        # A sum of floats runs faster than one of integers, and is as exact up to 2^24 of them.
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
