"""MixUp in weight space, and label smoothing: transforms of a labelled `Batch`.

A partner comes from the batch itself, along a random cycle through it, or from a pool that the caller hands over:
a network from outside is never seen. Labels are distributions over classes, regression targets of any shape, or
None. All of it works on any pytree with a leading axis, so also on a reader's hidden features.

    partner = jax.tree.map(lambda x: x[partners(key, size, pool)], batch)    # whom
    mixed = mix(batch, partner, share)                                       # by how much

Each function below draws these two its own way; of its key, `fold_in(key, 0)` draws the shares, 1 the partners and 2
what else moves. Reorder or align `partner.weights` in between, and it is another augmentation.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, ArrayLike, Float, Int, PyTree

from wsjax.augment.compose import batched
from wsjax.augment.exact import permute
from wsjax.augment.perturb import noise
from wsjax.errors import check_number
from wsjax.symmetry import Symmetry, act, align
from wsjax.symmetry.align import Over
from wsjax.symmetry.draws import permutations
from wsjax.typing import Batch, Key, Scalar, Transform, Weights

SWEEPS = 1  # of alignment behind its first pass; all further ones bring a pair of fitted SIRENs 0.1 % nearer


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


def _share(
    key: Key, size: int, alpha: Scalar, beta: Scalar | None, low: Scalar, high: Scalar
) -> Float[Array, " batch"]:
    """low + (high - low) * Beta(alpha, beta) for each network, beta = alpha where it is None."""
    check_number("alpha", alpha, low=0, open_low=True)
    check_number("high", high, low=0, high=1)
    check_number("low", low, low=0, high=1 if isinstance(high, Tracer) else float(np.asarray(high)))
    if beta is None:
        draw = _symmetric_beta(key, alpha, size)
    else:
        check_number("beta", beta, low=0, open_low=True)
        draw = jax.random.beta(key, alpha, beta, (size,))
    low, high = jnp.asarray(low, draw.dtype), jnp.asarray(high, draw.dtype)
    return low + (high - low) * draw


def _symmetric_beta(key: Key, alpha: Scalar, size: int) -> Float[Array, " batch"]:
    """Beta(alpha, alpha) from two uniform numbers, 3 to 20 times faster on a CPU than `jax.random.beta`, which rejects.

    A Student t of 2 alpha degrees of freedom is t = sqrt(2 alpha (u^(-1/alpha) - 1)) cos(2 pi v) (Bailey 1994), and
    (1 + t / sqrt(2 alpha + t^2)) / 2 is Beta(alpha, alpha): with r = (u^(-1/alpha) - 1) cos^2(2 pi v), it is
    (1 +- sqrt(r / (1 + r))) / 2. In logarithms, as a small alpha overflows.
    """
    spread = jax.random.exponential(jax.random.fold_in(key, 0), (size,))  # -log u
    turn = jax.random.uniform(jax.random.fold_in(key, 1), (size,))
    power = jnp.maximum(spread / jnp.asarray(alpha, spread.dtype), 1e-30)  # at 0 the gradient has no number
    cosine = jnp.cos(2 * jnp.pi * turn)
    log_ratio = power + jnp.log(-jnp.expm1(-power)) + 2 * jnp.log(jnp.abs(cosine))
    return 0.5 + 0.5 * jnp.sign(cosine) * jnp.exp(0.5 * jax.nn.log_sigmoid(log_ratio))


def _size(batch: Batch) -> int:
    return jax.tree.leaves(batch.weights)[0].shape[0]


def _take(batch: Batch, rows: Int[Array, " batch"]) -> Batch:
    return jax.tree.map(lambda x: jnp.asarray(x).at[rows].get(mode="promise_in_bounds"), batch)


def _draw(
    key: Key,
    batch: Batch,
    beta_and_range: tuple[Scalar, Scalar | None, Scalar, Scalar],
    pool: Int[ArrayLike, " batch"] | None = None,
) -> tuple[Float[Array, " batch"], Batch]:
    """The shares, and the partners out of the same batch."""
    share = _share(jax.random.fold_in(key, 0), _size(batch), *beta_and_range)
    return share, _take(batch, partners(jax.random.fold_in(key, 1), _size(batch), pool))


def _blend(mine: PyTree, other: PyTree, share: Float[Array, " batch"]) -> PyTree:
    def leaf(a: ArrayLike, b: ArrayLike) -> Array:
        a, b = jnp.asarray(a), jnp.asarray(b)
        if not jnp.issubdtype(a.dtype, jnp.floating):
            return a
        wide = np.promote_types(a.dtype, np.float32)  # JAX's own refuses under strict promotion
        s = jnp.expand_dims(share, range(1, a.ndim)).astype(wide)
        return (s * a.astype(wide) + (1 - s) * b.astype(wide)).astype(a.dtype)

    return jax.tree.map(leaf, mine, other)


def _check_floating(label: PyTree) -> None:
    for leaf in jax.tree.leaves(label):
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            raise TypeError(
                f"label has dtype {leaf.dtype}; mixing needs floating labels: use jax.nn.one_hot(label, classes)"
            )


def _distributions(label: PyTree, what: str) -> Float[Array, "batch classes"]:
    """The label, where it is one array (batch, classes) of floating numbers."""
    if not hasattr(label, "ndim") or label.ndim != 2:
        found = f"shape {label.shape}" if hasattr(label, "shape") else f"type {type(label).__name__}"
        raise ValueError(f"label has {found}; {what} needs (batch, classes), as from jax.nn.one_hot")
    _check_floating(label)
    return jnp.asarray(label)


def mix(batch: Batch, partner: Batch, share: Float[Array, " batch"]) -> Batch:
    """share * batch + (1 - share) * partner, weights and labels with the same share for each network.

    **Mixes** the function and the label. Leaves that are not floating point stay those of `batch`, as does `object`.

    Args:
        batch: stacked networks, or any pytree with the batch as its leading axis, and floating labels or None.
        partner: as many others.
        share: (batch,), what `batch` contributes; 1 is the identity.

    Raises:
        TypeError: a label that is not floating point: labels mix as distributions (one-hot) or targets.

    Example:
        >>> import jax.numpy as jnp
        >>> a, b = Batch(jnp.ones((1, 3)), jnp.eye(2)[:1]), Batch(jnp.zeros((1, 3)), jnp.eye(2)[1:])
        >>> mix(a, b, jnp.array([0.75])).label.tolist()
        [[0.75, 0.25]]
    """
    _check_floating(batch.label)
    return batch._replace(
        weights=_blend(batch.weights, partner.weights, share), label=_blend(batch.label, partner.label, share)
    )


def mixup(
    key: Key, batch: Batch, *, alpha: Scalar = 0.4, beta: Scalar | None = None, low: Scalar = 0.0, high: Scalar = 1.0
) -> Batch:
    """Mix each network with another of the batch.

    theta' = s theta + (1 - s) theta_partner, y' = s y + (1 - s) y_partner, with a share of its own for each network,
    s = low + (high - low) Beta(alpha, beta).

    **Mixes** the function and the label.

    Args:
        key: a typed key.
        batch: stacked networks and floating labels, or None for a label.
        alpha: [] positive; 1 is a uniform share, towards 0 one of the two networks takes all.
        beta: [] positive; None is alpha, and draws faster. Above alpha, the partner prevails.
        low, high: [] bounds of the share, in [0, 1]; low = high = 1 is the identity.

    Raises:
        ValueError: alpha or beta not positive, a bound outside [0, 1], or low above high. TypeError: whole-number
            labels.

    Source: arXiv 2402.04081, section 5; its code has the share uniform (alpha = 1), and draws partners from all
    networks on disk: with one view of each object to train on, it mixes in the views held out.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> mixed = mixup(jax.random.key(0), Batch(jnp.eye(4), jnp.eye(4)), alpha=0.4)
        >>> bool((mixed.weights == mixed.label).all())
        True
    """
    share, partner = _draw(key, batch, (alpha, beta, low, high))
    return mix(batch, partner, share)


def mixup_permuted(
    key: Key,
    batch: Batch,
    *,
    symmetry: Symmetry,
    alpha: Scalar = 0.4,
    beta: Scalar | None = None,
    low: Scalar = 0.0,
    high: Scalar = 1.0,
) -> Batch:
    """Mix each network with another whose neurons were put in a random order: the control for aligned mixing.

    theta' = s theta + (1 - s) P theta_partner, y' = s y + (1 - s) y_partner, P random for each network.

    **Mixes** the function and the label.

    Args:
        key: a typed key.
        batch: stacked networks and floating labels, or None for a label.
        symmetry: the networks' Symmetry.
        alpha, beta, low, high: the share, as in `mixup`; low = high = 1 is the identity.

    Raises:
        ValueError: as `mixup`, or networks of another Symmetry. TypeError: whole-number labels.

    Source: arXiv 2402.04081, section 5, whose code reorders the network itself in place of its partner.

    Example:
        >>> import jax
        >>> from wsjax import networks, symmetry
        >>> w = jax.vmap(lambda k: networks.siren_init(k, (2, 4, 1)))(jax.random.split(jax.random.key(0), 3))
        >>> mixed = mixup_permuted(jax.random.key(1), Batch(w, None), symmetry=symmetry.siren((2, 4, 1)))
        >>> mixed.weights[0].kernel.shape
        (3, 2, 4)
    """
    share, partner = _draw(key, batch, (alpha, beta, low, high))
    reorder = batched(lambda k, w: permute(k, w, symmetry=symmetry))
    return mix(batch, partner._replace(weights=reorder(jax.random.fold_in(key, 2), partner.weights)), share)


def mixup_aligned(
    key: Key,
    batch: Batch,
    *,
    symmetry: Symmetry,
    group: Over = "full",
    alpha: Scalar = 0.4,
    beta: Scalar | None = None,
    low: Scalar = 0.0,
    high: Scalar = 1.0,
) -> Batch:
    """Mix each network with another, after the partner was aligned to it.

    theta' = s theta + (1 - s) g theta_partner, y' = s y + (1 - s) y_partner, with g the element of the networks' own
    group that brings the partner nearest (`symmetry.align`). A data set that `data.align` went over once needs no
    more than `mixup`.

    **Mixes** the function and the label.

    Args:
        key: a typed key.
        batch: stacked networks and floating labels, or None for a label.
        symmetry: the networks' Symmetry.
        group: `"permutation"`, `"signed"` or `"full"`, as `symmetry.align` takes it.
        alpha, beta, low, high: the share, as in `mixup`; low = high = 1 is the identity.

    Raises:
        ValueError: as `mixup`, networks of another Symmetry, or a group that it does not allow. TypeError:
            whole-number labels.

    Source: "alignment MixUp" of arXiv 2402.04081, section 5, whose code matches permutations alone and finds nothing
    once neurons have changed their signs.

    Example:
        >>> import jax
        >>> from wsjax import networks, symmetry
        >>> w = jax.vmap(lambda k: networks.siren_init(k, (2, 4, 1)))(jax.random.split(jax.random.key(0), 3))
        >>> mixed = mixup_aligned(jax.random.key(1), Batch(w, None), symmetry=symmetry.siren((2, 4, 1)))
        >>> mixed.weights[0].kernel.shape
        (3, 2, 4)
    """
    share, partner = _draw(key, batch, (alpha, beta, low, high))
    # The element is piecewise constant in the weights: no gradient goes through the search for it.
    fixed = jax.lax.stop_gradient((partner.weights, batch.weights))
    near = lambda w, goal: align(w, goal, symmetry, group=group, max_sweeps=SWEEPS).element
    elements = jax.vmap(near)(*fixed)
    return mix(batch, partner._replace(weights=jax.vmap(act)(elements, partner.weights)), share)


def mixup_hard(
    key: Key, batch: Batch, *, alpha: Scalar = 0.4, beta: Scalar | None = None, low: Scalar = 0.0, high: Scalar = 1.0
) -> Batch:
    """Mix the weights of each network with another's; the label is that of the larger share, and not mixed.

    theta' = s theta + (1 - s) theta_partner, y' = y where s >= 1/2 and y_partner elsewhere.

    **Mixes** the function; the label is one of the two.

    Args:
        key: a typed key.
        batch: stacked networks and labels of any kind.
        alpha, beta, low, high: the share, as in `mixup`; low = high = 1 is the identity.

    Raises:
        ValueError: as `mixup`.

    Source: arXiv 2402.04081, section 5, "weights only" in its code, with a uniform share.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> mixed = mixup_hard(jax.random.key(0), Batch(jnp.eye(4), jnp.arange(4)))
        >>> bool((mixed.weights.argmax(axis=1) == mixed.label).all())
        True
    """
    share, partner = _draw(key, batch, (alpha, beta, low, high))

    def larger(mine: ArrayLike, other: ArrayLike) -> Array:
        own = jnp.expand_dims(share >= 0.5, range(1, jnp.ndim(mine)))
        return jnp.where(own, mine, other)

    label = jax.tree.map(larger, batch.label, partner.label)
    return batch._replace(weights=_blend(batch.weights, partner.weights, share), label=label)


def mixup_self(
    key: Key,
    batch: Batch,
    *,
    transform: Transform[Weights] = noise,
    alpha: Scalar = 0.4,
    beta: Scalar | None = None,
    low: Scalar = 0.0,
    high: Scalar = 1.0,
) -> Batch:
    """Mix each network with an augmented copy of itself; its label stays.

    theta' = s theta + (1 - s) T(theta), y' = y, with draws of T for each network.

    **Mixes** the function with a variant of itself: no other network takes part.

    Args:
        key: a typed key.
        batch: stacked networks and labels of any kind, or None.
        transform: of ONE network, `(key, weights) -> weights`; the identity makes this one too.
        alpha, beta, low, high: the share, as in `mixup`; low = high = 1 is the identity.

    Raises:
        ValueError: as `mixup`, or what `transform` raises.

    Source: arXiv 2402.04081, section 5 (there the copy is aligned first; give it a transform that does). Its code
    still mixes the label, with that of a network which contributes no weights: on average half of the label goes to
    an unrelated network's class. Its combination of augmentations also treats the anchor alone, and mixes it with an
    untreated partner; here `chain(on("weights", batched(...)), mixup)` treats both.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> batch = Batch(jnp.ones((2, 3)), jnp.arange(2))
        >>> mixed = mixup_self(jax.random.key(0), batch, transform=lambda key, w: -w, low=0.75, high=0.75)
        >>> mixed.weights.tolist()
        [[0.5, 0.5, 0.5], [0.5, 0.5, 0.5]]
    """
    share = _share(jax.random.fold_in(key, 0), _size(batch), alpha, beta, low, high)
    copy = batched(transform)(jax.random.fold_in(key, 2), batch.weights)
    return batch._replace(weights=_blend(batch.weights, copy, share))


def mixup_within_class(
    key: Key, batch: Batch, *, alpha: Scalar = 0.4, beta: Scalar | None = None, low: Scalar = 0.0, high: Scalar = 1.0
) -> Batch:
    """Mix each network with another whose label has its largest entry in the same class.

    theta' = s theta + (1 - s) theta_partner, y' = s y + (1 - s) y_partner; a one-hot label stays. A network alone in
    its class stays as it is.

    **Mixes** the function and the label.

    Args:
        key: a typed key.
        batch: stacked networks and labels (batch, classes).
        alpha, beta, low, high: the share, as in `mixup`; low = high = 1 is the identity.

    Raises:
        ValueError: as `mixup`, or labels that are not (batch, classes). TypeError: whole-number labels.

    Source: arXiv 2402.04081, section 5, whose code pairs networks of any class; the restriction is ours.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> batch = Batch(jnp.eye(4), jnp.eye(2)[jnp.array([0, 0, 0, 1])])
        >>> mixed = mixup_within_class(jax.random.key(0), batch)
        >>> bool((mixed.label == batch.label).all()), mixed.weights[3].tolist()
        (True, [0.0, 0.0, 0.0, 1.0])
    """
    classes = jnp.argmax(_distributions(batch.label, "mixing within classes"), axis=-1)
    share, partner = _draw(key, batch, (alpha, beta, low, high), classes)
    return mix(batch, partner, share)


def mixup_views(
    key: Key, batch: Batch, *, alpha: Scalar = 0.4, beta: Scalar | None = None, low: Scalar = 0.0, high: Scalar = 1.0
) -> Batch:
    """Mix each network with another that shows the same object: an image or shape that was fitted several times.

    theta' = s theta + (1 - s) theta_partner, y' = s y + (1 - s) y_partner, partners within `batch.object`. A network
    that is the only one of its object in the batch stays as it is. Any whole numbers serve as `object`, those of a
    fold for one: only networks with the same number mix.

    **Mixes** the function and the label.

    Args:
        key: a typed key.
        batch: stacked networks, floating labels or None, and `object`, (batch,) whole numbers.
        alpha, beta, low, high: the share, as in `mixup`; low = high = 1 is the identity.

    Raises:
        ValueError: as `mixup`, or a batch without `object`. TypeError: whole-number labels.

    Source: arXiv 2402.04081, section 5, whose code draws from all views of all objects; the restriction is ours.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> batch = Batch(jnp.eye(4), None, object=jnp.array([5, 2, 5, 2]))
        >>> mixed = mixup_views(jax.random.key(0), batch, low=0.5, high=0.5)
        >>> mixed.weights[0].tolist()
        [0.5, 0.0, 0.5, 0.0]
    """
    if batch.object is None:
        raise ValueError(
            "object is None; mixing views needs the number of the object that each network shows: "
            "Batch(weights, label, object=numbers), or a data set with the column 'image'"
        )
    share, partner = _draw(key, batch, (alpha, beta, low, high), batch.object)
    return mix(batch, partner, share)


def mixup_with(
    key: Key,
    batch: Batch,
    *,
    pool: Batch,
    alpha: Scalar = 0.4,
    beta: Scalar | None = None,
    low: Scalar = 0.0,
    high: Scalar = 1.0,
) -> Batch:
    """Mix each network with one drawn uniformly, with replacement, from a pool of your choice and from nowhere else.

    theta' = s theta + (1 - s) theta_pool, y' = s y + (1 - s) y_pool. Where the pool holds the batch itself, as the
    whole training set does, a network meets itself with chance 1 / pool.

    **Mixes** the function and the label.

    Args:
        key: a typed key.
        batch: stacked networks and floating labels, or None for a label.
        pool: any number of others, of the same structure, such as the first views of the training split.
        alpha, beta, low, high: the share, as in `mixup`; low = high = 1 is the identity.

    Raises:
        ValueError: as `mixup`. TypeError: whole-number labels.

    Source: arXiv 2402.04081, section 5, whose code draws from all networks on disk, those left out of training too.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> pool = Batch(jnp.zeros((9, 2)), jnp.zeros((9, 2)))
        >>> mixup_with(jax.random.key(0), Batch(jnp.eye(2), jnp.eye(2)), pool=pool, low=0.5, high=0.5).label.tolist()
        [[0.5, 0.0], [0.0, 0.5]]
    """
    share = _share(jax.random.fold_in(key, 0), _size(batch), alpha, beta, low, high)
    rows = jax.random.randint(jax.random.fold_in(key, 1), (_size(batch),), 0, _size(pool))
    return mix(batch, _take(pool, rows), share)


def label_smoothing(key: Key, batch: Batch, *, rate: Scalar = 0.1) -> Batch:
    """Give a share of every label to all classes alike: y' = (1 - rate) y + rate / classes.

    **Preserves** the weights. Draws nothing; it takes a key to be a transform like any other.

    Args:
        key: a typed key, not used.
        batch: stacked networks and labels (batch, classes).
        rate: [] in [0, 1]; 0 is the identity.

    Raises:
        ValueError: a rate outside [0, 1], or labels that are not (batch, classes). TypeError: whole-number labels.

    Source: Szegedy et al. 2016; arXiv 2402.04081 uses 0.1.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> label_smoothing(jax.random.key(0), Batch(jnp.ones((1, 3)), jnp.eye(2)[:1]), rate=0.5).label.tolist()
        [[0.75, 0.25]]
    """
    check_number("rate", rate, low=0, high=1)
    label = _distributions(batch.label, "smoothing")
    wide = np.promote_types(label.dtype, np.float32)  # JAX's own refuses under strict promotion
    rate = jnp.asarray(rate, wide)
    smooth = (1 - rate) * label.astype(wide) + rate / label.shape[-1]
    return batch._replace(label=smooth.astype(label.dtype))
