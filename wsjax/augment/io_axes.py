"""The axis of a network's inputs or of its outputs, and arithmetic along it."""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from wsjax.floats import inexact, wide
from wsjax.symmetry import Axes, Symmetry
from wsjax.symmetry.axes import base
from wsjax.symmetry.group import Role

LARGEST_WRITTEN_OUT = 4  # terms of a sum that are added one by one: a product of so few is slower


def io_axis(symmetry: Symmetry, role: Role) -> tuple[str, int]:
    """The name and the size of the one fixed axis that has this role."""
    found = {name: axis.size for name, axis in symmetry.fixed.items() if axis.role == role}
    if len(found) == 1:
        return next(iter(found.items()))
    raise ValueError(
        f"{role} transformations need one fixed axis with the role {role!r}; this Symmetry has {len(found)} "
        f"({', '.join(found) or 'none'}). Declare it as Fixed(size, {role!r})."
    )


def io_size(
    symmetry: Symmetry,
    role: Role,
    what: str = "",
    low: int = 1,
    high: int | None = None,
    otherwise: str = "leave it out of the pipeline",
) -> int:
    """The size of that axis; refused below `low` or above `high`, by what is done to it."""
    axis, size = io_axis(symmetry, role)
    if low <= size <= (size if high is None else high):
        return size
    sizes = f"{low} or more" if high is None else " or ".join(map(str, range(low, high + 1)))
    raise ValueError(
        f"{what}, and this network's {role} axis {axis!r} has size {size}; use it on networks of {sizes} {role}s, or "
        f"{otherwise}"
    )


def place_of(axis: str, axes: Axes, leaf: str, role: Role) -> int:
    """Which of an array's axes is that one, where it stands alone."""
    for place, entry in enumerate(axes.entries):
        if isinstance(entry, str) and base(entry) == axis:
            return place
    raise ValueError(
        f"{leaf} has the {role} axis {axis!r} inside a product or sum axis; give the {role} an axis of its own"
    )


def numbers_along(
    symmetry: Symmetry, leaves: Sequence[Array | np.ndarray], places: dict[int, int], role: Role
) -> dict[int, int]:
    """Of the arrays along that axis those of floating-point or complex numbers, which a map multiplies.

    Integers and booleans beside one of them, along the same axes, are its mask and stay; others are refused.
    """
    found = {i: place for i, place in places.items() if inexact(leaves[i])}
    for i in places:
        if i not in found and all(symmetry.axes[i].entries != symmetry.axes[j].entries for j in found):
            raise ValueError(
                f"{symmetry.names[i]} holds {leaves[i].dtype}, which no {role} transformation multiplies; expected "
                f"floating-point numbers, or a mask beside them along the same axes: cast the array first"
            )
    return found


def check_size(name: str, value: ArrayLike | None, shapes: tuple[tuple[int, ...], ...], axis: str) -> None:
    if value is None or jnp.shape(value) in shapes:
        return
    expected = " or ".join(map(str, shapes))
    raise ValueError(f"{name} has shape {jnp.shape(value)}; the axis {axis!r} of this network needs {expected}")


# Outside of `jit` one program for each shape, in place of one for each operation; within it no call of its own.
@functools.partial(jax.jit, static_argnums=2, inline=True)
def along(matrix: Float[ArrayLike, "*rows n"], leaf: Array, axis: int) -> Array:
    """matrix @ leaf along one axis of the leaf, in the wide dtype; a vector contracts that axis away.

    At full precision: accelerators would round the factors, and the identity would be none.
    """
    m, x = jnp.asarray(matrix).astype(wide(leaf)), jnp.moveaxis(leaf.astype(wide(leaf)), axis, 0)
    if len(x) > LARGEST_WRITTEN_OUT:
        product = jnp.tensordot(jnp.atleast_2d(m), x, axes=1, precision="highest")
    else:
        columns = jnp.expand_dims(jnp.atleast_2d(m).T, range(2, x.ndim + 1))
        product = functools.reduce(jnp.add, [column * x[j][None] for j, column in enumerate(columns)])
    return jnp.moveaxis(product, 0, axis) if m.ndim > 1 else product[0]
