"""MixUp with a partner that moves first: reordered, aligned, or an augmented copy of the network itself."""

import jax

from wsjax.augment.compose import batched
from wsjax.augment.exact import permute
from wsjax.augment.mix import blend, mix, shares_and_partners
from wsjax.augment.partners import check_batch, size_of
from wsjax.augment.perturb import noise
from wsjax.augment.share import draw_shares
from wsjax.symmetry import Symmetry, act, align
from wsjax.symmetry.align import Over
from wsjax.typing import Batch, Key, Scalar, Transform, Weights

SWEEPS = 1  # of alignment behind its first pass; all further ones bring a pair of fitted SIRENs 0.1 % nearer


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
        >>> spec = symmetry.siren((2, 4, 1))
        >>> w = jax.vmap(lambda k: networks.siren_init(k, (2, 4, 1)))(jax.random.split(jax.random.key(0), 3))
        >>> mixed = jax.jit(lambda k, w: mixup_permuted(k, Batch(w, None), symmetry=spec))(jax.random.key(1), w)
        >>> mixed.weights[0].kernel.shape
        (3, 2, 4)
    """
    share, partner = shares_and_partners(key, batch, (alpha, beta, low, high))
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
        group: `"permutation"`, `"signed"` or `"full"`, as `symmetry.align` takes it. Text is no argument of `jit`: a
            step that is handed to it is bound as `Partial(static(mixup_aligned, group="signed"), symmetry=...)`; the
            combinators and `from_spec` do so themselves.
        alpha, beta, low, high: the share, as in `mixup`; low = high = 1 is the identity.

    Raises:
        ValueError: as `mixup`, networks of another Symmetry, or a group that it does not allow. TypeError:
            whole-number labels.

    Source: "alignment MixUp" of arXiv 2402.04081, section 5, whose code matches permutations alone and finds nothing
    once neurons have changed their signs.

    Example:
        >>> import jax
        >>> from wsjax import networks, symmetry
        >>> spec = symmetry.siren((2, 4, 1))
        >>> w = jax.vmap(lambda k: networks.siren_init(k, (2, 4, 1)))(jax.random.split(jax.random.key(0), 3))
        >>> mix = lambda k, w: mixup_aligned(k, Batch(w, None), symmetry=spec, group="permutation")
        >>> mixed = jax.jit(mix)(jax.random.key(1), w)
        >>> mixed.weights[0].kernel.shape
        (3, 2, 4)
    """
    share, partner = shares_and_partners(key, batch, (alpha, beta, low, high))
    # The element is piecewise constant in the weights: no gradient goes through the search for it.
    fixed = jax.lax.stop_gradient((partner.weights, batch.weights))
    near = lambda w, goal: align(w, goal, symmetry, group=group, max_sweeps=SWEEPS).element
    elements = jax.vmap(near)(*fixed)
    return mix(batch, partner._replace(weights=jax.vmap(act)(elements, partner.weights)), share)


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
    check_batch(batch)
    share = draw_shares(jax.random.fold_in(key, 0), size_of(batch), alpha, beta, low, high)
    copy = batched(transform)(jax.random.fold_in(key, 2), batch.weights)
    return batch._replace(weights=blend(batch.weights, copy, share))
