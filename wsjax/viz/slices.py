"""A field over the plane, or a field in space by its surface and by slices through the middle."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, ArrayLike, Float

from wsjax.data import Metadata
from wsjax.networks import grid
from wsjax.typing import Scalar
from wsjax.viz.style import INK, PALETTE, Axes, bare
from wsjax.viz.trace import trace

CELLS = 96
SURFACE = ("#0b1f33", PALETTE[0], "#9fd0ee", "#ffffff")


class Look(NamedTuple):
    """How a quantity is drawn: its colors and what they run over; the value at the surface, None where it has none;
    how far a ray may go for each unit that a value lies beyond that one, negative where larger values are inside."""

    colors: str
    low: float
    high: float
    level: float | None = None
    fraction: float = 1.0


LOOKS = {
    "signed distance": Look("PuOr", -0.6, 0.6, 0.0),
    "distance": Look("PuOr", -0.6, 0.6),
    # A fitted step shows that the surface is near, not how near: rays go on by a small fraction.
    "occupancy": Look("PuOr_r", 0.0, 1.0, 0.5, -0.15),
}


class View(NamedTuple):
    """One way to look at fields: its name, the pictures of them, and how one picture is drawn."""

    name: str
    pictures: Sequence[ArrayLike]
    draw: Callable[..., None]


def views(metadata: Metadata, functions: Sequence[Partial]) -> list[View]:
    """How some fields are drawn: in space their surface, if they have one, and two slices."""
    assert metadata.network is not None
    look = LOOKS.get(str(metadata.source.get("quantity"))) or Look("gray", *map(float, metadata.value_range))
    limits = (float(metadata.coordinate_range[0]), float(metadata.coordinate_range[1]))
    if metadata.network.widths[0] == 2:
        draw = functools.partial(draw_slice, look=look, origin="upper")
        return [View("", [on_plane(function, None, limits) for function in functions], draw)]
    draw = functools.partial(draw_slice, look=look, origin="lower")
    slices = [View(f"{'xyz'[axis]} = 0", [on_plane(f, axis, limits) for f in functions], draw) for axis in (2, 1)]
    if look.level is None:
        return slices
    distances = [Partial(_beyond, function, look.level, look.fraction) for function in functions]
    surfaces = _cropped(np.stack([trace(distance) for distance in distances]))
    return [View("surface", list(surfaces), draw_surface), *slices]


@functools.partial(jax.jit, static_argnums=(1, 2))
def on_plane(function: Partial, axis: int | None, limits: tuple[float, float]) -> Float[Array, "rows columns"]:
    """A field's values over the plane, or in space where one coordinate is 0; the last coordinate left runs down rows.

    Example:
        >>> on_plane(Partial(lambda points: points[:, 2]), 1, (0.0, 1.0))[:, 0].tolist()[:: CELLS - 1]
        [0.0, 1.0]
    """
    points = grid((CELLS, CELLS), low=limits[0], high=limits[1])
    if axis is not None:
        points = jnp.insert(points, axis, 0.0, axis=1)
    return function(points).reshape(CELLS, CELLS)


def _cropped(brightness: Float[np.ndarray, "pictures side side"]) -> Float[np.ndarray, "pictures less less"]:
    """The smallest square about the middle that holds every surface."""
    side = brightness.shape[1]
    shown = np.concatenate(np.nonzero((brightness < 1).any(axis=0)))
    half = min(side // 2, int(np.abs(shown - (side - 1) / 2).max()) + 4) if len(shown) else side // 2
    return brightness[:, side // 2 - half : side // 2 + half, side // 2 - half : side // 2 + half]


def _beyond(
    function: Partial, level: Scalar, fraction: Scalar, points: Float[Array, "points 3"]
) -> Float[Array, " points"]:
    return (function(points) - level) * fraction


def draw_slice(axes: Axes, values: Float[ArrayLike, "rows columns"], *, look: Look, origin: str) -> None:
    """Colors, with thin lines a tenth apart and a thick one where the surface is."""
    shown = np.asarray(values)
    axes.imshow(shown, cmap=look.colors, vmin=look.low, vmax=look.high, origin=origin, interpolation="bilinear")  # type: ignore[arg-type]
    if look.level is not None:
        _lines(axes, shown, np.arange(look.low, look.high, 0.1), linewidths=0.3, alpha=0.4)
        _lines(axes, shown, np.array([look.level]), linewidths=1.0)
    bare(axes)


def _lines(axes: Axes, values: np.ndarray, levels: np.ndarray, **kw: Any) -> None:
    # Matplotlib warns of levels that a field never takes.
    within = levels[(levels > values.min()) & (levels < values.max())]
    if len(within):
        axes.contour(values, within, colors=INK, linestyles="solid", **kw)


def draw_surface(axes: Axes, brightness: Float[ArrayLike, "rows columns"]) -> None:
    """A traced surface."""
    from matplotlib.colors import LinearSegmentedColormap

    shades = LinearSegmentedColormap.from_list("surface", SURFACE)
    axes.imshow(brightness, cmap=shades, vmin=0, vmax=1, interpolation="antialiased")
    axes.set_axis_off()
