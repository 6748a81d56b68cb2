"""MixUp with a partner of the same class, or another fit of the same object."""

import jax
import jax.numpy as jnp

from wsjax.augment.labels import distributions
from wsjax.augment.mix import check_alike, mix, shares_and_partners
from wsjax.augment.partners import check_batch, partners_in, size_of, take
from wsjax.augment.share import draw_shares
from wsjax.typing import Batch, Key, Scalar


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
        >>> mixed = jax.jit(mixup_within_class)(jax.random.key(0), batch)
        >>> bool((mixed.label == batch.label).all()), mixed.weights[3].tolist()
        (True, [0.0, 0.0, 0.0, 1.0])
    """
    check_batch(batch)
    classes = jnp.argmax(distributions(batch.label, "mixing within classes"), axis=-1)
    share, partner = shares_and_partners(key, batch, (alpha, beta, low, high), classes)
    return mix(batch, partner, share)


def mixup_views(
    key: Key,
    batch: Batch,
    *,
    pool: Batch | None = None,
    alpha: Scalar = 0.4,
    beta: Scalar | None = None,
    low: Scalar = 0.0,
    high: Scalar = 1.0,
) -> Batch:
    """Mix each network with another that shows the same object: an image or shape that was fitted several times.

    theta' = s theta + (1 - s) theta_partner, y' = s y + (1 - s) y_partner, partners with the same number in `object`. A
    network that finds none stays as it is. Any whole numbers serve as `object`, those of a fold for one: only networks
    with the same number mix.

    A batch out of many networks seldom holds two of one object. In training, partners come from the whole training
    split. A pool that holds the batch itself lets a network meet itself with chance 1 / views.

    **Mixes** the function and the label.

    Args:
        key: a typed key.
        batch: stacked networks, floating labels or None, and `object`, (batch,) whole numbers.
        pool: any number of others, of the same structure and with their `object`, in any order, that partners are drawn
            from uniformly, with replacement. None: partners are of the batch, along a cycle through each object.
        alpha, beta, low, high: the share, as in `mixup`; low = high = 1 is the identity.

    Raises:
        ValueError: as `mixup_with`, or a batch or pool without `object`. TypeError: whole-number labels.

    Source: arXiv 2402.04081, section 5, whose code draws from all views of all objects; the restriction is ours.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> batch = Batch(jnp.eye(4), None, object=jnp.array([5, 2, 5, 2]))
        >>> mixed = jax.jit(mixup_views)(jax.random.key(0), batch, low=0.5, high=0.5)
        >>> mixed.weights[0].tolist()
        [0.5, 0.0, 0.5, 0.0]
        >>> others = Batch(-jnp.eye(4), None, object=jnp.array([7, 5, 8, 9]))
        >>> mixed = jax.jit(mixup_views)(jax.random.key(0), batch, pool=others, low=0.5, high=0.5)
        >>> mixed.weights[:2].tolist()
        [[0.5, -0.5, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]]
    """
    check_batch(batch)
    _check_objects("object", batch)
    if pool is None:
        share, partner = shares_and_partners(key, batch, (alpha, beta, low, high), batch.object)
        return mix(batch, partner, share)
    check_alike(batch, pool)
    _check_objects("pool.object", pool)
    share = draw_shares(jax.random.fold_in(key, 0), size_of(batch), alpha, beta, low, high)
    rows, found = partners_in(jax.random.fold_in(key, 1), batch.object, pool.object)
    return mix(batch, take(pool, rows), jnp.where(found, share, 1))


def _check_objects(name: str, batch: Batch) -> None:
    if batch.object is None:
        raise ValueError(
            f"{name} is None; mixing views needs the number of the object that each network shows: "
            f"Batch(weights, label, object=numbers), or a data set with the column 'image'"
        )
