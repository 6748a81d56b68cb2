"""The opposite law: a move that is no symmetry makes another network, and must change the output of a reader."""

from collections.abc import Iterator

import numpy as np

from wsjax.errors import check_number
from wsjax.models.testing.precise import Case, Module, case, difference, generator, in_float64, permutation
from wsjax.symmetry import Sum, Symmetry
from wsjax.symmetry.axes import Entry, atoms, base, size
from wsjax.typing import Key, Weights

LEAST = {"float64": 1e-8, "float32": 1e-5}
"""The least change that counts, as a fraction of an output's root mean square, by the type computed in."""


def non_symmetries(symmetry: Symmetry) -> Iterator[tuple[str, list[int], str]]:
    """Every axis of a group in one array alone, and every fixed axis in all arrays, of size two or more.

    Each is its name for messages, the numbers of the arrays, and its name in them.
    """
    sizes, groups = symmetry.sizes, symmetry.groups
    found = [dict.fromkeys(a for entry in axes.entries for a in atoms(entry)) for axes in symmetry.axes]
    places = [(i, atom) for i, own in enumerate(found) for atom in own if base(atom) in groups]
    for i, atom in places:
        shared = sum(base(other) == base(atom) for _, other in places)
        if sizes[base(atom)] > 1 and shared > 1:
            yield f"axis {atom!r} of {symmetry.names[i]}", [i], atom
    for name, fixed in symmetry.fixed.items():
        if fixed.size > 1:
            yield f"the {fixed.role} axis {name!r}", [i for i, own in enumerate(found) if name in own], name


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
        reader, symmetry, key: as in `check_invariant`.
        weights: one network's weights, best a trained one: entries that are equal hide a permutation; None draws.
        draws: random permutations of each axis, of which one must change the output.
        threshold: the least change that counts, as a fraction of the output's root mean square; None takes 1e-8,
            and 1e-5 for readers that compute in float32.

    Returns: the change under the move that changes the output least, as that fraction.

    Raises: AssertionError naming every axis that changes the output by less; ValueError for weights that do not fit the
    Symmetry, or whose entries along an axis are all equal.

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
        return sensitive(case(reader, symmetry, weights, key), symmetry, draws, key, threshold)


def sensitive(one: Case, symmetry: Symmetry, draws: int, key: Key, threshold: float | None = None) -> float:
    """`check_sensitive` of a case."""
    least, rng = LEAST[one.dtype] if threshold is None else threshold, generator(key, 1)
    changes: dict[str, float] = {}
    for what, arrays, atom in non_symmetries(symmetry):
        orders = [permutation(rng, symmetry.sizes[base(atom)]) for _ in range(draws)]
        moved = [_moved(what, arrays, atom, order, symmetry, one.weights) for order in orders]
        changes[what] = max(difference(one.evaluate(weights), one.output)[0] for weights in moved)
    unchanged = [f"{what} (change {change:.2g})" for what, change in changes.items() if not change > least]
    if unchanged:
        raise AssertionError(
            f"the reader is invariant to {'; '.join(unchanged)}: its output should change by more than "
            f"{least:.2g} of its root mean square, computed in {one.dtype}, when that axis alone is permuted, for this "
            f"makes another network. Look for what averages over the axis before it meets the arrays that share it."
        )
    return min(changes.values(), default=float("inf"))


def _moved(what: str, arrays: list[int], atom: str, order: np.ndarray, symmetry: Symmetry, weights: Weights) -> Weights:
    """Weights with an axis of some arrays in another order."""
    before = [np.asarray(leaf) for leaf in symmetry.leaves(weights)]
    after = list(before)
    for i in arrays:
        for axis, entry in enumerate(symmetry.axes[i].entries):
            after[i] = np.take(after[i], places_along(entry, atom, order, symmetry.sizes), axis=axis)
    if all(np.array_equal(a, b) for a, b in zip(before, after, strict=True)):
        raise ValueError(
            f"the entries along {what} are all equal, so that no permutation changes them; expected a network "
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
