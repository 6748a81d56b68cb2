"""For each pair of neurons, the best move of the one onto the other, and what that costs.

Neuron j of the weights is brought to neuron i of the reference by a gain s and a phase k (see `element.Move`):

    cost[i, j] = min over (s, k) of |P_i - s p_j|^2 + sum over biases (B_i - s b_j - k tau)^2 + |C_i - (-1)^k c_j / s|^2

with P, B, C the reference's slices (produced, biases, consumed), p, b, c those of the weights, and tau = pi / w0, or
pi. What follows the neurons adds |F_i - f_j|^2. Terms that are the same for all j, or whatever the order, are left out.
Each case is in closed form, but for a positive scale, a quartic.
"""

from itertools import product
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from wsjax.symmetry.axes import Axes, Entry, Sum, atoms, base, consumes, follows, on_parts, parts_of, places_of, size
from wsjax.symmetry.group import Action, Group
from wsjax.symmetry.spec import Symmetry

NEWTON_STEPS = 8
LARGEST_LOG_SCALE = 12.0


class Slices(NamedTuple):
    """Rows are the neurons of one group: incoming weights, biases, outgoing weights, and what follows them.

    Of a group within other axes each has these in front.
    """

    produced: Float[Array, "*within neurons made"]
    bias: Float[Array, "*within neurons biases"]
    consumed: Float[Array, "*within neurons consumed"]
    followed: Float[Array, "*within neurons beside"]


def slices(
    symmetry: Symmetry,
    leaves: list[Array],
    group: str,
    known: frozenset[str] | None = None,
    without: frozenset[str] = frozenset(),
) -> Slices:
    """Everything along the axes of a group, flattened beside its neurons, of leaves of one floating dtype; with `known`
    only of arrays whose other groups are all among these or what it lies within, and that carry this group once; not of
    arrays along a group `without`."""
    lead = symmetry.lead(group)
    produced, bias, consumed, followed = [], [], [], []
    for leaf, axes in zip(leaves, symmetry.axes, strict=True):
        others = [n for n in axes.names if n in symmetry.groups]
        if group not in others:
            continue
        others.remove(group)
        if known is not None and not known.union(symmetry.chain(group)).issuperset(others):
            continue
        if not without.isdisjoint(others):
            continue
        for rows, name in _unfold_within(leaf, axes, group, symmetry) if lead else ():
            made = bias if axes.bias else produced
            (consumed if consumes(name) else followed if follows(name) else made).append(rows)
        if lead:
            continue
        for axis, entry in enumerate(axes.entries):
            for rows, name in _unfold(jnp.moveaxis(leaf, axis, 0), entry, group, symmetry.sizes):
                made = bias if axes.bias else produced
                (consumed if consumes(name) else followed if follows(name) else made).append(rows)
    nothing = jnp.zeros((*lead, symmetry.groups[group].size, 0), leaves[0].dtype)
    return Slices(*(jnp.concatenate([nothing, *parts], axis=-1) for parts in (produced, bias, consumed, followed)))


def _unfold_within(leaf: Array, axes: Axes, group: str, symmetry: Symmetry) -> list[tuple[Array, str]]:
    """For each place of a group that lies within others: (*within, neurons, rest), and its name with its mark."""
    found, lead = [], symmetry.lead(group)

    def collect(part: Array, names: tuple[str, ...]) -> Array:
        for axis, name in enumerate(names):
            if base(name) == group:
                places = (*places_of(symmetry.chain(group), names, axis), axis)
                rows = jnp.moveaxis(part, places, range(len(places))).reshape(*lead, part.shape[axis], -1)
                found.append((rows, name))
        return part

    on_parts(leaf, axes.entries, symmetry.sizes, collect)
    return found


def _unfold(x: Array, entry: Entry, group: str, sizes: dict[str, int]) -> list[tuple[Array, str]]:
    """For each place of the group in the first axis' entry: (neurons, rest), and its name with its mark."""
    if group not in {base(name) for name in atoms(entry)}:
        return []
    if isinstance(entry, str):
        return [(x.reshape(x.shape[0], -1), entry)]
    lengths = [size(part, sizes) for part in parts_of(entry)]
    if isinstance(entry, Sum):
        pieces = jnp.split(x, np.cumsum(lengths)[:-1].tolist())
    else:
        grid = x.reshape(*lengths, -1)
        pieces = [jnp.moveaxis(grid, i, 0).reshape(length, -1) for i, length in enumerate(lengths)]
    both = zip(pieces, parts_of(entry), strict=True)
    return [found for piece, part in both for found in _unfold(piece, part, group, sizes)]


class Pairs(NamedTuple):
    """Entry [i, j]: the least cost of bringing neuron j to the reference's neuron i, and the move that reaches it."""

    cost: Float[Array, "n n"]
    gain: Float[Array, "n n"] | None = None
    phase: Int[Array, "n n"] | None = None


def pairs(group: Group, weights: Slices, reference: Slices, actions: tuple[Action, ...]) -> Pairs:
    """The best move for each pair of neurons, over those of `actions` that the group allows."""
    found = _matched(group, weights, reference, {action for action in actions if group.allows(action)})
    return found._replace(cost=found.cost - 2 * (reference.followed @ weights.followed.T))


def _matched(group: Group, weights: Slices, reference: Slices, allowed: set[Action]) -> Pairs:
    if "phase" in allowed:
        return _phased(group, weights, reference, signs=(1.0, -1.0) if "sign" in allowed else (1.0,))
    produced = reference.produced @ weights.produced.T + reference.bias @ weights.bias.T
    consumed = reference.consumed @ weights.consumed.T
    if "rescale" in allowed:
        best = _rescaled(produced, consumed, weights)
        return _better(best, _rescaled(-produced, -consumed, weights, sign=-1.0)) if "sign" in allowed else best
    both = produced + consumed
    if "sign" in allowed:
        return Pairs(-2 * jnp.abs(both), jnp.where(both < 0, -1.0, 1.0).astype(both.dtype))
    return Pairs(-2 * both)


def _better(a: Pairs, b: Pairs) -> Pairs:
    keep = a.cost <= b.cost
    return jax.tree.map(lambda x, y: jnp.where(keep, x, y), a, b)


def _phased(group: Group, weights: Slices, reference: Slices, signs: tuple[float, ...]) -> Pairs:
    """Four candidates: for each sign and parity of k, the k of that parity nearest to the biases' mean difference."""
    produced = reference.produced @ weights.produced.T
    consumed = reference.consumed @ weights.consumed.T
    best = None
    for sign, parity in product(signs, (0, 1)):
        difference = reference.bias[:, None, :] - sign * weights.bias[None, :, :]
        turns = jnp.mean(difference, axis=-1) / group.half_turn
        phase = 2 * jnp.round((turns - parity) / 2) + parity
        left = jnp.sum(jnp.square(difference - group.half_turn * phase[..., None]), axis=-1)
        cost = left - 2 * sign * produced - 2 * sign * (1 - 2 * parity) * consumed
        found = Pairs(cost, jnp.full_like(cost, sign), phase.astype(jnp.int32))
        best = found if best is None else _better(best, found)
    assert best is not None
    return best


def _rescaled(produced: Array, consumed: Array, weights: Slices, sign: float = 1.0) -> Pairs:
    """min over s > 0 of p s^2 - 2 produced s + c / s^2 - 2 consumed / s, by Newton's method in log s from the best of
    four."""
    p = jnp.sum(jnp.square(weights.produced), 1) + jnp.sum(jnp.square(weights.bias), 1)
    c = jnp.sum(jnp.square(weights.consumed), 1)
    p, c = (jnp.broadcast_to(squares[None, :], produced.shape) for squares in (p, c))

    def cost(log_scale: Array) -> Array:
        s = jnp.exp(log_scale)
        return p * s**2 - 2 * produced * s + c / s**2 - 2 * consumed / s

    def log_of(numerator: Array, denominator: Array) -> Array:
        positive = (numerator > 0) & (denominator > 0)
        ratio = jnp.where(positive, numerator, 1.0) / jnp.where(positive, denominator, 1.0)
        return jnp.clip(jnp.log(ratio), -LARGEST_LOG_SCALE, LARGEST_LOG_SCALE)

    # the minimum for incoming weights, for outgoing ones, the balance of their sizes, and no change
    best = jnp.zeros_like(produced)
    for start in (log_of(produced, p), log_of(c, consumed), 0.25 * log_of(c, p)):
        best = jnp.where(cost(start) < cost(best), start, best)

    def newton(_: Array, best: Array) -> Array:
        s = jnp.exp(best)
        gradient = 2 * p * s**2 - 2 * produced * s - 2 * c / s**2 + 2 * consumed / s
        curvature = jnp.abs(4 * p * s**2 - 2 * produced * s + 4 * c / s**2 - 2 * consumed / s)
        step = jnp.clip(gradient / jnp.maximum(curvature, jnp.finfo(produced.dtype).tiny), -1.0, 1.0)
        moved = jnp.clip(best - step, -LARGEST_LOG_SCALE, LARGEST_LOG_SCALE)
        return jnp.where(cost(moved) < cost(best), moved, best)

    best = jax.lax.fori_loop(0, NEWTON_STEPS, newton, best)
    return Pairs(cost(best), sign * jnp.exp(best))
