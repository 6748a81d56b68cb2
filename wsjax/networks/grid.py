"""Coordinates of pixels."""

from collections.abc import Sequence
from typing import Literal, TypeAlias

import jax.numpy as jnp
from jaxtyping import Array, Float

from wsjax.errors import check_choice, check_each

Order: TypeAlias = Literal["xy", "ij"]


def grid(
    shape: Sequence[int], *, order: Order = "xy", low: float = -1.0, high: float = 1.0
) -> Float[Array, "points axes"]:
    """The coordinates of an array's cells as rows, in the array's own (row-major) order.

    Each axis of the array's `shape`, (rows, columns) for an image, runs over `linspace(low, high, n)`, ends included:
    the center of the corner pixels lies on the border. The `order` `"xy"` puts the column first (x, y), as DWSNets and
    its data sets do; `"ij"` the row, as NFN.

    Raises:
        ValueError: an unknown order, or a size below 1.

    Example:
        >>> grid((2, 3))[:3].tolist()
        [[-1.0, -1.0], [0.0, -1.0], [1.0, -1.0]]
    """
    check_choice("coordinate order", order, ("xy", "ij"))
    check_each("shape", shape)
    axes = jnp.meshgrid(*[jnp.linspace(low, high, n) for n in shape], indexing="ij")
    columns = axes[::-1] if order == "xy" else axes
    return jnp.stack([c.reshape(-1) for c in columns], axis=-1)
