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

CELLS = 96
EYE, LAMP = np.array([0.62, -0.68, 0.45], np.float32), np.array([0.25, -0.45, 0.85], np.float32)
"""Where the eye and the lamp are, seen from the origin; both far away. The z axis points up in the image."""

FRAME = 1.4
"""Half of the image's side: what lies within 0.9 along each axis is shown whole."""

STEPS, SHORTEST, CLOSE = 56, 0.02, 1e-4
"""The most steps of a ray, the shortest of them, and between how near places the surface is found."""

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
    """One way to look at fields: its name, the images of them, and how one image is drawn."""

    name: str
    images: Sequence[ArrayLike]
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
    """A field's values over the plane, or in space where one coordinate is 0; the last of the others runs down rows."""
    points = grid((CELLS, CELLS), low=limits[0], high=limits[1])
    if axis is not None:
        points = jnp.insert(points, axis, 0.0, axis=1)
    return function(points).reshape(CELLS, CELLS)


def _cropped(brightness: Float[np.ndarray, "images side side"]) -> Float[np.ndarray, "images less less"]:
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


@functools.partial(jax.jit, static_argnames="side")
def trace(field: Partial, *, side: int = 256) -> Float[Array, "side side"]:
    """The brightness of each pixel, 1 where a ray meets nothing, of a field's zero set in the cube [-1, 1]^3.

    Sphere tracing: each ray goes on by the field's value, which for a signed distance never passes the surface. A
    fitted network is one approximately, so a ray goes on by a shortest step at least, and once it is inside it halves
    the way between its last point outside and its first inside. Rays stay within the cube: the network was not fitted
    beyond it.

    The field is a `Partial` from (points, 3) to (points,), negative inside, whose arrays are its leaves: one program
    serves all fields of one kind. `side` is in pixels.

    Source: Hart, "Sphere Tracing" (The Visual Computer, 1996).
    """
    start, near, far, hits = _rays(side)
    toward = _frame()[0]
    at = lambda distance: start - distance[:, None] * toward[None]

    def goes_on(state: tuple[Array, Array, Array, Array]) -> Array:
        number, outside, inside, _ = state
        left = jnp.where(inside < jnp.inf, inside - outside > CLOSE, outside < far)
        return (number < STEPS) & jnp.any(left)

    def step(state: tuple[Array, Array, Array, Array]) -> tuple[Array, Array, Array, Array]:
        number, outside, inside, here = state
        value = field(at(here))
        outside, inside = jnp.where(value < 0, outside, here), jnp.where(value < 0, here, inside)
        on = outside + jnp.maximum(value, SHORTEST)
        return number + 1, outside, inside, jnp.where(inside < jnp.inf, (outside + inside) / 2, jnp.minimum(on, far))

    begun = (jnp.int32(0), near, jnp.full_like(near, jnp.inf), near)
    _, _, inside, here = jax.lax.while_loop(goes_on, step, begun)
    # A little before the surface, on which a distance has a kink where it is that to an edge.
    light = _lit(jax.grad(lambda points: field(points).sum())(at(here - 5e-3)), toward)
    return jnp.ones(side * side).at[hits].set(jnp.where(inside < jnp.inf, light, 1.0)).reshape(side, side)


def _rays(side: int) -> tuple[Array, Array, Array, np.ndarray]:
    """Rays that meet the cube: where each starts, between which distances it is inside, and whose pixel it is."""
    toward, right, up = _frame()
    ticks = ((np.arange(0.5, side, dtype=np.float32) / side) * 2 - 1) * FRAME
    across, along = np.meshgrid(ticks, -ticks)
    start = across.reshape(-1, 1) * right + along.reshape(-1, 1) * up
    sides = np.stack([(-1 - start) / -toward, (1 - start) / -toward])
    near, far = sides.min(0).max(-1), sides.max(0).min(-1)
    hits = np.flatnonzero(near < far)
    return jnp.asarray(start[hits]), jnp.asarray(near[hits]), jnp.asarray(far[hits]), hits


def _frame() -> tuple[Float[np.ndarray, "3"], Float[np.ndarray, "3"], Float[np.ndarray, "3"]]:
    """Unit vectors to the eye, to the right of the image and up in it."""
    toward = EYE / np.linalg.norm(EYE)
    right = np.cross(np.array([0, 0, 1], np.float32), toward)
    right = right / np.linalg.norm(right)
    return toward, right, np.cross(toward, right)


def _lit(gradient: Float[Array, "rays 3"], toward: Float[np.ndarray, "3"]) -> Float[Array, " rays"]:
    normal = gradient / jnp.maximum(jnp.linalg.norm(gradient, axis=-1, keepdims=True), 1e-6)
    lamp = jnp.asarray(LAMP / np.linalg.norm(LAMP))
    halfway = (lamp + toward) / jnp.linalg.norm(lamp + toward)
    facing = lambda way: jnp.maximum(jnp.sum(normal * way[None], axis=-1), 0.0)
    return 0.18 + 0.5 * facing(lamp) + 0.14 * facing(toward) + 0.1 * facing(halfway) ** 40
