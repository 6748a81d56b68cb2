"""The opposite law: a move that is no symmetry makes another network, and must change the output of a reader."""

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import numpy as np

from wsjax.errors import check_number
from wsjax.models.testing.precise import Case, Module, case, difference, generator, in_float64, read, to_float64
from wsjax.symmetry import Sum, Symmetry
from wsjax.symmetry.axes import Entry, atoms, base, size
from wsjax.typing import Key, Weights

LEAST = {"float64": 1e-8, "float32": 1e-5}
"""The least change that counts, as a fraction of an output's root mean square, by the type computed in."""


class NonSymmetry(NamedTuple):
    """An axis that is permuted although no symmetry does so: its name for messages, in which arrays, and its name."""

    what: str
    arrays: tuple[int, ...]
    atom: str


def non_symmetries(symmetry: Symmetry) -> Iterator[NonSymmetry]:
    """Every axis of a group in one array alone, and every fixed axis in all arrays, of size two or more."""
    names, sizes, groups = symmetry.names, symmetry.sizes, symmetry.groups
    found = [dict.fromkeys(a for entry in axes.entries for a in atoms(entry)) for axes in symmetry.axes]
    places = [(i, atom) for i, own in enumerate(found) for atom in own if base(atom) in groups]
    for i, atom in places:
        shared = sum(base(other) == base(atom) for _, other in places)
        if sizes[base(atom)] > 1 and shared > 1:
            yield NonSymmetry(f"axis {atom!r} of {names[i]}", (i,), atom)
    for name, fixed in symmetry.fixed.items():
        if fixed.size > 1:
            arrays = tuple(i for i, own in enumerate(found) if name in own)
            yield NonSymmetry(f"the {fixed.role} axis {name!r}", arrays, name)


def check_sensitive(
    reader: Module,
    symmetry: Symmetry,
    weights: Weights | None = None,
    *,
    draws: int = 3,
    key: Key,
    threshold: float | None = None,
) -> float:
    """Prove that a reader distinguishes networks: its output changes under permutations that are no symmetries.

    A constant is invariant to everything. So each group's axis is permuted in one array alone, uncoupled from the
    arrays that produce or consume the same neurons, and each fixed axis (inputs, outputs, positions) in all arrays.
    Every such move makes a network with another function.

    Args:
        reader: `reader(weights) -> output`, for one network.
        symmetry: the networks' Symmetry.
        weights: one network's weights, best a trained one: entries that are equal hide a permutation; None draws.
        draws: random permutations of each axis, of which one must change the output.
        key: a typed key.
        threshold: the least change that counts, as a fraction of the output's root mean square; None takes 1e-8,
            and 1e-5 for readers that compute in float32.

    Returns:
        The change under the move that changes the output least, as that fraction.

    Raises:
        AssertionError: naming every axis that changes the output by less.
        ValueError: weights that do not fit the Symmetry, or whose entries along an axis are all equal.

    Example:
        >>> import jax
        >>> from wsjax.symmetry import siren
        >>> total = lambda weights: sum(w.sum() for w in jax.tree.leaves(weights))
        >>> check_sensitive(total, siren((2, 4, 1)), key=jax.random.key(0))
        Traceback (most recent call last):
        AssertionError: the reader is invariant to axis 'h1' of weights[0].kernel (change ...); axis ...
    """
    check_number("draws", draws, low=1, integer=True)
    with in_float64():
        evaluate = partial(read, to_float64(reader))
        return sensitive(case(evaluate, symmetry, weights, key), symmetry, draws, key, threshold)


def sensitive(one: Case, symmetry: Symmetry, draws: int, key: Key, threshold: float | None = None) -> float:
    """`check_sensitive` of a case."""
    least, rng = LEAST[one.dtype] if threshold is None else threshold, generator(key, 1)
    changes: dict[str, float] = {}
    for move in non_symmetries(symmetry):
        outputs = [one.evaluate(_moved(move, symmetry, one.weights, rng)) for _ in range(draws)]
        changes[move.what] = max(difference(output, one.output)[0] for output in outputs)
    unchanged = [f"{what} (change {change:.2g})" for what, change in changes.items() if not change > least]
    if unchanged:
        raise AssertionError(
            f"the reader is invariant to {'; '.join(unchanged)}: its output should change by more than "
            f"{least:.2g} of its root mean square, computed in {one.dtype}, when that axis alone "
            f"is permuted, for this makes another network. "
            f"Look for what averages over the axis before it meets the arrays that share it."
        )
    return min(changes.values(), default=float("inf"))


def _moved(move: NonSymmetry, symmetry: Symmetry, weights: Weights, rng: np.random.Generator) -> Weights:
    order = rng.permutation(symmetry.sizes[base(move.atom)])
    order = order[::-1] if np.array_equal(order, np.arange(len(order))) else order
    before = [np.asarray(leaf) for leaf in symmetry.leaves(weights)]
    after = list(before)
    for i in move.arrays:
        for axis, entry in enumerate(symmetry.axes[i].entries):
            after[i] = np.take(after[i], places_along(entry, move.atom, order, symmetry.sizes), axis=axis)
    if all(np.array_equal(a, b) for a, b in zip(before, after, strict=True)):
        raise ValueError(
            f"the entries along {move.what} are all equal, so that no permutation changes them; expected a network "
            f"with nothing special about it: pass trained weights, or None for random ones"
        )
    return symmetry.unflatten(after)


def places_along(entry: Entry, atom: str, order: np.ndarray, sizes: dict[str, int]) -> np.ndarray:
    """Where each place along an axis takes its entries from, when one of the names in it is reordered."""
    if isinstance(entry, str):
        return order if entry == atom else np.arange(sizes[base(entry)])
    parts = entry.parts if isinstance(entry, Sum) else entry
    lengths = [size(part, sizes) for part in parts]
    places = [places_along(part, atom, order, sizes) for part in parts]
    if isinstance(entry, Sum):
        starts = np.cumsum([0, *lengths[:-1]])
        return np.concatenate([place + start for place, start in zip(places, starts, strict=True)])
    return np.ravel_multi_index(np.ix_(*places), lengths).reshape(-1)
