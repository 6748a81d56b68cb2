"""Perturbations: noise, dropout, pruning and interpolation to the mean, which change the function in no known way.

Each takes one network, any pytree; leaves that are not floating point stay. `drop_neurons` alone needs its Symmetry.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from wsjax.augment.draws import dropped, for_each, normals
from wsjax.augment.register import FRACTION, MAGNITUDE, Range, register
from wsjax.augment.statistics import Statistics, check_statistics
from wsjax.floats import common, floating, floats_of, inexact, uncut, wide, widened, with_floats
from wsjax.symmetry import Symmetry
from wsjax.symmetry.axes import base, on_parts, places_of
from wsjax.symmetry.draws import varying_as
from wsjax.typing import Key, Scalar, Weights


@register(
    effect="perturbs", formula="w' = w + std sd(w) N(0, 1), sd of each array of the network", ranges={"std": MAGNITUDE}
)
def noise(key: Key, weights: Weights, *, std: Scalar = 0.1) -> Weights:
    """Add Gaussian noise to every array, in units of that array's own deviation.

    **Perturbs** the function: w' = w + std * sd(w) * N(0, 1), sd over the entries of one array, so that one of a single
    entry stays.

    Args:
        std: [] multiples of each array's standard deviation; 0 is the identity.

    Raises: ValueError: a negative std.

    Source: arXiv 2402.04081, section 4. The code of arXiv 2301.12780 adds the same constant to every entry instead
    of noise.

    Example:
        >>> w = {"kernel": jnp.arange(4.0)}
        >>> bool((noise(std=0.5)(jax.random.key(1), w)["kernel"] == w["kernel"]).any())
        False
    """
    return _with_noise(key, weights, [_deviation(x) for x in map(widened, floats_of(weights))], std)


@register(effect="perturbs", formula="the same, sd of each array over the data set", ranges={"std": MAGNITUDE})
def noise_shared(key: Key, weights: Weights, statistics: Statistics, *, std: Scalar = 0.1) -> Weights:
    """Add Gaussian noise to every array, in units of the data set's deviation of that array.

    **Perturbs** the function: w' = w + std * sd * N(0, 1), sd over the entries of that array in all networks, arrays of
    one entry too.

    Args:
        statistics: of the data set, as `augment.statistics.statistics_of` gives them.
        std: [] multiples of each array's standard deviation in the data set; 0 is the identity.

    Raises: ValueError: a negative std, or weights without the structure and shapes of the statistics.

    Source: arXiv 2402.04081, section 4, whose code takes each network's own deviation, as `noise` does.

    Example:
        >>> from wsjax.augment.statistics import statistics_of
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
    ranges={"rate": FRACTION, "survivors": Range(identity=1.0)},
)
def dropout(key: Key, weights: Weights, *, rate: Scalar = 0.1, survivors: Scalar = 1.0) -> Weights:
    """Set each weight to zero with a given chance; the others stay as they are, unless you have them multiplied.

    **Perturbs** the function: w' = survivors w m, m ~ Bernoulli(1 - rate) for each entry of each array.

    Args:
        rate: [] chance for each weight, in [0, 1]; 0 is the identity.
        survivors: [] what the others are multiplied by; 1 / (1 - rate) keeps each weight's mean.

    Raises: ValueError: a rate outside [0, 1], or survivors below 0.

    Source: arXiv 2402.04081, section 4, whose code multiplies the survivors by 1 / (1 - rate), which keeps the mean of
    a hidden unit's input in training. Here it would move every surviving weight, by 11 % at a rate of 0.1.

    Example:
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
    formula="all that produces or consumes a neuron is 0, with chance rate",
    ranges={"rate": FRACTION},
)
def drop_neurons(key: Key, weights: Weights, symmetry: Symmetry, *, rate: Scalar = 0.1) -> Weights:
    """Remove each neuron of every group with a given chance.

    **Perturbs** the function: all that makes a dropped neuron (its column of W_i, its entry of b_i) and all that reads
    it (its row of W_{i+1}) is zero, complex arrays too; a convolution's channel goes with every position of it. Of a
    group within another axis each index has draws of its own.

    Args:
        symmetry: its Symmetry, which says where the neurons are.
        rate: [] chance for each neuron, in [0, 1]; 0 is the identity.

    Raises: ValueError: a rate outside [0, 1], or weights of another Symmetry.

    Source: dropout of units, Srivastava et al. 2014; arXiv 2402.04081 drops single weights only.

    Example:
        >>> from wsjax import networks, symmetry
        >>> w, spec = networks.siren_init(jax.random.key(0), (2, 8, 1)), symmetry.siren((2, 8, 1))
        >>> dropped = drop_neurons(spec, rate=0.5)(jax.random.key(1), w)
        >>> bool(((dropped[0].kernel == 0).all(axis=0) == (dropped[1].kernel == 0).all(axis=1)).all())
        True
    """
    kept = {
        name: ~jax.random.bernoulli(jax.random.fold_in(key, i), rate, (*symmetry.lead(name), group.size))
        for i, (name, group) in enumerate(symmetry.groups.items())
    }

    def left(part: Array, names: tuple[str, ...]) -> Array:
        for axis, name in enumerate(names):
            if (stays := kept.get(base(name))) is not None:
                places = (*places_of(symmetry.chain(base(name)), names, axis), axis)
                stays = jnp.transpose(stays, np.argsort(places).tolist())
                stays = jnp.expand_dims(stays, [a for a in range(part.ndim) if a not in places])
                part = jnp.where(stays, part, jnp.zeros_like(part))
        return part

    pairs = zip(symmetry.leaves(weights), symmetry.axes, strict=True)
    moved = [on_parts(x, a.entries, symmetry.sizes, left) if inexact(x) else x for x, a in pairs]
    return symmetry.unflatten(moved)


@register(effect="perturbs", formula="w' = (1 - s) w + s mean of the data set", ranges={"max_fraction": FRACTION})
def towards_mean(key: Key, weights: Weights, statistics: Statistics, *, max_fraction: Scalar = 0.2) -> Weights:
    """Move a network part of the way to the data set's mean network.

    **Perturbs** the function: w' = (1 - s) w + s mean, one s ~ U(0, max_fraction) for the network. The mean is that of
    neurons in the data set's own order: place this before `permute` and the other symmetries.

    Args:
        statistics: of the data set, as `augment.statistics.statistics_of` gives them.
        max_fraction: [] the largest fraction of the way, in [0, 1]; 0 is the identity.

    Raises: ValueError: a max_fraction outside [0, 1], or weights without the structure and shapes of the statistics.

    Source: no paper; MixUp of arXiv 2402.04081, section 5, with the mean network as every partner.

    Example:
        >>> from wsjax.augment.statistics import statistics_of
        >>> known = statistics_of((jnp.array([[0.0], [8.0]]),))
        >>> 3 <= float(towards_mean(statistics=known)(jax.random.key(0), (jnp.full(1, 3.0),))[0][0]) <= 3.2
        True
    """
    check_statistics(weights, statistics)
    fraction = jax.random.uniform(key, maxval=max_fraction)

    def move(x: ArrayLike, mean: ArrayLike) -> Array | np.ndarray:
        if not floating(x):
            return uncut(x)
        leaf = jnp.asarray(x)
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
    ranges={"max_quantile": FRACTION},
)
def prune(key: Key, weights: Weights, *, max_quantile: Scalar = 0.1) -> Weights:
    """Set the smallest entries of each array to zero, up to a random quantile of its magnitudes.

    **Perturbs** the function: w' = w where |w| >= Q_q(|w|), else 0: one q ~ U(0, max_quantile) for the network, Q_q the
    magnitude in one array that a fraction q of its entries, rounded down, lies below.

    Args:
        max_quantile: [] the largest fraction of each array to remove, in [0, 1]; 0 is the identity.

    Raises: ValueError: a max_quantile outside [0, 1].

    Source: the quantile augmentation in the code of arXiv 2402.04081, which takes one quantile over all arrays:
    `prune_global`.

    Example:
        >>> pruned = prune(max_quantile=0.5)(jax.random.key(0), jnp.arange(1.0, 101.0))
        >>> bool((jnp.diff(pruned) >= 0).all()), 0 < int((pruned == 0).sum()) <= 50
        (True, True)
    """
    return _pruned(weights, jax.random.uniform(key, maxval=max_quantile), together=False)


@register(effect="perturbs", formula="the same, one quantile for all arrays", ranges={"max_quantile": FRACTION})
def prune_global(key: Key, weights: Weights, *, max_quantile: Scalar = 0.1) -> Weights:
    """Set the smallest entries of the whole network to zero, up to a random quantile of all magnitudes.

    **Perturbs** the function: w' = w where |w| >= Q_q, else 0: q ~ U(0, max_quantile), Q_q as in `prune` but over all
    arrays together. The layers of a fitted SIREN differ in deviation by 6 to 10 times, so this prunes mostly one of
    them; `prune` treats all alike.

    Args:
        max_quantile: [] the largest fraction of the network to remove, in [0, 1]; 0 is the identity.

    Raises: ValueError: a max_quantile outside [0, 1].

    Source: the quantile augmentation in the code of arXiv 2402.04081; the same there.

    Example:
        >>> small, large = prune_global()(jax.random.key(0), (jnp.arange(1.0, 51.0), jnp.arange(51.0, 101.0)))
        >>> int((small == 0).sum()) > 0, int((large == 0).sum())
        (True, 0)
    """
    return _pruned(weights, jax.random.uniform(key, maxval=max_quantile), together=True)


def _pruned(weights: Weights, quantile: Array, *, together: bool) -> Weights:
    """Without the entries below the quantile of their own array, or of all of them together."""
    if not (floats := floats_of(weights)):
        return weights
    dtype = common(floats)  # which holds each of them exactly
    sizes = [jnp.abs(x).astype(dtype).reshape(-1) for x in floats]
    least = _quantiles([jnp.concatenate(sizes)] if together else sizes, quantile)
    small = [
        (size < bound).reshape(x.shape)
        for x, size, bound in zip(floats, sizes, jnp.broadcast_to(least, len(floats)), strict=True)
    ]
    return with_floats(weights, [jnp.where(s, jnp.zeros_like(x), x) for x, s in zip(floats, small, strict=True)])


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


def _in_rows(x: Array) -> Array:
    """Filled up with the largest number, which no count includes: XLA counts rows side by side faster than one line."""
    return jnp.pad(x, (0, -x.size % 8), constant_values=np.iinfo(x.dtype).max).reshape(8, -1)
