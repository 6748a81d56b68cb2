"""`Axes`: what each axis of one weight array belongs to.

A network's symmetries act on its *groups* of neurons. An axis of an array either **produces** a group (a
kernel's output axis, a bias: `"h1"`), or **consumes** it (a kernel's input axis multiplies the neurons'
outputs: `"h1*"`), or **follows** it: what a normalization divides out again (the kernel before a batch norm, and its
statistics: `"h1~"`) is reordered with the neurons and takes none of their signs, scales and phases. Fixed axes, the
network's inputs and outputs, have names too; no group acts on them. docs/describe.md has examples.

    kernel of layer 2:   Axes("h1*", "h2")
    bias of layer 2:     Axes("h2", bias=True)
    dense after flatten: Axes(("pixel", "c3*"), "h4")     # a product axis, row-major

A group may exist once for each index of another axis, `Group(..., within="head")`: each index then has an element of
its own. Its name needs no other mark: in an array it belongs to the index of the nearest "head" before it, or of the
only one.

    queries of all heads: Axes("stream*", ("head", "key"))
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, TypeAlias, TypeVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

T = TypeVar("T")
Entry: TypeAlias = "str | tuple[Entry, ...] | Sum"


@dataclass(frozen=True)
class Sum:
    """An axis that concatenates others, in order: `Sum("in", "h2*")` after a skip connection that concatenates."""

    parts: tuple[Entry, ...]

    def __init__(self, *parts: Entry):
        object.__setattr__(self, "parts", parts)


@dataclass(frozen=True)
class Axes:
    """The axes of one array: a name for each, a tuple for a flattened product, `Sum` for a concatenation.

    `bias=True` says that the array adds to the pre-activation, so that a phase shift or a moved coordinate
    lands on it. A leaf, not a pytree node: a tree of `Axes` mirrors the weights.

    Example:
        >>> Axes("h1*", "h2").names
        ('h1', 'h2')
    """

    entries: tuple[Entry, ...]
    bias: bool = False

    def __init__(self, *entries: Entry, bias: bool = False):
        object.__setattr__(self, "entries", entries)
        object.__setattr__(self, "bias", bias)

    @property
    def names(self) -> tuple[str, ...]:
        """Every name, without marks, in order of appearance."""
        return tuple(base(name) for entry in self.entries for name in atoms(entry))


def parts_of(entry: "tuple[Entry, ...] | Sum") -> tuple[Entry, ...]:
    return entry.parts if isinstance(entry, Sum) else entry


def atoms(entry: Entry) -> tuple[str, ...]:
    """The names in one entry, marks kept. Raises TypeError for what is no entry."""
    if isinstance(entry, str):
        return (entry,)
    if not isinstance(entry, tuple | Sum):
        raise TypeError(f"an axis is {entry!r}; expected a name, or a tuple or Sum of names: a Fixed's where none acts")
    return tuple(name for part in parts_of(entry) for name in atoms(part))


def base(name: str) -> str:
    """The name of the group, without its mark."""
    return name.rstrip("*~")


def consumes(name: str) -> bool:
    return name.endswith("*")


def follows(name: str) -> bool:
    return name.endswith("~")


def fold(
    entry: Entry, of_name: Callable[[str], T], of_product: Callable[[list[T]], T], of_sum: Callable[[list[T]], T]
) -> T:
    """The value of an entry, from those of its names (marks kept) up through products of axes and `Sum`s."""
    if isinstance(entry, str):
        return of_name(entry)
    parts = [fold(part, of_name, of_product, of_sum) for part in parts_of(entry)]
    return of_sum(parts) if isinstance(entry, Sum) else of_product(parts)


def size(entry: Entry, sizes: Mapping[str, int]) -> int:
    """The length of an axis."""
    return fold(entry, lambda name: sizes[base(name)], math.prod, sum)


def outer(vectors: Sequence[Array]) -> Array:
    """The vector along a product axis, row-major, of which these lie along the parts."""
    return reduce(lambda whole, other: (whole[:, None] * other[None, :]).reshape(-1), vectors)


def on_parts(
    x: Any, entries: Sequence[Entry], sizes: Mapping[str, int], change: Callable[[Any, tuple[str, ...]], Any]
) -> Any:
    """An array with `change(part, names)` in place of each part: products are unfolded and concatenations split, so
    that every axis of a part has one name."""
    xp: Any = np if isinstance(x, np.ndarray) else jnp
    for axis, entry in enumerate(entries):
        if isinstance(entry, str):
            continue
        lengths = [size(part, sizes) for part in parts_of(entry)]
        if isinstance(entry, Sum):
            pieces = xp.split(x, np.cumsum(lengths)[:-1].tolist(), axis)
            both = zip(pieces, entry.parts, strict=True)
            made = [on_parts(p, (*entries[:axis], e, *entries[axis + 1 :]), sizes, change) for p, e in both]
            return xp.concatenate(made, axis)
        unfolded = x.reshape(*x.shape[:axis], *lengths, *x.shape[axis + 1 :])
        return on_parts(unfolded, (*entries[:axis], *entry, *entries[axis + 1 :]), sizes, change).reshape(x.shape)
    return change(x, tuple(entry for entry in entries if isinstance(entry, str)))


def parts_by_name(entries: Sequence[Entry]) -> list[tuple[str, ...]]:
    """The names along the axes of each part of an array, as `on_parts` gives them."""
    for axis, entry in enumerate(entries):
        if isinstance(entry, Sum):
            return [names for e in entry.parts for names in parts_by_name((*entries[:axis], e, *entries[axis + 1 :]))]
        if isinstance(entry, tuple):
            return parts_by_name((*entries[:axis], *entry, *entries[axis + 1 :]))
    return [tuple(entry for entry in entries if isinstance(entry, str))]


def place_of(outer: str, names: Sequence[str], axis: int) -> int | None:
    """The axis of a part whose index says which of a group's elements acts on `axis`: that of the nearest `outer`
    before it, or of the only one; None where there is none, or no nearest."""
    places = [i for i, name in enumerate(names) if base(name) == outer]
    before = [i for i in places if i < axis]
    return before[-1] if before else places[0] if len(places) == 1 else None


def places_of(chain: Sequence[str], names: Sequence[str], axis: int) -> list[int]:
    """These axes for all that a group lies within, in a part where each has one."""
    return [place for outer in chain if (place := place_of(outer, names, axis)) is not None]
