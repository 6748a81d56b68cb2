"""`Symmetry`: the symmetry group of one architecture, as data.

Closed once, from a tree of `Axes` that mirrors the weights and a table of what the names mean; then validated,
hashable and static, so it can be bound in a `Partial`, be a static argument of `jit`, or a static field of a
reader. Actions, matching, equivariant layers, graphs and tests all take it from here. `mlp` and `siren` are ready.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree, PyTreeDef

from wsjax.errors import check_number, check_shape, check_structure, leaf_names, listing
from wsjax.floats import uncut
from wsjax.symmetry.axes import Axes, atoms, base, consumes, follows, parts_by_name, place_of, size
from wsjax.symmetry.group import Convention, Fixed, Group, frequencies
from wsjax.typing import Layer


@jax.tree_util.register_static
@dataclass(frozen=True)
class Symmetry:
    """A validated, static description of what may act on a network's weights. Build it with `symmetry_of`."""

    treedef: PyTreeDef  # type: ignore[valid-type]
    axes: tuple[Axes, ...]
    dimensions: tuple[tuple[str, Group | Fixed], ...]

    @property
    def names(self) -> list[str]:
        """The path of each leaf, in order."""
        return leaf_names(jax.tree.unflatten(self.treedef, self.axes))

    @property
    def groups(self) -> dict[str, Group]:
        """The groups that act, by name, in the order declared."""
        return {name: d for name, d in self.dimensions if isinstance(d, Group)}

    @property
    def fixed(self) -> dict[str, Fixed]:
        return {name: d for name, d in self.dimensions if isinstance(d, Fixed)}

    @property
    def sizes(self) -> dict[str, int]:
        return {name: d.size for name, d in self.dimensions}

    def chain(self, name: str) -> tuple[str, ...]:
        """The axes within which a group lies, outermost first: it has an element for each of their indices."""
        within = getattr(dict(self.dimensions)[name], "within", None)
        return () if within is None else (*self.chain(within), within)

    def lead(self, name: str) -> tuple[int, ...]:
        """The sizes of these axes."""
        return tuple(self.sizes[outer] for outer in self.chain(name))

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """The shape of each leaf of one network."""
        sizes = self.sizes
        return [tuple(size(entry, sizes) for entry in axes.entries) for axes in self.axes]

    def leaves(self, weights: PyTree) -> list[Any]:
        """The leaves of one network's weights as JAX arrays, checked against this description; NumPy integers of 64
        bits, which JAX would cut to 32, stay in NumPy.

        Raises ValueError naming the leaf where structure or a shape differs, TypeError where JAX has no such numbers.
        """
        check_structure(weights, self.treedef, "this Symmetry")
        leaves = jax.tree.leaves(weights)
        for name, leaf, shape in zip(self.names, leaves, self.shapes, strict=True):
            check_shape(name, jnp.shape(leaf), shape, "this Symmetry")
        return [_array(name, leaf) for name, leaf in zip(self.names, leaves, strict=True)]

    def unflatten(self, leaves: Sequence[Any]) -> PyTree:
        return jax.tree.unflatten(self.treedef, leaves)

    def __repr__(self) -> str:
        within = lambda g: f" within {g.within}" if g.within else ""
        groups = (
            f"{n}: {g.size} {g.activation} ({'/'.join(g.actions or ())}){within(g)}" for n, g in self.groups.items()
        )
        return f"Symmetry({listing(groups)})"


def _array(name: str, leaf: Any) -> Any:
    native: Any = leaf
    if isinstance(leaf, np.ndarray | np.generic) and not leaf.dtype.isnative:
        native = leaf.astype(leaf.dtype.newbyteorder("="))
    try:
        return uncut(native)
    except TypeError:
        raise TypeError(
            f"{name} holds {getattr(leaf, 'dtype', type(leaf).__name__)}; expected numbers that JAX has arrays of: "
            f"convert it to float32, for example"
        ) from None


def symmetry_of(axes: PyTree, dimensions: Mapping[str, Group | Fixed]) -> Symmetry:
    """Close a tree of `Axes` into a `Symmetry`.

    Args:
        axes: a pytree with the weights' own structure and one `Axes` for each array.
        dimensions: what every name stands for: a `Group` that acts, or a `Fixed` axis.

    Raises:
        TypeError: a leaf is not `Axes`, or a dimension neither `Group` nor `Fixed`.
        ValueError: a name with two marks, a name without a dimension or the reverse, a bias that consumes a group or
            produces several, a group that takes phases but has no bias of its own to carry them, a group that no array
            produces, an array that follows a group of matrices, a group within an axis that an array of its own lacks.

    Example:
        >>> from wsjax.symmetry import Axes, Fixed, Group, symmetry_of
        >>> tree = {"dense": {"kernel": Axes("in", "h"), "bias": Axes("h", bias=True)}, "out": Axes("h*", "out")}
        >>> symmetry_of(tree, {"in": Fixed(2, "input"), "h": Group(8, "tanh"), "out": Fixed(1, "output")})
        Symmetry(h: 8 tanh (permute/sign))
    """
    leaves, treedef = jax.tree.flatten(axes)
    for name, leaf in zip(leaf_names(axes), leaves, strict=True):
        if not isinstance(leaf, Axes):
            raise TypeError(f"{name} is {leaf!r}; expected Axes(...), one name for each axis of that array")
        for atom in (a for entry in leaf.entries for a in atoms(entry)):
            if len(atom) > len(base(atom)) + 1:
                raise ValueError(
                    f"{name} lies along {atom!r}; expected one mark at most: '*' where the array consumes "
                    f"{base(atom)!r}, '~' where it follows it"
                )
    for name, dimension in dimensions.items():
        if not isinstance(dimension, Group | Fixed):
            raise TypeError(f"dimension {name!r} is {dimension!r}; expected a Group, or Fixed(size) where nothing acts")
    used = {n for leaf in leaves for n in leaf.names}
    undefined, unused = sorted(used - set(dimensions)), sorted(set(dimensions) - used)
    if undefined:
        raise ValueError(f"axes {listing(undefined)} have no Group or Fixed; add them to `dimensions`")
    if unused:
        raise ValueError(f"dimensions {listing(unused)} name no axis of any array; remove them")
    _check_within(dimensions)
    closed = Symmetry(treedef, tuple(leaves), tuple(dimensions.items()))
    _check_places(closed)
    _check_groups(closed)
    return closed


def carries_phase(axes: Axes, name: str, symmetry: Symmetry) -> bool:
    """Whether an array is the bias that a group's phases shift: along that group alone, and what it lies within."""
    if not axes.bias or not (chain := symmetry.chain(name)):
        return axes.bias and name in axes.entries  # inside a product or a sum a bias carries no phase
    parts = parts_by_name(axes.entries)
    return len(parts) == 1 and sorted(map(base, parts[0])) == sorted((name, *chain)) and name in parts[0]


def _check_within(dimensions: Mapping[str, Group | Fixed]) -> None:
    for name, dimension in dimensions.items():
        seen = [name]
        while isinstance(dimension, Group) and (outer := dimension.within) is not None:
            if outer not in dimensions:
                raise ValueError(f"group {seen[-1]!r} lies within {outer!r}, which no dimension is; add it")
            if outer in seen:
                raise ValueError(f"group {name!r} lies within itself, by way of {listing(seen)}; correct `within`")
            dimension = dimensions[outer]
            if isinstance(dimension, Group) and not set(dimension.actions or ()) <= {"permute"}:
                raise ValueError(
                    f"group {outer!r} has others within it and allows {listing(dimension.actions or ())}; expected "
                    f"permutations alone, as signs and scales belong to what is within: declare "
                    f"Group({dimension.size}, {dimension.activation!r}, actions=('permute',))"
                )
            seen.append(outer)


def _check_places(symmetry: Symmetry) -> None:
    """Each axis of a group that lies within others says which of its elements acts there."""
    for name, axes in zip(symmetry.names, symmetry.axes, strict=True):
        for names in parts_by_name(axes.entries):
            for axis, atom in enumerate(names):
                for outer in symmetry.chain(base(atom)):
                    if place_of(outer, names, axis) is None:
                        raise ValueError(
                            f"{name} lies along {atom!r}, a group within {outer!r}, and along "
                            f"{'more than one' if outer in map(base, names) else 'no'} axis {outer!r} before it; "
                            f"expected one, which says whose element acts: write the axis of {outer!r} before that of "
                            f"{base(atom)!r}, or declare a Group without within where all share one element"
                        )


def _check_groups(symmetry: Symmetry) -> None:
    produced: set[str] = set()
    biased: set[str] = set()
    for name, axes in zip(symmetry.names, symmetry.axes, strict=True):
        names = {a for entry in axes.entries for a in atoms(entry)}
        made = {base(a) for a in names if not consumes(a)} & set(symmetry.groups)
        produced |= made & names
        if axes.bias:
            if len(made) > 1 and not any(made <= {n, *symmetry.chain(n)} for n in made):
                raise ValueError(
                    f"{name} is a bias over {listing(sorted(made))}; a bias belongs to one group: leave bias=True out "
                    f"where its axis is a product of groups, as beside a GroupNorm; it then moves with its neurons and "
                    f"takes no phase"
                )
            if any(consumes(a) for a in names):
                raise ValueError(f"{name} is a bias but consumes a group; a bias only produces, drop the '*'")
            biased |= made & {n for n in symmetry.groups if carries_phase(axes, n, symmetry)}
        for atom in (a for a in names if follows(a) and base(a) in symmetry.groups):
            if symmetry.groups[base(atom)].allows("linear"):
                raise ValueError(
                    f"{name} follows group {base(atom)!r} ({atom!r}), on which matrices act; expected arrays that "
                    f"produce or consume it alone, as what a normalization divides out is no matrix: declare "
                    f"actions=('permute',) for it"
                )
    for name, group in symmetry.groups.items():
        if name not in produced:
            raise ValueError(
                f"no array produces group {name!r}; mark the axis that makes its neurons without '*' or '~'"
            )
        if group.allows("phase") and name not in biased:
            raise ValueError(
                f"group {name!r} allows 'phase' but no array is its bias; mark one with Axes({name!r}, bias=True) or "
                f"declare Group(..., actions=('permute', 'sign'))"
            )


def check_gains(symmetry: Symmetry, what: str) -> None:
    """Raise ValueError where an array follows a group of signs or scales and takes none of them."""
    gained = {n for n, group in symmetry.groups.items() if group.allows("sign") or group.allows("rescale")}
    for name, axes in zip(symmetry.names, symmetry.axes, strict=True):
        for atom in (a for entry in axes.entries for a in atoms(entry) if follows(a) and base(a) in gained):
            raise ValueError(
                f"{name} follows group {base(atom)!r} ({atom!r}), whose signs and scales it does not take; expected "
                f"none that follows for {what}: declare Group(..., actions=('permute',)), or take a reader of "
                f"permutations alone"
            )


def mlp(widths: Sequence[int], activation: str = "relu") -> Symmetry:
    """The symmetries of a dense network with one activation at every hidden layer and a linear last layer.

    Weights are a tuple of `Layer(kernel (in, out), bias (out,))`. Hidden groups are `h1`, `h2`, ...; the fixed
    axes are `in` and `out`. `widths` are the sizes from input to output, `(2, 32, 32, 1)`; an `activation` is `relu`,
    `leaky_relu`, `tanh`, `sine`, or any other name, which allows permutations only.

    Example:
        >>> mlp((2, 8, 8, 1), "tanh")
        Symmetry(h1: 8 tanh (permute/sign), h2: 8 tanh (permute/sign))
    """
    return _chain(widths, [Group(n, activation) for n in widths[1:-1]])


def siren(widths: Sequence[int], w0: float | Sequence[float] = 30.0, convention: Convention = "affine") -> Symmetry:
    """The symmetries of a SIREN, sin(w0 (x W + b)) at every hidden layer and a linear last layer.

    `widths` are the sizes from input to output; `w0` is one frequency, or one for each hidden layer; the `convention`
    is `"affine"` for sin(w0 (x W + b)), `"kernel"` for sin(w0 x W + b). Another number of frequencies is refused.

    Source: Sitzmann et al. 2020 (arXiv 2006.09661) for the network; signs and phases as in arXiv 2402.04081,
    whose code holds one w0 = 30 for all layers.

    Example:
        >>> siren((2, 8, 1), w0=10.0)
        Symmetry(h1: 8 sine (permute/sign/phase))
    """
    w0s = frequencies(w0, len(widths) - 2)
    return _chain(widths, [Group(n, "sine", w, convention) for n, w in zip(widths[1:-1], w0s, strict=True)])


def _chain(widths: Sequence[int], groups: list[Group]) -> Symmetry:
    check_number("number of widths", len(widths), low=3)
    hidden = {f"h{i + 1}": group for i, group in enumerate(groups)}
    pairs = zip(["in", *(f"{name}*" for name in hidden)], [*hidden, "out"], strict=True)
    layers = tuple(Layer(Axes(a, b), Axes(b, bias=True)) for a, b in pairs)
    return symmetry_of(layers, {"in": Fixed(widths[0], "input"), **hidden, "out": Fixed(widths[-1], "output")})
