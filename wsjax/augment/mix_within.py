"""MixUp with a partner of the same class, or another fit of the same object."""

import jax.numpy as jnp

from wsjax.augment.labels import distributions
from wsjax.augment.mix import mix, shares_and_partners
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
        >>> mixed = mixup_within_class(jax.random.key(0), batch)
        >>> bool((mixed.label == batch.label).all()), mixed.weights[3].tolist()
        (True, [0.0, 0.0, 0.0, 1.0])
    """
    classes = jnp.argmax(distributions(batch.label, "mixing within classes"), axis=-1)
    share, partner = shares_and_partners(key, batch, (alpha, beta, low, high), classes)
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
    share, partner = shares_and_partners(key, batch, (alpha, beta, low, high), batch.object)
    return mix(batch, partner, share)
