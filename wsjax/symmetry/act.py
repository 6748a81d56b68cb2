"""What a group element does to the arrays of a network."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from wsjax.errors import listing
from wsjax.floats import inexact, wide
from wsjax.symmetry.axes import Axes, Entry, Sum, base, consumes, follows, size
from wsjax.symmetry.element import Element, Move
from wsjax.typing import Weights


def act(element: Element, weights: Weights) -> Weights:
    """Apply a group element to one network's weights.

    Axes that produce a group are reordered and multiplied by its gain; a bias moves by k*pi/w0 (k*pi where w0
    multiplies the kernel alone); axes that consume it are reordered and multiplied by (-1)^k / gain; axes that follow
    it are reordered.

    **Preserves** the function, up to rounding. Structure, shapes and dtypes stay. Integers and booleans (a mask) are
    reordered like all others; what lies along no group that moves comes back as it came, bit for bit.

    Raises:
        ValueError: the weights do not have the structure or shapes of the element's Symmetry, or a factor or a phase
            meets an array of integers or booleans, which cannot take it; the leaf is named.

    Source: arXiv 2402.04081, section 4, for signs and phases; its code draws phases from -4..3 and holds one
    w0 = 30 for every layer, here each group has its own and the range is symmetric.

    Example:
        >>> import jax
        >>> from wsjax import networks, symmetry as ws
        >>> spec, w = ws.mlp((2, 4, 1)), networks.mlp_init(jax.random.key(0), (2, 4, 1))
        >>> g = ws.sample(jax.random.key(1), spec, actions=("permute",))
        >>> back = ws.act(ws.inverse(g), ws.act(g, w))
        >>> bool((back[0].kernel == w[0].kernel).all())
        True
    """
    symmetry = element.symmetry
    leaves = symmetry.leaves(weights)
    moved = [_act_on_leaf(*leaf, element) for leaf in zip(symmetry.names, leaves, symmetry.axes, strict=True)]
    return symmetry.unflatten(moved)


def _act_on_leaf(name: str, leaf: Any, axes: Axes, element: Element) -> Any:
    numbers = inexact(leaf)
    dtype = wide(leaf) if numbers else np.dtype(np.float32)
    moves = [_along(entry, element, dtype) for entry in axes.entries]
    shifted = axes.bias and any(_shift(entry, element, dtype) is not None for entry in axes.entries)
    if not numbers:
        if shifted or any(factor is not None for _, factor in moves):
            raise ValueError(
                f"{name} holds {leaf.dtype} and lies along {listing(axes.names)}, where signs, scales or phases act; "
                f"expected floating-point numbers, as others cannot take them: name actions=('permute',) for that "
                f"group, or give the array's axes names of their own"
            )
        return _reordered(leaf, [index for index, _ in moves])
    moved = _reordered(leaf, [index for index, _ in moves]).astype(dtype)
    for axis, (entry, (_, factor)) in enumerate(zip(axes.entries, moves, strict=True)):
        if factor is not None:
            moved = moved * _broadcast(factor, axis, leaf.ndim)
        if axes.bias:
            shift = _shift(entry, element, dtype)
            moved = moved if shift is None else moved + _broadcast(shift, axis, leaf.ndim)
    return moved.astype(leaf.dtype)


def _reordered(leaf: Any, indices: list[Array | None]) -> Any:
    """One gather for all axes that are reordered: a fifth of the time of one after the other."""
    given = {axis: index for axis, index in enumerate(indices) if index is not None}
    if isinstance(leaf, np.ndarray):  # integers that JAX would cut
        for axis, index in given.items():
            leaf = np.take(leaf, np.asarray(index), axis=axis)
        return leaf
    places = tuple(given)
    if len(given) < 2:
        return jnp.take(leaf, given[places[0]], axis=places[0]) if given else leaf
    front = jnp.moveaxis(leaf, places, range(len(places)))
    grid = jnp.ix_(*given.values())
    moved = front.at[grid].get(mode="promise_in_bounds", unique_indices=True)
    return jnp.moveaxis(moved, range(len(places)), places)


def _broadcast(vector: Array, axis: int, ndim: int) -> Array:
    return jnp.expand_dims(vector, [a for a in range(ndim) if a != axis])


def _along(entry: Entry, element: Element, dtype) -> tuple[Array | None, Array | None]:
    """The reordering and the factor along one axis; None where there is none."""
    if isinstance(entry, str):
        move = element.moves.get(base(entry), Move())
        return (None if move.permutation is None else jnp.asarray(move.permutation)), _factor(entry, move, dtype)
    parts = entry.parts if isinstance(entry, Sum) else entry
    sizes = element.symmetry.sizes
    moves = [_along(part, element, dtype) for part in parts]
    lengths = [size(part, sizes) for part in parts]
    index = factor = None
    given = [i for i, _ in moves if i is not None]
    if given:
        whole = [
            jnp.arange(n, dtype=given[0].dtype) if i is None else i for (i, _), n in zip(moves, lengths, strict=True)
        ]
        index = _concatenate(whole, lengths) if isinstance(entry, Sum) else _product_index(whole, lengths)
    if any(f is not None for _, f in moves):
        whole = [jnp.ones(n, dtype) if f is None else f for (_, f), n in zip(moves, lengths, strict=True)]
        factor = jnp.concatenate(whole) if isinstance(entry, Sum) else _product_factor(whole)
    return index, factor


def _factor(name: str, move: Move, dtype) -> Array | None:
    gain = None if move.gain is None or follows(name) else jnp.asarray(move.gain).astype(dtype)
    if not consumes(name):
        return gain
    sign = None if move.phase is None else (1 - 2 * (jnp.asarray(move.phase) % 2)).astype(dtype)
    if gain is None:
        return sign
    return 1 / gain if sign is None else sign / gain


def _shift(entry: Entry, element: Element, dtype) -> Array | None:
    if not isinstance(entry, str):
        return None
    move = element.moves.get(entry, Move())
    if move.phase is None:
        return None
    group = element.symmetry.groups[entry]
    step = jnp.pi / group.w0 if group.w0_convention == "affine" else jnp.pi
    return jnp.asarray(move.phase).astype(dtype) * jnp.asarray(step, dtype)


def _concatenate(indices: list[Array], lengths: list[int]) -> Array:
    starts = [sum(lengths[:i]) for i in range(len(lengths))]
    return jnp.concatenate([index + start for index, start in zip(indices, starts, strict=True)])


def _product_index(indices: list[Array], lengths: list[int]) -> Array:
    whole = indices[0]
    for index, length in zip(indices[1:], lengths[1:], strict=True):
        whole = (whole[:, None] * length + index[None, :]).reshape(-1)
    return whole


def _product_factor(factors: list[Array]) -> Array:
    whole = factors[0]
    for factor in factors[1:]:
        whole = (whole[:, None] * factor[None, :]).reshape(-1)
    return whole
