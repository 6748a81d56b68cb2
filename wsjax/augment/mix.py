"""MixUp in weight space: transforms of a labelled `Batch`.

Labels are distributions over classes, regression targets of any shape, or None. All of it works on any pytree with a
leading axis, so also on a reader's hidden features.

    partner = jax.tree.map(lambda x: x[partners(key, size, pool)], batch)    # whom
    mixed = mix(batch, partner, share)                                       # by how much

Each function here, in `mix_moved` and in `mix_within` draws these two its own way; of its key, `fold_in(key, 0)` draws
the shares, 1 the partners and 2 what else moves. Reorder or align `partner.weights` in between, and it is another
augmentation.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Int, PyTree

from wsjax.augment.labels import check_floating
from wsjax.augment.partners import check_batch, partners, size_of, take
from wsjax.augment.share import draw_shares
from wsjax.errors import check_same_shapes, check_shape, check_structure, leaf_names
from wsjax.floats import inexact, uncut, wide, widened
from wsjax.typing import Batch, Key, Scalar


def mix(batch: Batch, partner: Batch, share: Float[Array, " batch"]) -> Batch:
    """share * batch + (1 - share) * partner, weights and labels with the same share for each network.

    **Mixes** the function and the label. Leaves that are not floating point stay those of `batch`, as does `object`.

    Args:
        batch: stacked networks, or any pytree with the batch as its leading axis, and floating labels or None.
        partner: as many others.
        share: (batch,), what `batch` contributes; 1 is the identity.

    Raises:
        ValueError: batch and partner differ in structure or in a shape, or there is not one share for each network.
        TypeError: a label that is not floating point: labels mix as distributions (one-hot) or targets.

    Example:
        >>> import jax.numpy as jnp
        >>> a, b = Batch(jnp.ones((1, 3)), jnp.eye(2)[:1]), Batch(jnp.zeros((1, 3)), jnp.eye(2)[1:])
        >>> mix(a, b, jnp.array([0.75])).label.tolist()
        [[0.75, 0.25]]
    """
    check_batch(batch)
    check_batch(partner, "partner")
    check_floating(batch.label)
    check_same_shapes(partner._replace(object=None), batch._replace(object=None), "the batch", "partner")
    check_shape("share", jnp.shape(share), (size_of(batch),), "the batch")
    return batch._replace(
        weights=blend(batch.weights, partner.weights, share), label=blend(batch.label, partner.label, share)
    )


def blend(mine: PyTree, other: PyTree, share: Float[Array, " batch"]) -> PyTree:
    def leaf(a: ArrayLike, b: ArrayLike) -> Any:
        a = uncut(a)
        if isinstance(a, np.ndarray) or not inexact(a):
            return a
        s = jnp.expand_dims(share, range(1, a.ndim)).astype(wide(a))
        return (s * widened(a) + (1 - s) * widened(b, a)).astype(a.dtype)

    return jax.tree.map(leaf, mine, other)


def shares_and_partners(
    key: Key,
    batch: Batch,
    beta_and_range: tuple[Scalar, Scalar | None, Scalar, Scalar],
    pool: Int[ArrayLike, " batch"] | None = None,
) -> tuple[Float[Array, " batch"], Batch]:
    """The shares, and the partners out of the same batch."""
    check_batch(batch)
    share = draw_shares(jax.random.fold_in(key, 0), size_of(batch), *beta_and_range)
    return share, take(batch, partners(jax.random.fold_in(key, 1), size_of(batch), pool))


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
        >>> mixed = jax.jit(mixup)(jax.random.key(0), Batch(jnp.eye(4), jnp.eye(4)), alpha=0.4)
        >>> bool((mixed.weights == mixed.label).all())
        True
    """
    share, partner = shares_and_partners(key, batch, (alpha, beta, low, high))
    return mix(batch, partner, share)


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
        >>> mixed = jax.jit(mixup_hard)(jax.random.key(0), Batch(jnp.eye(4), jnp.arange(4)))
        >>> bool((mixed.weights.argmax(axis=1) == mixed.label).all())
        True
    """
    share, partner = shares_and_partners(key, batch, (alpha, beta, low, high))

    def larger(mine: ArrayLike, other: ArrayLike) -> Array:
        own = jnp.expand_dims(share >= 0.5, range(1, jnp.ndim(mine)))
        return jnp.where(own, mine, other)

    label = jax.tree.map(larger, batch.label, partner.label)
    return batch._replace(weights=blend(batch.weights, partner.weights, share), label=label)


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
        ValueError: as `mixup`, or a pool of another structure or of other shapes; the leaf is named. TypeError:
            whole-number labels.

    Source: arXiv 2402.04081, section 5, whose code draws from all networks on disk, those left out of training too.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> pool = Batch(jnp.zeros((9, 2)), jnp.zeros((9, 2)))
        >>> mixup_with(jax.random.key(0), Batch(jnp.eye(2), jnp.eye(2)), pool=pool, low=0.5, high=0.5).label.tolist()
        [[0.5, 0.0], [0.0, 0.5]]
    """
    check_alike(batch, pool)
    share = draw_shares(jax.random.fold_in(key, 0), size_of(batch), alpha, beta, low, high)
    rows = jax.random.randint(jax.random.fold_in(key, 1), (size_of(batch),), 0, size_of(pool))
    return mix(batch, take(pool, rows), share)


def check_alike(batch: Batch, pool: Batch) -> None:
    """Raise ValueError unless rows of a pool mix with networks of a batch, whatever objects they show."""
    check_batch(batch)
    check_batch(pool, "pool")
    check_floating(batch.label)
    batch, pool = batch._replace(object=None), pool._replace(object=None)
    check_structure(pool, jax.tree.structure(batch), "the batch they are mixed with")
    for name, mine, other in zip(leaf_names(pool, "pool"), jax.tree.leaves(batch), jax.tree.leaves(pool), strict=True):
        check_shape(f"each row of {name}", jnp.shape(other)[1:], jnp.shape(mine)[1:], "the batch")
