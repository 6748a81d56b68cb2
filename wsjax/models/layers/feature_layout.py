"""The feature layout of arrays: group axes first, in the Symmetry's order, then channels that hold the fixed axes.

A product axis unfolds into its factors. An axis that concatenates others (`Sum`) is cut: the array is read as one
feature for each part, since a group element moves each part on its own. So each array is one feature or several, and
every feature has plain axes only, some of which may belong to the same group.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

from wsjax.symmetry import Symmetry
from wsjax.symmetry.axes import Entry, Sum, base, size


class Cut(NamedTuple):
    """One part of a concatenated axis: in an array of this shape, `start:stop` along `axis`."""

    shape: tuple[int, ...]
    axis: int
    start: int
    stop: int

    def take(self, array: Array) -> Array:
        return jax.lax.slice_in_dim(array.reshape(self.shape), self.start, self.stop, axis=self.axis)

    def put(self, part: Array) -> Array:
        """The array with zeros outside the part."""
        part = part.reshape(*self.shape[: self.axis], self.stop - self.start, *self.shape[self.axis + 1 :])
        around = [(0, 0)] * len(self.shape)
        around[self.axis] = (self.start, self.shape[self.axis] - self.stop)
        return jnp.pad(part, around)


@dataclass(frozen=True)
class Feature:
    """How one part of an array becomes a feature: the groups on its axes, in order, and the rest as channels.

    `names` stand along the part's plain axes, marks kept, `shape` are their lengths; `fixed` is how many entries the
    fixed ones hold, `leaf` the number of the array.
    """

    names: tuple[str, ...]
    groups: tuple[str, ...]
    fixed: int
    shape: tuple[int, ...]
    order: tuple[int, ...]
    leaf: int
    cuts: tuple[Cut, ...]

    @property
    def sizes(self) -> tuple[int, ...]:
        """The lengths of the group axes."""
        return tuple(self.shape[i] for i in self.order[: len(self.groups)])

    def lift(self, leaf: Array) -> Array:
        """An array of one network as (*groups, channels)."""
        for cut in self.cuts:
            leaf = cut.take(leaf)
        moved = jnp.transpose(leaf.reshape(self.shape), self.order)
        return moved.reshape(*moved.shape[: len(self.groups)], self.fixed)

    def unlift(self, x: Array) -> Array:
        """A feature with one channel for each fixed entry as the array's entries, zeros outside the part."""
        places = [self.order.index(axis) for axis in range(len(self.order))]
        part = jnp.transpose(x.reshape([self.shape[i] for i in self.order]), places)
        for cut in reversed(self.cuts):
            part = cut.put(part)
        return part


def features(symmetry: Symmetry) -> tuple[Feature, ...]:
    """The features of every array of a Symmetry, in the arrays' order; one for each part of a concatenated axis.

    Example:
        >>> from wsjax.symmetry import siren
        >>> [f.groups for f in features(siren((2, 8, 8, 1)))]
        [('h1',), ('h1',), ('h1', 'h2'), ('h2',), ('h2',), ()]
    """
    ranks = list(symmetry.groups)
    made = []
    for leaf, axes in enumerate(symmetry.axes):
        for names, cuts in _plain_axes(axes.entries, symmetry.sizes):
            shape = tuple(symmetry.sizes[base(n)] for n in names)
            at_groups = sorted((ranks.index(base(n)), i) for i, n in enumerate(names) if base(n) in ranks)
            at_fixed = [i for i, n in enumerate(names) if base(n) not in ranks]
            order = (*[i for _, i in at_groups], *at_fixed)
            groups, fixed = tuple(ranks[r] for r, _ in at_groups), math.prod(shape[i] for i in at_fixed)
            made.append(Feature(names, groups, fixed, shape, order, leaf, cuts))
    return tuple(made)


def _plain_axes(entries: Sequence[Entry], sizes: dict[str, int]) -> list[tuple[tuple[str, ...], tuple[Cut, ...]]]:
    """The names along the plain axes of each part of an array, and the cuts that lead to it."""
    flat = _unfold(entries)
    shape = tuple(size(entry, sizes) for entry in flat)
    for axis, joined in enumerate(flat):
        if isinstance(joined, Sum):
            made, start = [], 0
            for part in joined.parts:
                cut = Cut(shape, axis, start, start + size(part, sizes))
                inside = _plain_axes([*flat[:axis], part, *flat[axis + 1 :]], sizes)
                made += [(names, (cut, *cuts)) for names, cuts in inside]
                start = cut.stop
            return made
    return [(tuple(name for name in flat if isinstance(name, str)), ())]


def _unfold(entries: Sequence[Entry]) -> list[str | Sum]:
    """Entries with every product replaced by its factors."""
    flat: list[str | Sum] = []
    for entry in entries:
        flat += _unfold(entry) if isinstance(entry, tuple) else [entry]
    return flat


def lift(leaves: Sequence[Array], spec: tuple[Feature, ...]) -> list[Array]:
    """The arrays of one network, as `symmetry.leaves` gives them, as features, each (*groups, channels)."""
    return [f.lift(leaves[f.leaf]) for f in spec]


def unlift(xs: Sequence[Array], spec: tuple[Feature, ...], symmetry: Symmetry) -> list[Array]:
    """Features with one channel for each fixed entry as arrays of the network's shapes: `lift` undone."""
    whole: dict[int, Array] = {}
    for x, feature in zip(xs, spec, strict=True):
        part = feature.unlift(x).reshape(symmetry.shapes[feature.leaf])
        whole[feature.leaf] = whole[feature.leaf] + part if feature.leaf in whole else part
    return [whole[leaf] for leaf in range(len(symmetry.axes))]
