"""What a group element does to the arrays of a network."""

from functools import reduce
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from wsjax.errors import listing
from wsjax.floats import inexact, wide
from wsjax.symmetry.axes import Axes, Entry, atoms, base, consumes, fold, follows, on_parts, outer, places_of
from wsjax.symmetry.element import Element, Move, multiply, refined, spread
from wsjax.symmetry.spec import Symmetry, carries_phase
from wsjax.typing import Weights


def act(element: Element, weights: Weights) -> Weights:
    """Apply a group element to one network's weights.

    Axes that produce a group are reordered and multiplied by its gain; a bias moves by k*pi/w0 (k*pi where w0
    multiplies the kernel alone); axes that consume it are reordered and multiplied by (-1)^k / gain; axes that follow
    it are reordered. Where a matrix M acts, axes that produce the group are multiplied by M and axes that consume it by
    M^-1: x'[j] = sum_i x[i] M[i, j] and x'[j] = sum_i M^-1[j, i] x[i]. Groups within another axis move index by index,
    once those are in their new order.

    **Preserves** the function, up to rounding. Structure, shapes and dtypes stay. Integers and booleans (a mask) are
    reordered like all others; what lies along no group that moves comes back as it came, bit for bit.

    Raises:
        ValueError: the weights do not have the structure or shapes of the element's Symmetry, or a factor, a phase or
            a matrix meets an array of integers or booleans; the leaf is named.

    Source: arXiv 2402.04081, section 4, for signs and phases; its code draws phases from -4..3 and holds one
    w0 = 30 for every layer, here each group has its own and the range is symmetric. Matrices: the
    symmetry of low-rank adapters, arXiv 2410.04207.

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
    leaves = zip(symmetry.names, symmetry.leaves(weights), symmetry.axes, strict=True)
    return symmetry.unflatten([_act_on_leaf(*leaf, element) for leaf in leaves])


def _act_on_leaf(name: str, leaf: Any, axes: Axes, element: Element) -> Any:
    numbers = inexact(leaf)
    dtype = wide(leaf) if numbers else np.dtype(np.float32)
    moves = [_along(entry, element, dtype) for entry in axes.entries]
    factors = [factor for _, factor in moves]
    shifts = [_shift(entry, element, dtype) if axes.bias else None for entry in axes.entries]
    orders = [order for order, _ in moves]
    apart = _apart(axes, element)
    if not numbers:
        moved = [element.moves[name] for name in apart]
        others = (part for move in moved for part in (move.gain, move.phase, move.matrix))
        if any(part is not None for part in (*factors, *shifts, *others)):
            raise ValueError(
                f"{name} holds {leaf.dtype} and lies along {listing(axes.names)}, where signs, scales or phases act; "
                f"expected floating-point numbers, as others cannot take them: name actions=('permute',) for that "
                f"group, or give the array's axes names of their own"
            )
        return _moved_apart(_reordered(leaf, orders), axes, element, apart, dtype)
    moved = _reordered(leaf, orders).astype(dtype)
    for axis, (factor, shift) in enumerate(zip(factors, shifts, strict=True)):
        moved = moved if factor is None else moved * _broadcast(factor, axis, leaf.ndim)
        moved = moved if shift is None else moved + _broadcast(shift, axis, leaf.ndim)
    return _moved_apart(moved, axes, element, apart, dtype).astype(leaf.dtype)


def _apart(axes: Axes, element: Element) -> list[str]:
    """The groups along an array that a vector for each axis does not move: those of matrices, and those within others,
    which come after what they lie within."""
    symmetry = element.symmetry
    names = [n for n in dict.fromkeys(axes.names) if n in element.moves and not _plain(n, element)]
    acting = [name for name in names if any(part is not None for part in element.moves[name])]
    return sorted(acting, key=lambda name: len(symmetry.chain(name)))


def _plain(name: str, element: Element) -> bool:
    return element.moves[name].matrix is None and not element.symmetry.chain(name)


def _moved_apart(x: Any, axes: Axes, element: Element, apart: list[str], dtype: np.dtype) -> Any:
    """What the moves of some groups make of an array, axis by axis of its parts."""
    symmetry = element.symmetry
    if not apart:
        return x

    def change(part: Any, names: tuple[str, ...]) -> Any:
        for group in apart:
            for axis, name in enumerate(names):
                if base(name) == group:
                    shifts = carries_phase(axes, group, symmetry)
                    part = _moved_within(part, names, axis, symmetry, element.moves[group], shifts, dtype)
        return part

    return on_parts(x, axes.entries, symmetry.sizes, change)


def _moved_within(
    x: Any, names: tuple[str, ...], axis: int, symmetry: Symmetry, move: Move, shifts: bool, dtype: np.dtype
) -> Any:
    name = names[axis]
    lead, move = symmetry.lead(base(name)), spread(move, symmetry.lead(base(name)))
    xp: Any = np if isinstance(x, np.ndarray) else jnp
    outers = places_of(symmetry.chain(base(name)), names, axis)
    front = xp.moveaxis(x, (*outers, axis), range(len(outers) + 1))
    rows = front.reshape(*lead, x.shape[axis], -1)
    if move.matrix is not None:
        rows = multiply(_matrix(name, move, dtype), rows)
    if move.permutation is not None:
        rows = xp.take_along_axis(rows, xp.asarray(move.permutation)[..., None], axis=-2)
    if (factor := _factor(name, move, dtype)) is not None:
        rows = rows * factor[..., None]
    if shifts and move.phase is not None:
        half_turn = jnp.asarray(symmetry.groups[base(name)].half_turn, dtype)
        rows = rows + (jnp.asarray(move.phase).astype(dtype) * half_turn)[..., None]
    return xp.moveaxis(rows.reshape(front.shape), range(len(outers) + 1), (*outers, axis))


def _matrix(name: str, move: Move, dtype: np.dtype) -> Array:
    """What multiplies the axis from the left: the matrix transposed, or its inverse, which is refined where the element
    holds fewer digits than the array."""
    matrix, inverse = jnp.asarray(move.matrix), jnp.asarray(move.inverse)
    held, matrix, inverse = inverse.dtype, matrix.astype(dtype), inverse.astype(dtype)
    if not consumes(name):
        return jnp.swapaxes(matrix, -1, -2)
    for _ in range(2 if jnp.finfo(dtype).eps < jnp.finfo(held).eps else 0):
        inverse = refined(inverse, matrix)
    return inverse


def _reordered(leaf: Any, orders: list[Array | None]) -> Any:
    """One gather for all axes that are reordered: a fifth of the time of one after the other."""
    acting = {axis: order for axis, order in enumerate(orders) if order is not None}
    if isinstance(leaf, np.ndarray):  # integers that JAX would cut
        for axis, order in acting.items():
            leaf = np.take(leaf, np.asarray(order), axis=axis)
        return leaf
    places = tuple(acting)
    if len(acting) < 2:
        return jnp.take(leaf, acting[places[0]], axis=places[0]) if acting else leaf
    front = jnp.moveaxis(leaf, places, range(len(places)))
    grid = jnp.ix_(*acting.values())
    moved = front.at[grid].get(mode="promise_in_bounds", unique_indices=True)
    return jnp.moveaxis(moved, range(len(places)), places)


def _broadcast(vector: Array, axis: int, ndim: int) -> Array:
    return jnp.expand_dims(vector, [a for a in range(ndim) if a != axis])


def _along(entry: Entry, element: Element, dtype: np.dtype) -> tuple[Array | None, Array | None]:
    """The reordering and the factor along one axis; None where there is none."""
    if isinstance(entry, str):
        move = element.moves.get(base(entry), Move())
        if base(entry) in element.moves and not _plain(base(entry), element):
            return None, None
        return (None if move.permutation is None else jnp.asarray(move.permutation)), _factor(entry, move, dtype)
    parts = {name: _along(name, element, dtype) for name in atoms(entry)}
    orders = {name: order for name, (order, _) in parts.items() if order is not None}
    factors = {name: factor for name, (_, factor) in parts.items() if factor is not None}
    sizes = {name: element.symmetry.sizes[base(name)] for name in parts}
    order = factor = None
    if orders:
        integers = next(iter(orders.values())).dtype
        of_name = lambda name: orders[name] if name in orders else jnp.arange(sizes[name], dtype=integers)
        order = fold(entry, of_name, _product_order, _sum_order)
    if factors:
        of_name = lambda name: factors[name] if name in factors else jnp.ones(sizes[name], dtype)
        factor = fold(entry, of_name, outer, jnp.concatenate)
    return order, factor


def _factor(name: str, move: Move, dtype: np.dtype) -> Array | None:
    gain = None if move.gain is None or follows(name) else jnp.asarray(move.gain).astype(dtype)
    if not consumes(name):
        return gain
    sign = None if move.phase is None else (1 - 2 * (jnp.asarray(move.phase) % 2)).astype(dtype)
    if gain is None:
        return sign
    return 1 / gain if sign is None else sign / gain


def _shift(entry: Entry, element: Element, dtype: np.dtype) -> Array | None:
    if not isinstance(entry, str) or (phase := element.moves.get(entry, Move()).phase) is None:
        return None
    if not _plain(entry, element):
        return None
    return jnp.asarray(phase).astype(dtype) * jnp.asarray(element.symmetry.groups[entry].half_turn, dtype)


def _sum_order(orders: list[Array]) -> Array:
    starts = np.cumsum([0, *map(len, orders)]).tolist()
    return jnp.concatenate([order + start for order, start in zip(orders, starts, strict=False)])


def _product_order(orders: list[Array]) -> Array:
    return reduce(lambda whole, order: (whole[:, None] * len(order) + order[None, :]).reshape(-1), orders)
