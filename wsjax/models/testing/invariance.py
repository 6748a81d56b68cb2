"""Laws under the declared group: a reader's output stays, an editor's output moves along with its input."""

import math
from collections.abc import Callable, Iterator, Sequence

import jax
import numpy as np
from jaxtyping import PyTree

from wsjax.errors import check_choice, check_number, check_several, listing
from wsjax.models.testing.precise import Case, Module, case, difference, generator, in_float64, permutation
from wsjax.symmetry import Symmetry, act
from wsjax.symmetry.element import Element, Move
from wsjax.symmetry.group import ALL_ACTIONS, Action, Group
from wsjax.typing import Key, Weights


def trials(symmetry: Symmetry, actions: Sequence[Action], draws: int, key: Key) -> Iterator[tuple[str, Element]]:
    """Random elements and what they are in words: each action on each group alone, then all of them together.

    A group within another axis has a move for each index of it, of which one is the identity: of two neurons there is
    one other order, and moves that are the same for every index would show nothing of how a reader tells them apart.
    """
    check_several("actions", actions)
    if not actions:
        raise ValueError(f"actions is empty; expected one at least, of {listing(ALL_ACTIONS)}")
    for action in actions:
        check_choice("action", action, ALL_ACTIONS)
        if not any(group.allows(action) for group in symmetry.groups.values()):
            raise ValueError(f"no group of {symmetry} allows {action!r}; leave it out of `actions`")
    rng = generator(key)

    def element(acting: Callable[[str], Sequence[Action]]) -> Element:
        moves = {}
        for name, group in symmetry.groups.items():
            lead, as_matrix = symmetry.lead(name), group.allows("linear") and "linear" in actions
            count = math.prod(lead)
            still = rng.integers(count) if count > 1 else None
            each = [_draw(rng, group, () if i == still else acting(name), as_matrix) for i in range(count)]
            moves[name] = jax.tree.map(lambda *x, lead=lead: np.reshape(x, (*lead, *x[0].shape)), *each)
        return Element(symmetry, moves)

    for action in actions:
        for name in (n for n, group in symmetry.groups.items() if group.allows(action)):
            for _ in range(draws):
                yield f"{action!r} on group {name!r}", element(lambda n, a=action, name=name: (a,) if n == name else ())
    for _ in range(draws):
        yield " and ".join(map(repr, actions)) + " on all groups", element(lambda _: actions)


def _draw(rng: np.random.Generator, group: Group, actions: Sequence[Action], as_matrix: bool) -> Move:
    """From the distributions of `symmetry.sample`, though never the identity, and of up to 40 half turns.

    Every part that the group allows is there, if it does nothing: elements of one form need one compiled action.
    """
    order, phase = np.arange(group.size), np.zeros(group.size, int)
    signs, scales = np.ones(group.size), np.ones(group.size)
    if "permute" in actions:
        order = permutation(rng, group.size)
    if "sign" in actions:
        signs = rng.choice([-1.0, 1.0], group.size)
        signs[rng.integers(group.size)] = -1.0
    if "phase" in actions:
        phase = rng.integers(-40, 41, group.size)
        phase[rng.integers(group.size)] = 1
    if "rescale" in actions:
        scales = np.exp(0.3 * rng.normal(size=group.size))
    gain = (signs if group.allows("sign") else 1.0) * (scales if group.allows("rescale") else 1.0)
    if as_matrix:
        matrix = np.eye(group.size)[:, order] * np.reshape(gain, (1, -1))
        if "linear" in actions:
            left, right = (np.linalg.qr(rng.normal(size=matrix.shape))[0] for _ in range(2))
            matrix = matrix @ (left * np.exp(rng.uniform(-0.5, 0.5, group.size))[None, :]) @ right
        return Move(matrix=matrix, inverse=np.linalg.inv(matrix))
    return Move(
        order if group.allows("permute") else None,
        gain if group.allows("sign") or group.allows("rescale") else None,
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
        actions: what the reader claims to be invariant to, of "permute", "sign", "phase", "rescale" and "linear", which
            draws matrices for the groups that allow them.
        draws: random elements for each action of each group, and for all together.
        key: a typed key.
        tolerance: the largest difference allowed, as a fraction of the output's root mean square; None takes 1e-10, and
            1e-4 for readers that compute in float32.

    Returns: the largest difference found, as that fraction.

    Raises: AssertionError naming the action, the group, the output, the difference and the tolerance; ValueError for no
    action, or one that no group allows, or weights that do not fit the Symmetry.

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
    with in_float64():
        one = case(reader, symmetry, weights, key)
        return invariant(one, symmetry, actions, draws, key, tolerance)


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

    The output is an editor's weights, or anything on which `act_on_output(element, output)` says how the group acts.
    Other arguments, what is returned and what is raised are as in `check_invariant`.

    Example:
        >>> import jax
        >>> from wsjax.symmetry import mlp
        >>> double = lambda weights: jax.tree.map(lambda w: 2 * w, weights)
        >>> check_equivariant(double, mlp((2, 4, 1)), key=jax.random.key(0)) < 1e-10
        True
    """
    with in_float64():
        one = case(module, symmetry, weights, key)
        moved = _act if act_on_output is act else act_on_output
        return invariant(one, symmetry, actions, draws, key, tolerance, moved)


def invariant(
    one: Case,
    symmetry: Symmetry,
    actions: Sequence[Action],
    draws: int,
    key: Key,
    tolerance: float | None = None,
    act_on_output: Callable[[Element, PyTree], PyTree] | None = None,
) -> float:
    """`check_invariant` of a case, or `check_equivariant` where the group acts on the output."""
    check_number("draws", draws, low=1, integer=True)
    allowed, worst = one.allowed(tolerance), 0.0
    for what, element in trials(symmetry, actions, draws, key):
        expected = one.output if act_on_output is None else act_on_output(element, one.output)
        found, leaf = difference(one.evaluate(_act(element, one.weights)), expected)
        if not found <= allowed:
            law = f"changes {leaf} by" if act_on_output is None else f"moves {leaf} away from where it should be by"
            raise AssertionError(
                f"{what} {law} {found:.2g} of its root mean square; expected at most {allowed:.2g}, "
                f"computed in {one.dtype}. Look for what distinguishes these neurons or depends on their signs and "
                f"scales (flattening, sorting, statistics of entries, biases), or leave the action out of `actions`."
            )
        worst = max(worst, found)
    return worst


_act = jax.jit(act)
