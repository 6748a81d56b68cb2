"""Laws under the declared group: a reader's output stays, an editor's output moves along with its input."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import PyTree

from wsjax.errors import check_choice, check_number, listing
from wsjax.models.testing.precise import Case, Module, case, difference, generator, in_float64, read, to_float64
from wsjax.symmetry import Element, Move, Symmetry, act
from wsjax.symmetry.group import ACTIONS, Action, Group
from wsjax.typing import Key, Weights

TOLERANCES = {"float64": 1e-10, "float32": 1e-4}
"""The largest difference allowed, as a fraction of an output's root mean square, by the type a module computes in."""


class Trial(NamedTuple):
    """A random group element and what it is, in words."""

    what: str
    element: Element


def trials(symmetry: Symmetry, actions: Sequence[Action], draws: int, key: Key) -> Iterator[Trial]:
    """Each action on each group alone, so that a message can name it, then all of them together."""
    if not actions:
        raise ValueError(f"actions is empty; expected one at least, of {listing(ACTIONS)}")
    for action in actions:
        check_choice("action", action, ACTIONS)
        if not any(group.allows(action) for group in symmetry.groups.values()):
            raise ValueError(f"no group of {symmetry} allows {action!r}; leave it out of `actions`")
    rng = generator(key)
    for action in actions:
        for name in (n for n, group in symmetry.groups.items() if group.allows(action)):
            for _ in range(draws):
                moves = {n: _draw(rng, g, (action,) if n == name else ()) for n, g in symmetry.groups.items()}
                yield Trial(f"{action!r} on group {name!r}", Element(symmetry, moves))
    for _ in range(draws):
        moves = {n: _draw(rng, g, actions) for n, g in symmetry.groups.items()}
        yield Trial(" and ".join(map(repr, actions)) + " on all groups", Element(symmetry, moves))


def _draw(rng: np.random.Generator, group: Group, actions: Sequence[Action]) -> Move:
    """From the distributions of `symmetry.sample`, though never the identity.

    Every part that the group allows is there, if it does nothing: elements of one form need one compiled action.
    """
    drawn = {action: action in actions for action in ACTIONS}
    order, signs, phase = np.arange(group.size), np.ones(group.size), np.zeros(group.size, int)
    if drawn["permute"]:
        order = rng.permutation(group.size)
        order = np.roll(order, 1) if np.array_equal(order, np.arange(group.size)) else order
    if drawn["sign"]:
        signs = rng.choice([-1.0, 1.0], group.size)
        signs[rng.integers(group.size)] = -1.0
    if drawn["phase"]:
        phase = rng.integers(-1, 2, group.size)
        phase[rng.integers(group.size)] = 1
    scales = np.exp(0.3 * rng.normal(size=group.size)) if drawn["rescale"] else 1.0
    gains = group.allows("sign") or group.allows("rescale")
    return Move(
        order if group.allows("permute") else None,
        np.where(group.allows("sign"), signs, 1.0) * np.where(group.allows("rescale"), scales, 1.0) if gains else None,
        phase if group.allows("phase") else None,
    )


def check_invariant(
    reader: Module,
    symmetry: Symmetry,
    weights: Weights | None = None,
    *,
    actions: Sequence[Action] = ("permute",),
    draws: int = 3,
    key: Key,
    tolerance: float | None = None,
) -> float:
    """Prove that a reader's output stays under the group it claims: f(g w) = f(w) for random g, in float64.

    Parameters and weights are cast to float64. A reader that rounds to float32 by itself is found out and allowed what
    that type loses.

    Args:
        reader: `reader(weights) -> output`, for one network.
        symmetry: the networks' Symmetry.
        weights: one network's weights, for a trained one; None draws random ones.
        actions: what the reader claims to be invariant to, of "permute", "sign", "rescale", "phase".
        draws: random elements for each action of each group, and for all together.
        key: a typed key.
        tolerance: the largest difference allowed, as a fraction of the output's root mean square; None takes 1e-10, and
            1e-4 for readers that compute in float32.

    Returns:
        The largest difference found, as that fraction.

    Raises:
        AssertionError: naming the action, the group, the output, the difference and the tolerance.
        ValueError: no action, or one that no group allows, or weights that do not fit the Symmetry.

    Example:
        >>> import jax
        >>> from wsjax.symmetry import mlp
        >>> mean = lambda weights: weights[0].kernel.mean(axis=1)
        >>> check_invariant(mean, mlp((2, 4, 1)), key=jax.random.key(0)) < 1e-10
        True
        >>> check_invariant(lambda w: w[0].kernel[:, 0], mlp((2, 4, 1)), key=jax.random.key(0))
        Traceback (most recent call last):
        AssertionError: 'permute' on group 'h1' changes output by ... of its root mean square; expected at most 1e-10...
    """
    check_number("draws", draws, low=1, integer=True)
    with in_float64():
        evaluate = partial(read, to_float64(reader))
        return invariant(case(evaluate, symmetry, weights, key), symmetry, actions, draws, key, tolerance)


def check_equivariant(
    module: Module,
    symmetry: Symmetry,
    weights: Weights | None = None,
    *,
    act_on_output: Callable[[Element, PyTree], PyTree] = act,
    actions: Sequence[Action] = ("permute",),
    draws: int = 3,
    key: Key,
    tolerance: float | None = None,
) -> float:
    """Prove that a module's output moves along with its input: f(g w) = g f(w) for random g, in float64.

    Args:
        module: `module(weights) -> output`: an editor's weights, or features on which the group acts.
        symmetry: the networks' Symmetry.
        weights: one network's weights; None draws random ones.
        act_on_output: `(element, output) -> output`, how the group acts there; by default as on weights.
        actions, draws, key, tolerance: as in `check_invariant`.

    Returns:
        The largest difference found, as a fraction of the root mean square of the output leaf it is in.

    Raises:
        AssertionError: naming the action, the group, the output leaf, the difference and the tolerance.
        ValueError: no action, or one that no group allows, or weights or an output that do not fit the Symmetry.

    Example:
        >>> import jax
        >>> from wsjax.symmetry import mlp
        >>> double = lambda weights: jax.tree.map(lambda w: 2 * w, weights)
        >>> check_equivariant(double, mlp((2, 4, 1)), key=jax.random.key(0)) < 1e-10
        True
    """
    check_number("draws", draws, low=1, integer=True)
    moved = _act if act_on_output is act else act_on_output
    with in_float64():
        evaluate = partial(read, to_float64(module))
        law = "moves {} away from where it should be by"
        return _hold(case(evaluate, symmetry, weights, key), symmetry, moved, law, actions, draws, key, tolerance)


def invariant(
    one: Case, symmetry: Symmetry, actions: Sequence[Action], draws: int, key: Key, tolerance: float | None = None
) -> float:
    """`check_invariant` of a case."""
    stays = lambda element, output: output
    return _hold(one, symmetry, stays, "changes {} by", actions, draws, key, tolerance)


def _hold(
    one: Case,
    symmetry: Symmetry,
    act_on_output: Callable[[Element, PyTree], PyTree],
    law: str,
    actions: Sequence[Action],
    draws: int,
    key: Key,
    tolerance: float | None,
) -> float:
    allowed = TOLERANCES[one.dtype] if tolerance is None else tolerance
    worst = 0.0
    for what, element in trials(symmetry, actions, draws, key):
        found, leaf = difference(one.evaluate(_act(element, one.weights)), act_on_output(element, one.output))
        if not found <= allowed:
            raise AssertionError(
                f"{what} {law.format(leaf)} {found:.2g} of its root mean square; expected at most {allowed:.2g}, "
                f"computed in {one.dtype}. Look for what distinguishes these neurons or depends on their signs and "
                f"scales (flattening, sorting, statistics of entries, biases), or leave the action out of `actions`."
            )
        worst = float(np.maximum(worst, found))
    return worst


_act = jax.jit(act)
