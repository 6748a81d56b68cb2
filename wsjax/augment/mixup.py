"""MixUp of networks and their labels, and label smoothing: augmentations of whole batches.

Every MixUp is s theta + (1 - s) theta_partner with one `MixingCoefficient` s for each network. They differ in the
partner: another network of the batch, of its class or of its object, of a pool, aligned or permuted first, or an
augmented copy of the network itself. Labels mix by the same s where they are floating point, and may be None.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any, Concatenate, NamedTuple, ParamSpec, TypedDict, Unpack

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, ArrayLike, Bool, Float, Int, PyTree

from wsjax.augment.compose import batched, stack_size
from wsjax.augment.draws import uniforms
from wsjax.augment.exact import permute
from wsjax.augment.perturb import noise
from wsjax.augment.register import FRACTION, POSITIVE, Range, register
from wsjax.errors import check_number, check_same_shapes, check_shape, check_structure, leaf_names
from wsjax.floats import inexact, uncut, wide, widened
from wsjax.symmetry import Symmetry, act, align
from wsjax.symmetry.align import Over
from wsjax.symmetry.draws import permutations
from wsjax.typing import Batch, Key, Scalar, Transform, Weights

P = ParamSpec("P")
BOUND = Range(high=1.0, identity=1.0)


class MixingCoefficient(NamedTuple):
    """What a network contributes to its mixture: s = low + (high - low) Beta(alpha, beta), its partner 1 - s.

    alpha: positive; 1 is uniform, towards 0 one of the two networks takes all. beta: positive, None for alpha, which
    draws faster; above alpha, the partner prevails. low, high: bounds in [0, 1]; both 1 is the identity.
    """

    alpha: Scalar = 0.4
    beta: Scalar | None = None
    low: Scalar = 0.0
    high: Scalar = 1.0

    def draw(self, key: Key, batch: Batch) -> Float[Array, " batch"]:
        """One for each network of a batch, from a key of its own."""
        alpha, beta, low, high = self
        check_number("low", low, low=0, high=1 if isinstance(high, Tracer) else float(np.asarray(high)))
        key, size = jax.random.fold_in(key, 0), check_batch(batch)
        draw = symmetric_beta(key, alpha, size) if beta is None else jax.random.beta(key, alpha, beta, (size,))
        low, high = jnp.asarray(low, draw.dtype), jnp.asarray(high, draw.dtype)
        return low + (high - low) * draw


class Coefficient(TypedDict, total=False):
    """The fields of a `MixingCoefficient`, as settings."""

    alpha: Scalar
    beta: Scalar | None
    low: Scalar
    high: Scalar


def mixing(formula: str) -> Callable[[Callable[Concatenate[Key, Batch, P], Batch]], Callable[P, Transform[Batch]]]:
    """`register` for a MixUp, whose `**coefficient` are the fields of a `MixingCoefficient` as settings of its own."""

    def registered(function: Callable[Concatenate[Key, Batch, P], Batch]) -> Callable[P, Transform[Batch]]:
        *own, _ = inspect.signature(function).parameters.values()
        shared = inspect.signature(MixingCoefficient).parameters.values()
        settings = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in shared]
        function.__signature__ = inspect.Signature([*own, *settings])  # type: ignore[attr-defined]
        ranges = {"alpha": POSITIVE, "beta": POSITIVE, "low": BOUND, "high": BOUND}
        return register(function, effect="mixes", level="batch", formula=formula, ranges=ranges)

    return registered


def symmetric_beta(key: Key, alpha: Scalar, size: int) -> Float[Array, " batch"]:
    """Beta(alpha, alpha) from two uniform numbers, 3 to 20 times faster on a CPU than `jax.random.beta`, which rejects.

    A Student t of 2 alpha degrees of freedom is t = sqrt(2 alpha (u^(-1/alpha) - 1)) cos(2 pi v) (Bailey 1994), and
    (1 + t / sqrt(2 alpha + t^2)) / 2 is Beta(alpha, alpha): with r = (u^(-1/alpha) - 1) cos^2(2 pi v), it is
    (1 +- sqrt(r / (1 + r))) / 2. In logarithms, as a small alpha overflows.
    """
    return _symmetric_beta(*uniforms(key, (size,)), alpha)


# Outside of `jit` one program, in place of one for each operation; within it no call of its own.
@functools.partial(jax.jit, inline=True)
def _symmetric_beta(uniform: Array, turn: Array, alpha: Scalar) -> Array:
    spread = -jnp.log(uniform)
    power = jnp.maximum(spread / jnp.asarray(alpha, spread.dtype), 1e-30)  # at 0 the gradient is infinite
    cosine = jnp.cos(2 * jnp.pi * turn)
    log_ratio = power + jnp.log(-jnp.expm1(-power)) + 2 * jnp.log(jnp.abs(cosine))
    return 0.5 + 0.5 * jnp.sign(cosine) * jnp.exp(0.5 * jax.nn.log_sigmoid(log_ratio))


def mix(batch: Batch, partner: Batch, coefficient: Float[Array, " batch"]) -> Batch:
    """s batch + (1 - s) partner, weights and labels with the same mixing coefficient s for each network.

    Leaves that are not floating point stay those of `batch`, as does `object`.
    """
    size = check_batch(batch)
    check_batch(partner, "partner")
    check_floating(batch.label)
    check_same_shapes(partner._replace(object=None), batch._replace(object=None), "the batch", "partner")
    check_shape("coefficient", jnp.shape(coefficient), (size,), "the batch")
    return batch._replace(
        weights=blend(batch.weights, partner.weights, coefficient), label=blend(batch.label, partner.label, coefficient)
    )


def blend(mine: PyTree, other: PyTree, coefficient: Float[Array, " batch"]) -> PyTree:
    def leaf(a: ArrayLike, b: ArrayLike) -> Any:
        a = uncut(a)
        if isinstance(a, np.ndarray) or not inexact(a):
            return a
        s = jnp.expand_dims(coefficient, range(1, a.ndim)).astype(wide(a))
        return (s * widened(a) + (1 - s) * widened(b, a)).astype(a.dtype)

    return jax.tree.map(leaf, mine, other)


def partners(key: Key, size: int, pool: Int[ArrayLike, " batch"] | None = None) -> Int[Array, " batch"]:
    """Each network's partner, along a uniformly random cycle through the networks of the same number in `pool`.

    So partners are a permutation of the batch, every other network of the pool is equally likely, and none is its own
    partner, except one that is alone in its pool, which stays as it is.
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


@functools.partial(jax.jit, inline=True)
def partners_in(
    key: Key, objects: Int[ArrayLike, " batch"], pool: Int[ArrayLike, " networks"]
) -> tuple[Int[Array, " batch"], Bool[Array, " batch"]]:
    """For each network a row of a pool of the same object, uniformly drawn, and whether the pool holds one.

    The row is one of the pool's, of whatever object, where it holds none.
    """
    order = jnp.argsort(jnp.asarray(pool))
    known = jnp.asarray(pool)[order]
    first, end = (jnp.searchsorted(known, jnp.asarray(objects), side=side) for side in ("left", "right"))
    place = jax.random.randint(key, first.shape, first, jnp.maximum(end, first + 1))
    return order[jnp.minimum(place, len(order) - 1)], end > first


def _pair(
    key: Key, batch: Batch, coefficient: Coefficient, pool: Int[ArrayLike, " batch"] | None = None
) -> tuple[Float[Array, " batch"], Batch]:
    """The mixing coefficients, and partners out of the same batch, of the same number in `pool`."""
    rows = partners(jax.random.fold_in(key, 1), check_batch(batch), pool)
    return MixingCoefficient(**coefficient).draw(key, batch), take(batch, rows)


@mixing("s w + (1 - s) w_partner, labels alike, s = low + (high - low) Beta(alpha, beta)")
def mixup(key: Key, batch: Batch, **coefficient: Unpack[Coefficient]) -> Batch:
    """Mix each network with another of the batch.

    **Mixes** the function and the label: theta' = s theta + (1 - s) theta_partner, y' = s y + (1 - s) y_partner, for
    each network with its own s = low + (high - low) Beta(alpha, beta).

    Args:
        alpha: [] positive; 1 is a uniform coefficient, towards 0 one of the two networks takes all.
        beta: [] positive; None is alpha, and draws faster. Above alpha, the partner prevails.
        low, high: [] bounds of the coefficient, in [0, 1]; low = high = 1 is the identity.

    Raises: ValueError: alpha or beta not positive, a bound outside [0, 1], or low above high. TypeError: labels that
    are not floating point: mix them as distributions (one-hot) or targets.

    Source: arXiv 2402.04081, section 5; its code draws the coefficient uniformly (alpha = 1), and partners from all
    networks on disk: with one view of each object to train on, it mixes in the views held out.

    Example:
        >>> mixed = jax.jit(mixup(alpha=0.4))(jax.random.key(0), Batch(jnp.eye(4), jnp.eye(4)))
        >>> bool((mixed.weights == mixed.label).all())
        True
    """
    s, partner = _pair(key, batch, coefficient)
    return mix(batch, partner, s)


@mixing("weights mixed, the label that of the network with the larger coefficient")
def mixup_hard(key: Key, batch: Batch, **coefficient: Unpack[Coefficient]) -> Batch:
    """Mix the weights of each network with another's; the label is that of the network with the larger coefficient.

    **Mixes** the function as `mixup` does; the label, of any kind, is y' = y where s >= 1/2 and y_partner elsewhere.

    Args:
        alpha, beta, low, high: the mixing coefficient, as in `mixup`.

    Raises: ValueError: as `mixup`.

    Source: arXiv 2402.04081, section 5, "weights only" in its code, with a uniform coefficient.

    Example:
        >>> mixed = jax.jit(mixup_hard())(jax.random.key(0), Batch(jnp.eye(4), jnp.arange(4)))
        >>> bool((mixed.weights.argmax(axis=1) == mixed.label).all())
        True
    """
    s, partner = _pair(key, batch, coefficient)
    larger = lambda mine, other: jnp.where(jnp.expand_dims(s >= 0.5, range(1, jnp.ndim(mine))), mine, other)
    label = jax.tree.map(larger, batch.label, partner.label)
    return batch._replace(weights=blend(batch.weights, partner.weights, s), label=label)


@mixing("as mixup, the partner out of a pool: in training, the whole training split")
def mixup_with(key: Key, batch: Batch, pool: Batch, **coefficient: Unpack[Coefficient]) -> Batch:
    """Mix each network with one drawn uniformly, with replacement, from a pool of your choice and from nowhere else.

    **Mixes** the function and the label as `mixup` does. Where the pool holds the batch itself, as the whole training
    set does, a network meets itself with chance 1 / pool.

    Args:
        pool: any number of others, of the same structure, such as the first views of the training split.
        alpha, beta, low, high: the mixing coefficient, as in `mixup`.

    Raises: as `mixup`, and ValueError for a pool of no network, of another structure or of other shapes; the leaf is
    named.

    Source: arXiv 2402.04081, section 5, whose code draws from all networks on disk, those left out of training too.

    Example:
        >>> pool = Batch(jnp.zeros((9, 2)), jnp.zeros((9, 2)))
        >>> mixup_with(pool=pool, low=0.5, high=0.5)(jax.random.key(0), Batch(jnp.eye(2), jnp.eye(2))).label.tolist()
        [[0.5, 0.0], [0.0, 0.5]]
    """
    s = MixingCoefficient(**coefficient).draw(key, batch)
    rows = jax.random.randint(jax.random.fold_in(key, 1), s.shape, 0, check_pool(pool, batch))
    return mix(batch, take(pool, rows), s)


@mixing("as mixup, the partner's neurons in random order: the control")
def mixup_permuted(key: Key, batch: Batch, symmetry: Symmetry, **coefficient: Unpack[Coefficient]) -> Batch:
    """Mix each network with another whose neurons were put in a random order: the control for aligned mixing.

    **Mixes** the function and the label: theta' = s theta + (1 - s) P theta_partner, y' = s y + (1 - s) y_partner, P
    random for each.

    Args:
        symmetry: the networks' Symmetry.
        alpha, beta, low, high: the mixing coefficient, as in `mixup`.

    Raises: as `mixup`, and ValueError for networks of another Symmetry.

    Source: arXiv 2402.04081, section 5, whose code reorders the network itself in place of its partner.

    Example:
        >>> from wsjax import networks, symmetry
        >>> spec = symmetry.siren((2, 4, 1))
        >>> w = jax.vmap(lambda k: networks.siren_init(k, (2, 4, 1)))(jax.random.split(jax.random.key(0), 3))
        >>> jax.jit(mixup_permuted(spec))(jax.random.key(1), Batch(w, None)).weights[0].kernel.shape
        (3, 2, 4)
    """
    s, partner = _pair(key, batch, coefficient)
    reordered = batched(permute(symmetry))(jax.random.fold_in(key, 2), partner.weights)
    return mix(batch, partner._replace(weights=reordered), s)


SWEEPS = 1
"""Of alignment behind its first pass; all further ones bring a pair of fitted SIRENs 0.1 % nearer."""


@mixing("as mixup, the partner brought near first by an element of its group")
def mixup_aligned(
    key: Key, batch: Batch, symmetry: Symmetry, *, group: Over = "full", **coefficient: Unpack[Coefficient]
) -> Batch:
    """Mix each network with another, after the partner was aligned to it.

    **Mixes** the function and the label: theta' = s theta + (1 - s) g theta_partner, y' = s y + (1 - s) y_partner, with
    g the element of the networks' own group that brings the partner nearest (`symmetry.align`). A data set that
    `data.align` went over once needs no more than `mixup`.

    Args:
        symmetry: the networks' Symmetry.
        group: `"permutation"`, `"signed"` or `"full"`, as `symmetry.align` takes it; static under `jit`.
        alpha, beta, low, high: the mixing coefficient, as in `mixup`.

    Raises: as `mixup`, and ValueError for networks of another Symmetry, or a group that it does not allow.

    Source: "alignment MixUp" of arXiv 2402.04081, section 5, whose code matches permutations alone and finds nothing
    once neurons have changed their signs.

    Example:
        >>> from wsjax import networks, symmetry
        >>> spec = symmetry.siren((2, 4, 1))
        >>> w = jax.vmap(lambda k: networks.siren_init(k, (2, 4, 1)))(jax.random.split(jax.random.key(0), 3))
        >>> mixed = jax.jit(mixup_aligned(spec, group="permutation"))(jax.random.key(1), Batch(w, None))
        >>> mixed.weights[0].kernel.shape
        (3, 2, 4)
    """
    s, partner = _pair(key, batch, coefficient)
    # The element is piecewise constant in the weights: no gradient goes through the search for it.
    fixed = jax.lax.stop_gradient((partner.weights, batch.weights))
    near = lambda w, goal: align(w, goal, symmetry, group=group, max_sweeps=SWEEPS).element
    elements = jax.vmap(near)(*fixed)
    return mix(batch, partner._replace(weights=jax.vmap(act)(elements, partner.weights)), s)


NOISE = noise()
"""What changes the copy in `mixup_self` unless another transform is given."""


@mixing("s w + (1 - s) T(w), T the steps given; the label its own")
def mixup_self(
    key: Key, batch: Batch, *, transform: Transform[Weights] = NOISE, **coefficient: Unpack[Coefficient]
) -> Batch:
    """Mix each network with an augmented copy of itself; its label, of any kind, stays.

    **Mixes** the function with a variant of itself, and with no other network: theta' = s theta + (1 - s) T(theta),
    with draws of T for each network.

    Args:
        transform: of ONE network, `(key, weights) -> weights`; the identity makes this one too.
        alpha, beta, low, high: the mixing coefficient, as in `mixup`.

    Raises: ValueError: as `mixup`, or what `transform` raises.

    Source: arXiv 2402.04081, section 5 (there the copy is aligned first; give it a transform that does), whose code
    mixes the label too, with that of a network which contributes no weights: on average half of it.

    Example:
        >>> batch = Batch(jnp.ones((2, 3)), jnp.arange(2))
        >>> mixed = mixup_self(transform=lambda key, w: -w, low=0.75, high=0.75)(jax.random.key(0), batch)
        >>> mixed.weights.tolist()
        [[0.5, 0.5, 0.5], [0.5, 0.5, 0.5]]
    """
    s = MixingCoefficient(**coefficient).draw(key, batch)
    copy = batched(transform)(jax.random.fold_in(key, 2), batch.weights)
    return batch._replace(weights=blend(batch.weights, copy, s))


@mixing("as mixup, the partner of the same class")
def mixup_within_class(key: Key, batch: Batch, **coefficient: Unpack[Coefficient]) -> Batch:
    """Mix each network with another whose label has its largest entry in the same class.

    **Mixes** the function and the label as `mixup` does; a one-hot label stays. A network alone in its class stays as
    it is.

    Args:
        alpha, beta, low, high: the mixing coefficient, as in `mixup`.

    Raises: as `mixup`, and ValueError for labels that are not (batch, classes).

    Source: arXiv 2402.04081, section 5, whose code pairs networks of any class; the restriction is ours.

    Example:
        >>> batch = Batch(jnp.eye(4), jnp.eye(2)[jnp.array([0, 0, 0, 1])])
        >>> mixed = jax.jit(mixup_within_class())(jax.random.key(0), batch)
        >>> bool((mixed.label == batch.label).all()), mixed.weights[3].tolist()
        (True, [0.0, 0.0, 0.0, 1.0])
    """
    check_batch(batch)
    classes = jnp.argmax(distributions(batch.label, "mixing within classes"), axis=-1)
    s, partner = _pair(key, batch, coefficient, classes)
    return mix(batch, partner, s)


@mixing("as mixup, the partner another fit of the same object")
def mixup_views(key: Key, batch: Batch, *, pool: Batch | None = None, **coefficient: Unpack[Coefficient]) -> Batch:
    """Mix each network with another of the same object: an image or shape that was fitted several times.

    **Mixes** the function and the label as `mixup` does, with partners of the same number in `object`, (batch,)
    integers of any meaning, those of a fold for one. A network that finds none stays. As a batch seldom holds two of
    one object, partners come from the whole training split in training.

    Args:
        pool: any number of others, of the same structure and with their `object`, in any order, that partners are drawn
            from uniformly, with replacement: the network itself too, where it is there. None: partners are of the
            batch, along a cycle through each object.
        alpha, beta, low, high: the mixing coefficient, as in `mixup`.

    Raises: as `mixup_with`, and ValueError for a batch or pool without `object`, or with other than integers there.

    Source: arXiv 2402.04081, section 5, whose code draws from all views of all objects; the restriction is ours.

    Example:
        >>> batch = Batch(jnp.eye(4), None, object=jnp.array([5, 2, 5, 2]))
        >>> jax.jit(mixup_views(low=0.5, high=0.5))(jax.random.key(0), batch).weights[0].tolist()
        [0.5, 0.0, 0.5, 0.0]
        >>> others = Batch(-jnp.eye(4), None, object=jnp.array([7, 5, 8, 9]))
        >>> mixed = jax.jit(mixup_views(pool=others, low=0.5, high=0.5))(jax.random.key(0), batch)
        >>> mixed.weights[:2].tolist()
        [[0.5, -0.5, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]]
    """
    check_batch(batch)
    _check_objects("object", batch)
    if pool is None:
        s, partner = _pair(key, batch, coefficient, batch.object)
        return mix(batch, partner, s)
    check_pool(pool, batch)
    _check_objects("pool.object", pool)
    s = MixingCoefficient(**coefficient).draw(key, batch)
    rows, found = partners_in(jax.random.fold_in(key, 1), batch.object, pool.object)
    return mix(batch, take(pool, rows), jnp.where(found, s, 1))


@register(
    effect="mixes",
    level="batch",
    formula="y' = (1 - rate) y + rate / classes; the weights stay",
    ranges={"rate": FRACTION},
)
def label_smoothing(key: Key, batch: Batch, *, rate: Scalar = 0.1) -> Batch:
    """Spread a fraction of every label evenly over all classes: y' = (1 - rate) y + rate / classes.

    **Preserves** the weights. Draws nothing; it takes a key to be a transform like any other.

    Args:
        rate: [] in [0, 1]; 0 is the identity.

    Raises: ValueError: a rate outside [0, 1], or labels that are not (batch, classes). TypeError: integer labels.

    Source: Szegedy et al. 2016; arXiv 2402.04081 uses 0.1.

    Example:
        >>> label_smoothing(rate=0.5)(jax.random.key(0), Batch(jnp.ones((1, 3)), jnp.eye(2)[:1])).label.tolist()
        [[0.75, 0.25]]
    """
    check_batch(batch)
    label = distributions(batch.label, "smoothing")
    rate = jnp.asarray(rate, wide(label))
    smooth = (1 - rate) * widened(label) + rate / label.shape[-1]
    return batch._replace(label=smooth.astype(label.dtype))


def check_batch(batch: Batch, name: str = "batch") -> int:
    """How many networks a batch holds; TypeError for what is none, ValueError for an array without a row for each."""
    if not isinstance(batch, Batch):
        raise TypeError(
            f"{name} is a {type(batch).__name__}; expected a Batch of stacked networks and their labels: "
            f"wsjax.typing.Batch(weights, label)"
        )
    return stack_size(batch, name)


def take(batch: Batch, rows: Int[Array, " batch"]) -> Batch:
    return jax.tree.map(lambda x: jnp.asarray(x).at[rows].get(mode="promise_in_bounds"), batch)


def check_floating(label: PyTree) -> None:
    for leaf in jax.tree.leaves(label):
        if not jnp.issubdtype(dtype := jnp.result_type(leaf), jnp.floating):
            raise TypeError(
                f"label has dtype {dtype}; mixing needs floating labels: use jax.nn.one_hot(label, classes)"
            )


def distributions(label: PyTree, what: str) -> Float[Array, "batch classes"]:
    """The label, where it is one array (batch, classes) of floating numbers."""
    if not hasattr(label, "ndim") or label.ndim != 2:
        found = f"shape {label.shape}" if hasattr(label, "shape") else f"type {type(label).__name__}"
        raise ValueError(f"label has {found}; {what} needs (batch, classes), as from jax.nn.one_hot")
    check_floating(label)
    return jnp.asarray(label)


def check_pool(pool: Batch, batch: Batch) -> int:
    """How many networks a pool holds; refused unless its rows mix with those of the batch, whatever their objects."""
    check_batch(batch)
    if not (size := check_batch(pool, "pool")):
        raise ValueError("pool holds no network; expected one at least, such as those of the training split")
    check_floating(batch.label)
    batch, pool = batch._replace(object=None), pool._replace(object=None)
    check_structure(pool, jax.tree.structure(batch), "the batch they are mixed with")
    for name, mine, other in zip(leaf_names(pool, "pool"), jax.tree.leaves(batch), jax.tree.leaves(pool), strict=True):
        check_shape(f"each row of {name}", jnp.shape(other)[1:], jnp.shape(mine)[1:], "the batch")
    return size


def _check_objects(name: str, batch: Batch) -> None:
    if batch.object is None:
        raise ValueError(
            f"{name} is None; mixing views needs the number of each network's object: "
            f"Batch(weights, label, object=numbers), or a data set with the column 'image'"
        )
    if not jnp.issubdtype(dtype := jnp.result_type(batch.object), jnp.integer) or jnp.ndim(batch.object) != 1:
        raise ValueError(
            f"{name} has shape {jnp.shape(batch.object)} and dtype {dtype}; expected one integer for each network"
        )
