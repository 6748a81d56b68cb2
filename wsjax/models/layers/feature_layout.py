"""The feature layout of arrays: group axes first, in the Symmetry's order, then channels that hold the fixed axes.

A product axis unfolds into its factors. An axis that concatenates others (`Sum`) is cut: the array is read as one
feature for each part, since a group element moves each part on its own. For the same reason a fixed axis that groups
lie within, as that of stacked layers, is cut into its indices in every array along such a group: each index has a group
of its own, `"h[0]"`, `"h[1]"`. So each array is one feature or several, and every feature has plain axes only, some of
which may belong to the same group.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

from wsjax.symmetry import Symmetry
from wsjax.symmetry.axes import Entry, Sum, base, places_of, size


class Cut(NamedTuple):
    """One part of an axis: in an array of this shape, `start:stop` along `axis`."""

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
    fixed ones hold, `leaf` the number of the array. Of a group within other groups each index of these has an element
    of its own: `within` are, for each group axis, the group axes whose indices say which one acts there.
    """

    names: tuple[str, ...]
    groups: tuple[str, ...]
    fixed: int
    shape: tuple[int, ...]
    order: tuple[int, ...]
    leaf: int
    cuts: tuple[Cut, ...]
    within: tuple[tuple[int, ...], ...]

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


def group_names(symmetry: Symmetry) -> dict[str, str]:
    """The group of each name that features have: their own names, but of a group within a fixed axis, be it by way of
    others, one for each index of that axis.

    Example:
        >>> from wsjax.symmetry import Axes, Fixed, Group, symmetry_of
        >>> sizes = {"layer": Fixed(2), "h": Group(4, within="layer"), "out": Fixed(1, "output")}
        >>> group_names(symmetry_of([Axes("layer", "h"), Axes("layer", "h*", "out")], sizes))
        {'h[0]': 'h', 'h[1]': 'h'}
    """
    found: dict[str, str] = {}
    for name in symmetry.groups:
        outermost = next(iter(symmetry.chain(name)), name)
        fixed = symmetry.fixed.get(outermost)
        found |= {name: name} if fixed is None else {_of_index(name, i): name for i in range(fixed.size)}
    return found


def _of_index(name: str, index: int) -> str:
    return f"{base(name)}[{index}]{name.removeprefix(base(name))}"


def features(symmetry: Symmetry) -> tuple[Feature, ...]:
    """The features of every array of a Symmetry, in the arrays' order; one for each part of a concatenated axis, and
    for each index of a fixed axis that a group of the array lies within.

    Example:
        >>> from wsjax.symmetry import siren
        >>> [f.groups for f in features(siren((2, 8, 8, 1)))]
        [('h1',), ('h1',), ('h1', 'h2'), ('h2',), ('h2',), ()]
    """
    parts = enumerate(_plain_axes(axes.entries, symmetry.sizes) for axes in symmetry.axes)
    return tuple(f for leaf, own in parts for names, cuts in own for f in _of_part(leaf, names, cuts, symmetry))


def _of_part(leaf: int, names: tuple[str, ...], cuts: tuple[Cut, ...], symmetry: Symmetry) -> Iterator[Feature]:
    """A feature for each index of the fixed axes that groups along a part of an array lie within."""
    ranks, lengths = list(group_names(symmetry)), [symmetry.sizes[base(name)] for name in names]
    outer = [places_of(symmetry.chain(base(name)), names, axis) for axis, name in enumerate(names)]
    stacked = sorted({place for places in outer for place in places if base(names[place]) in symmetry.fixed})
    left = [axis for axis in range(len(names)) if axis not in stacked]
    shape = tuple(lengths[axis] for axis in left)
    for indices in itertools.product(*(range(lengths[axis]) for axis in stacked)):
        whole, at, called = list(lengths), cuts, list(names)
        for place, i in zip(stacked, indices, strict=True):
            at, whole[place] = (*at, Cut(tuple(whole), place, i, i + 1)), 1
            called = [_of_index(n, i) if place in outer[axis] else n for axis, n in enumerate(called)]
        own = tuple(called[axis] for axis in left)
        at_groups = sorted((ranks.index(base(n)), i) for i, n in enumerate(own) if base(n) in ranks)
        order = (*[i for _, i in at_groups], *[i for i, n in enumerate(own) if base(n) not in ranks])
        within = tuple(
            tuple(order.index(left.index(place)) for place in outer[left[i]] if place in left) for _, i in at_groups
        )
        groups = tuple(ranks[r] for r, _ in at_groups)
        fixed = math.prod(shape[i] for i in order[len(groups) :])
        yield Feature(own, groups, fixed, shape, order, leaf, at, within)


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
