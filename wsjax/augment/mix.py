"""MixUp in weight space, and label smoothing: transforms of a labelled `Batch`.

Partners come from the batch itself, along one random cycle through it, so no network is ever its own partner and
none from outside the batch is seen.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, PyTree

from wsjax.errors import check_number
from wsjax.typing import Batch, Key, Scalar


def partners(key: Key, size: int) -> Array:
    """Indices (size,): each network's partner, along a uniformly random cycle through the batch.

    Example:
        >>> import jax
        >>> sorted(partners(jax.random.key(0), 4).tolist())
        [0, 1, 2, 3]
    """
    order = jax.random.permutation(key, size)
    return jnp.zeros(size, order.dtype).at[order].set(jnp.roll(order, -1))


def _check_floating(label: PyTree) -> None:
    for leaf in jax.tree.leaves(label):
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            raise TypeError(
                f"label has dtype {leaf.dtype}; mixing needs floating labels: use jax.nn.one_hot(label, classes)"
            )


def mix(batch: Batch, partner: Batch, share: Float[Array, " batch"]) -> Batch:
    """share * batch + (1 - share) * partner, weights and labels with the same share for each network.

    **Mixes** the function and the label. Leaves that are not floating point stay those of `batch`.

    Args:
        batch: stacked networks and labels.
        partner: as many others.
        share: (batch,), what `batch` contributes.

    Raises:
        TypeError: a label that is not floating point: labels mix as distributions (one-hot) or targets.

    Example:
        >>> import jax.numpy as jnp
        >>> a, b = Batch(jnp.ones((1, 3)), jnp.eye(2)[:1]), Batch(jnp.zeros((1, 3)), jnp.eye(2)[1:])
        >>> mix(a, b, jnp.array([0.75])).label.tolist()
        [[0.75, 0.25]]
    """
    _check_floating(batch.label)

    def blend(mine: ArrayLike, other: ArrayLike) -> Array:
        a, b = jnp.asarray(mine), jnp.asarray(other)
        if not jnp.issubdtype(a.dtype, jnp.floating):
            return a
        s = share.reshape(share.shape + (1,) * (a.ndim - 1)).astype(a.dtype)
        return s * a + (1 - s) * b

    return jax.tree.map(blend, batch, partner)


def _with_partner(key: Key, batch: Batch, share: Float[Array, " batch"]) -> Batch:
    index = partners(key, share.shape[0])
    return mix(batch, jax.tree.map(lambda x: jnp.asarray(x)[index], batch), share)


def _size(batch: Batch) -> int:
    return jax.tree.leaves(batch.weights)[0].shape[0]


def mixup(key: Key, batch: Batch, *, alpha: Scalar = 0.4) -> Batch:
    """Mix each network with another of the batch, the share drawn from Beta(alpha, alpha).

    theta' = s theta + (1 - s) theta_partner, y' = s y + (1 - s) y_partner.

    **Mixes** the function and the label.

    Args:
        key: a typed key.
        batch: stacked networks and floating labels.
        alpha: [] positive; 1 is a uniform share, towards 0 one of the two networks takes all.

    Raises:
        ValueError: alpha not positive. TypeError: whole-number labels.

    Source: "MixUp" of arXiv 2402.04081, section 5, where the share is uniform; its code draws partners from the
    whole data set, whatever the training subset.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> mixed = mixup(jax.random.key(0), Batch(jnp.eye(4), jnp.eye(4)), alpha=0.4)
        >>> bool((mixed.weights == mixed.label).all())
        True
    """
    check_number("alpha", alpha, low=0, open_low=True)
    share = jax.random.beta(jax.random.fold_in(key, 0), alpha, alpha, (_size(batch),))
    return _with_partner(jax.random.fold_in(key, 1), batch, share)


def mixup_uniform(key: Key, batch: Batch, *, low: Scalar = 0.0, high: Scalar = 1.0) -> Batch:
    """Mix each network with another of the batch, the share uniform on [low, high].

    **Mixes** the function and the label.

    Args:
        key: a typed key.
        batch: stacked networks and floating labels.
        low, high: [] bounds of the share, in [0, 1]; low = high = 1 is the identity.

    Raises:
        ValueError: a bound outside [0, 1], or low above high. TypeError: whole-number labels.

    Source: arXiv 2402.04081, section 5.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> same = mixup_uniform(jax.random.key(0), Batch(jnp.eye(4), jnp.eye(4)), low=1.0)
        >>> bool((same.weights == jnp.eye(4)).all())
        True
    """
    check_number("low", low, low=0, high=1)
    check_number("high", high, low=0, high=1)
    check_number("high - low", jnp.asarray(high) - jnp.asarray(low), low=0)
    share = jax.random.uniform(jax.random.fold_in(key, 0), (_size(batch),), minval=low, maxval=high)
    return _with_partner(jax.random.fold_in(key, 1), batch, share)


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
    if jnp.ndim(batch.label) != 2:
        raise ValueError(
            f"label has shape {jnp.shape(batch.label)}; smoothing needs (batch, classes), as from jax.nn.one_hot"
        )
    _check_floating(batch.label)
    label = jnp.asarray(batch.label)
    rate = jnp.asarray(rate, label.dtype)
    return batch._replace(label=(1 - rate) * label + rate / label.shape[-1])
