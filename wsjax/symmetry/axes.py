"""`Axes`: what each axis of one weight array belongs to.

A network's symmetries act on its *groups* of neurons. An axis of an array either **produces** a group (a
kernel's output axis, a bias: `"h1"`), or **consumes** it (a kernel's input axis multiplies the neurons'
outputs: `"h1*"`), or **follows** it: what a normalization divides out again (the kernel before a batch norm, and its
statistics: `"h1~"`) is reordered with the neurons and takes none of their signs, scales and phases. Fixed axes, the
network's inputs and outputs, have names too; no group acts on them. docs/describe.md has examples.

    kernel of layer 2:   Axes("h1*", "h2")
    bias of layer 2:     Axes("h2", bias=True)
    dense after flatten: Axes(("pixel", "c3*"), "h4")     # a product axis, row-major
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import jax.numpy as jnp
from jaxtyping import Array, Shaped

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


def atoms(entry: Entry) -> tuple[str, ...]:
    """The names in one entry, marks kept."""
    if isinstance(entry, str):
        return (entry,)
    parts = entry.parts if isinstance(entry, Sum) else entry
    return tuple(name for part in parts for name in atoms(part))


def base(name: str) -> str:
    """The name of the group, without its mark."""
    return name.rstrip("*~")


def consumes(name: str) -> bool:
    return name.endswith("*")


def follows(name: str) -> bool:
    return name.endswith("~")


def size(entry: Entry, sizes: dict[str, int]) -> int:
    """The length of an axis."""
    if isinstance(entry, str):
        return sizes[base(entry)]
    if isinstance(entry, Sum):
        return sum(size(part, sizes) for part in entry.parts)
    length = 1
    for part in entry:
        length *= size(part, sizes)
    return length


def vector_along(entry: Entry, sizes: dict[str, int], vectors: Mapping[str, Array]) -> Shaped[Array, " axis"]:
    """Vectors of names, spread along an axis: a product axis multiplies them, row-major, and a `Sum` concatenates.

    Names without a vector give ones. All vectors are of one dtype; there is at least one.

    Example:
        >>> vector_along(("pixel", "c*"), {"pixel": 2, "c": 3}, {"c": jnp.array([1, 0, 1])}).tolist()
        [1, 0, 1, 1, 0, 1]
    """
    if isinstance(entry, str):
        ones = jnp.ones(sizes[base(entry)], next(iter(vectors.values())).dtype)
        return vectors.get(base(entry), ones)
    if isinstance(entry, Sum):
        return jnp.concatenate([vector_along(part, sizes, vectors) for part in entry.parts])
    whole, *others = (vector_along(part, sizes, vectors) for part in entry)
    for other in others:
        whole = (whole[:, None] * other[None, :]).reshape(-1)
    return whole
