"""A network's two ends: the axis of its inputs or of its outputs, and arithmetic along it."""

import functools

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from wsjax.floats import wide
from wsjax.symmetry import Axes, Symmetry
from wsjax.symmetry.axes import base
from wsjax.symmetry.group import Role

LARGEST_WRITTEN_OUT = 4  # terms of a sum that are added one by one: a product of so few is slower


def end_axis(symmetry: Symmetry, role: Role) -> tuple[str, int]:
    """The name and the size of the one fixed axis that has this role."""
    found = {name: axis.size for name, axis in symmetry.fixed.items() if axis.role == role}
    if len(found) == 1:
        return next(iter(found.items()))
    raise ValueError(
        f"{role} transformations need one fixed axis with the role {role!r}; this Symmetry has {len(found)} "
        f"({', '.join(found) or 'none'}). Declare it as Fixed(size, {role!r})."
    )


def place_of(axis: str, axes: Axes, leaf: str, role: Role) -> int:
    """Which of an array's axes is that one, where it stands alone."""
    for place, entry in enumerate(axes.entries):
        if isinstance(entry, str) and base(entry) == axis:
            return place
    raise ValueError(
        f"{leaf} has the {role} axis {axis!r} inside a product or sum axis; give the {role} an axis of its own"
    )


def check_size(name: str, value: ArrayLike | None, shapes: tuple[tuple[int, ...], ...], axis: str) -> None:
    if value is None or jnp.shape(value) in shapes:
        return
    expected = " or ".join(map(str, shapes))
    raise ValueError(f"{name} has shape {jnp.shape(value)}; the axis {axis!r} of this network needs {expected}")


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
