"""The surface where a field in space is zero, lit and drawn from one side."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float

EYE, LAMP = np.array([0.62, -0.68, 0.45], np.float32), np.array([0.25, -0.45, 0.85], np.float32)
"""Where the eye and the lamp are, seen from the origin; both far away. The z axis points up in the picture."""

FRAME = 1.4
"""Half of the picture's side: what lies within 0.9 along each axis is shown whole."""

STEPS, SHORTEST, CLOSE = 56, 0.02, 1e-4
"""The most steps of a ray, the shortest of them, and between how near places the surface is found."""


@functools.partial(jax.jit, static_argnames="side")
def trace(field: Partial, *, side: int = 256) -> Float[Array, "side side"]:
    """The brightness of each pixel, 1 where a ray meets nothing, of a field's zero set in the cube [-1, 1]^3.

    Sphere tracing: each ray goes on by the field's value, which for a signed distance never passes the surface. A
    fitted network is one approximately, so a ray goes on by a shortest step at least, and once it is inside it halves
    the way between its last point outside and its first inside. Rays stay within the cube: the network was not fitted
    beyond it.

    Args:
        field: (points, 3) to (points,), negative inside, a `Partial` whose arrays are its leaves: one program serves
            all fields of one kind.
        side: pixels.

    Source: Hart, "Sphere Tracing" (The Visual Computer, 1996).

    Example:
        >>> ball = Partial(lambda radius, points: jnp.linalg.norm(points, axis=-1) - radius, 0.5)
        >>> picture = trace(ball, side=32)
        >>> bool(picture[0, 0] == 1), bool(picture[16, 16] < 1)
        (True, True)
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
    """Rays that meet the cube: where each starts, between which distances it is inside, and whose pixel it is.

    Those that miss it, one in seven, are never followed.
    """
    toward, right, up = _frame()
    ticks = ((np.arange(0.5, side, dtype=np.float32) / side) * 2 - 1) * FRAME
    across, along = np.meshgrid(ticks, -ticks)
    start = across.reshape(-1, 1) * right + along.reshape(-1, 1) * up
    sides = np.stack([(-1 - start) / -toward, (1 - start) / -toward])
    near, far = sides.min(0).max(-1), sides.max(0).min(-1)
    hits = np.flatnonzero(near < far)
    return jnp.asarray(start[hits]), jnp.asarray(near[hits]), jnp.asarray(far[hits]), hits


def _frame() -> tuple[Float[np.ndarray, "3"], Float[np.ndarray, "3"], Float[np.ndarray, "3"]]:
    """Unit vectors to the eye, to the right of the picture and up in it."""
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
