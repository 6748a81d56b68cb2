"""A network's arrays cut by one group: the numbers that belong to each of its neurons."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from wsjax.symmetry.axes import Entry, Sum, atoms, base, consumes, follows, size
from wsjax.symmetry.spec import Symmetry


class Slices(NamedTuple):
    """Rows are the neurons of one group: incoming weights, biases, outgoing weights, and what follows them."""

    produced: Float[Array, "neurons made"]
    bias: Float[Array, "neurons biases"]
    consumed: Float[Array, "neurons consumed"]
    followed: Float[Array, "neurons beside"]


def slices(symmetry: Symmetry, leaves: list[Array], group: str, known: frozenset[str] | None = None) -> Slices:
    """Everything along the axes of a group, flattened beside its neurons.

    Args:
        symmetry: the network's.
        leaves: its arrays, in the order of `symmetry.axes`, all of one floating dtype.
        group: whose neurons.
        known: given, only arrays whose other groups are all among these, and that carry this group once.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from wsjax.symmetry import mlp
        >>> spec = mlp((2, 3, 1))
        >>> [part.shape for part in slices(spec, [jnp.zeros(s) for s in spec.shapes], "h1")]
        [(3, 2), (3, 1), (3, 1), (3, 0)]
    """
    produced, bias, consumed, followed = [], [], [], []
    for leaf, axes in zip(leaves, symmetry.axes, strict=True):
        others = [n for n in axes.names if n in symmetry.groups]
        if group not in others:
            continue
        others.remove(group)
        if known is not None and not known.issuperset(others):
            continue
        for axis, entry in enumerate(axes.entries):
            for rows, name in _unfold(jnp.moveaxis(leaf, axis, 0), entry, group, symmetry.sizes):
                made = bias if axes.bias else produced
                (consumed if consumes(name) else followed if follows(name) else made).append(rows)
    nothing = jnp.zeros((symmetry.groups[group].size, 0), leaves[0].dtype)
    return Slices(*(jnp.concatenate([nothing, *parts], axis=1) for parts in (produced, bias, consumed, followed)))


def _unfold(x: Array, entry: Entry, group: str, sizes: dict[str, int]) -> list[tuple[Array, str]]:
    """For each place of the group in the first axis' entry: (neurons, rest), and its name with its mark."""
    if isinstance(entry, str):
        return [(x.reshape(x.shape[0], -1), entry)] if base(entry) == group else []
    if group not in {base(name) for name in atoms(entry)}:
        return []
    parts = entry.parts if isinstance(entry, Sum) else entry
    lengths = [size(part, sizes) for part in parts]
    if isinstance(entry, Sum):
        starts = [sum(lengths[:i]) for i in range(len(lengths))]
        pieces = [x[start : start + length] for start, length in zip(starts, lengths, strict=True)]
    else:
        grid = x.reshape(*lengths, -1)
        pieces = [jnp.moveaxis(grid, i, 0).reshape(length, -1) for i, length in enumerate(lengths)]
    return [found for piece, part in zip(pieces, parts, strict=True) for found in _unfold(piece, part, group, sizes)]
