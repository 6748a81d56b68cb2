"""For each pair of neurons, the best move of the one onto the other, and what that costs.

Neuron j of the weights is brought to neuron i of the reference by a gain s and a phase k (see `element.Move`):

    cost[i, j] = min over (s, k) of |P_i - s p_j|^2 + sum over biases (B_i - s b_j - k tau)^2 + |C_i - (-1)^k c_j / s|^2

with P, B, C the reference's slices (produced, biases, consumed), p, b, c those of the weights, and tau = pi / w0, or
pi. What follows the neurons adds |F_i - f_j|^2. Terms that are the same for all j, or whatever the order, are left out.
Each case is in closed form, but for a positive scale, a quartic.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from wsjax.symmetry.group import Action, Group
from wsjax.symmetry.slices import Slices

NEWTON_STEPS = 8
LARGEST_LOG_SCALE = 12.0


class Pairs(NamedTuple):
    """Entry [i, j]: the least cost of bringing neuron j to the reference's neuron i, and the move that reaches it."""

    cost: Float[Array, "n n"]
    gain: Float[Array, "n n"] | None = None
    phase: Int[Array, "n n"] | None = None


def pairs(group: Group, weights: Slices, reference: Slices, actions: tuple[Action, ...]) -> Pairs:
    """The best move for each pair of neurons, over those of `actions` that the group allows.

    Args:
        group: the neurons' group.
        weights, reference: the group's slices of the network to move and of the one to meet.
        actions: among `"sign"`, `"phase"`, `"rescale"`.

    Example:
        >>> import jax.numpy as jnp
        >>> one = lambda x: Slices(jnp.array([[x]]), jnp.zeros((1, 0)), jnp.array([[x]]), jnp.zeros((1, 0)))
        >>> pairs(Group(1, "tanh"), one(2.0), one(-2.0), ("sign",)).gain.tolist()
        [[-1.0]]
    """
    found = _matched(group, weights, reference, actions)
    return found._replace(cost=found.cost - 2 * (reference.followed @ weights.followed.T))


def _matched(group: Group, weights: Slices, reference: Slices, actions: tuple[Action, ...]) -> Pairs:
    allowed = {action for action in actions if group.allows(action)}
    if "phase" in allowed:
        return _phased(group, weights, reference, signs=(1.0, -1.0) if "sign" in allowed else (1.0,))
    produced, consumed = _products(reference, weights)
    if "rescale" in allowed:
        best = _rescaled(produced, consumed, weights)
        return _better(best, _rescaled(-produced, -consumed, weights, sign=-1.0)) if "sign" in allowed else best
    if "sign" in allowed:
        both = produced + consumed
        return Pairs(-2 * jnp.abs(both), jnp.where(both < 0, -1.0, 1.0).astype(both.dtype))
    return Pairs(-2 * (produced + consumed))


def _products(reference: Slices, weights: Slices) -> tuple[Array, Array]:
    """Inner products of all pairs: of incoming weights with biases, and of outgoing weights."""
    produced = reference.produced @ weights.produced.T + reference.bias @ weights.bias.T
    return produced, reference.consumed @ weights.consumed.T


def _better(a: Pairs, b: Pairs) -> Pairs:
    keep = a.cost <= b.cost
    either = lambda x, y: None if x is None or y is None else jnp.where(keep, x, y)
    return Pairs(jnp.minimum(a.cost, b.cost), either(a.gain, b.gain), either(a.phase, b.phase))


def _phased(group: Group, weights: Slices, reference: Slices, signs: tuple[float, ...]) -> Pairs:
    """Four candidates: for each sign and parity of k, the k of that parity nearest to the biases' mean difference."""
    tau = np.pi / group.w0 if group.w0_convention == "affine" else np.pi
    produced = reference.produced @ weights.produced.T
    consumed = reference.consumed @ weights.consumed.T
    best = None
    for sign in signs:
        difference = reference.bias[:, None, :] - sign * weights.bias[None, :, :]
        turns = jnp.mean(difference, axis=-1) / tau
        for parity in (0, 1):
            phase = 2 * jnp.round((turns - parity) / 2) + parity
            left = jnp.sum(jnp.square(difference - tau * phase[..., None]), axis=-1)
            cost = left - 2 * sign * produced - 2 * sign * (1 - 2 * parity) * consumed
            found = Pairs(cost, jnp.full_like(cost, sign), phase.astype(jnp.int32))
            best = found if best is None else _better(best, found)
    assert best is not None
    return best


def _rescaled(produced: Array, consumed: Array, weights: Slices, sign: float = 1.0) -> Pairs:
    """min over s > 0 of p s^2 - 2 produced s + c / s^2 - 2 consumed / s, by Newton's method in log s from the best of
    four."""
    p = jnp.sum(jnp.square(weights.produced), 1) + jnp.sum(jnp.square(weights.bias), 1)
    p, c = jnp.broadcast_to(p[None, :], produced.shape), jnp.sum(jnp.square(weights.consumed), 1)[None, :]
    c = jnp.broadcast_to(c, produced.shape)

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
