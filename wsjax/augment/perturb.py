"""Perturbations: the function changes a little, in no known way. Those by magnitude are in `prune`.

`compose.leave_out` keeps chosen arrays, the output layer for example, out of any of them.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from wsjax.augment.draws import dropped, for_each, normals
from wsjax.augment.statistics import Statistics, check_statistics
from wsjax.errors import check_number
from wsjax.floats import common, floating, floats_of, inexact, wide, widened, with_floats
from wsjax.symmetry import Symmetry
from wsjax.symmetry.axes import atoms, base, vector_along
from wsjax.typing import Key, Scalar, Weights


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
        >>> import jax, jax.numpy as jnp
        >>> w = {"kernel": jnp.arange(4.0)}
        >>> bool((noise(jax.random.key(1), w, std=0.5)["kernel"] == w["kernel"]).any())
        False
    """
    check_number("std", std, low=0)
    return _with_noise(key, weights, [_deviation(x) for x in map(widened, floats_of(weights))], std)


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
        >>> from wsjax.augment import statistics_of
        >>> known = statistics_of((jnp.array([[1.0], [3.0]]),))
        >>> bool(noise_shared(jax.random.key(0), (jnp.ones(1),), statistics=known, std=0.5)[0] == 1)
        False
    """
    check_number("std", std, low=0)
    check_statistics(weights, statistics)
    pairs = zip(jax.tree.leaves(weights), jax.tree.leaves(statistics.deviation), strict=True)
    return _with_noise(key, weights, [widened(sd, jnp.asarray(x)) for x, sd in pairs if floating(x)], std)


def dropout(key: Key, weights: Weights, *, rate: Scalar = 0.1, survivors: Scalar = 1.0) -> Weights:
    """Set each weight to zero with a given chance; the others stay as they are, unless you have them multiplied.

    w' = survivors w m, m ~ Bernoulli(1 - rate) for each entry of each array.

    **Perturbs** the function.

    Args:
        key: a typed key.
        weights: one network, any pytree; leaves that are not floating point stay.
        rate: [] chance for each weight, in [0, 1]; 0 is the identity.
        survivors: [] what the others are multiplied by; 1 / (1 - rate) keeps each weight's mean.

    Raises:
        ValueError: a rate outside [0, 1], or survivors below 0.

    Source: arXiv 2402.04081, section 4, whose code multiplies the survivors by 1 / (1 - rate). That keeps the mean of
    a hidden unit's input in a network that is being trained; here it moves every surviving weight of the data, by
    11 % at a rate of 0.1, so that it is not the default.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> sorted(set(dropout(jax.random.key(0), jnp.full(100, 3.0), rate=0.5).tolist()))
        [0.0, 3.0]
    """
    check_number("rate", rate, low=0, high=1)
    check_number("survivors", survivors, low=0)
    floats = floats_of(weights)
    gone = for_each(lambda shape, start: dropped(key, shape, rate, start), floats)

    def left(x: Array, mask: Array) -> Array:
        kept = widened(x) * jnp.asarray(survivors, wide(x))
        return jnp.where(mask, jnp.zeros_like(x), kept.astype(x.dtype))

    return with_floats(weights, [left(x, mask) for x, mask in zip(floats, gone, strict=True)])


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
        if not inexact(leaves[i]):
            continue
        for axis, entry in enumerate(axes.entries):
            if not {base(name) for name in atoms(entry)} & set(kept):
                continue
            stays = vector_along(entry, symmetry.sizes, kept)
            stays = jnp.expand_dims(stays, [a for a in range(leaves[i].ndim) if a != axis])
            leaves[i] = jnp.where(stays, leaves[i], jnp.zeros_like(leaves[i]))
    return symmetry.unflatten(leaves)


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
        >>> from wsjax.augment import statistics_of
        >>> known = statistics_of((jnp.array([[0.0], [8.0]]),))
        >>> 3 <= float(towards_mean(jax.random.key(0), (jnp.full(1, 3.0),), statistics=known)[0][0]) <= 3.2
        True
    """
    check_number("max_share", max_share, low=0, high=1)
    check_statistics(weights, statistics)
    share = jax.random.uniform(key, maxval=max_share)

    def move(x: ArrayLike, mean: ArrayLike) -> Array:
        leaf = jnp.asarray(x)
        if not floating(leaf):
            return leaf
        s = jnp.asarray(share, wide(leaf))
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
