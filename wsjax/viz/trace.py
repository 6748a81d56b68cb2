"""The surface where a field in space is zero, lit and seen from one side."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float

EYE, LAMP = np.array([0.62, -0.68, 0.45], np.float32), np.array([0.25, -0.45, 0.85], np.float32)
"""Where the eye and the lamp are, seen from the origin; both far away. The z axis points up in the picture."""

FRAME = 1.4
"""Half of the picture's side: what lies within 0.9 along each axis is seen whole."""

STEPS, SHORTEST = 56, 0.02


@functools.partial(jax.jit, static_argnames="side")
def trace(field: Partial, *, side: int = 256) -> Float[Array, "side side"]:
    """The brightness of each pixel, 1 where a ray meets nothing, of a field's zero set in the cube [-1, 1]^3.

    Sphere tracing: each ray goes on by the field's value, which no signed distance lets it pass the surface with. A
    fitted network is none, quite, so a ray goes on by a shortest step at least, and once it is inside it halves the way
    between its last place outside and its first inside. Rays run within the cube alone: beyond it a network that was
    fitted there says anything.

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
    toward, right, up = _frame()
    ticks = ((jnp.arange(0.5, side) / side) * 2 - 1) * FRAME
    across, along = jnp.meshgrid(ticks, -ticks)
    start = across.reshape(-1, 1) * right[None] + along.reshape(-1, 1) * up[None]
    near, far = _within_cube(start, -toward)
    at = lambda distance: start - distance[:, None] * toward[None]

    def step(_, place: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        outside, inside, here = place
        value = field(at(here))
        outside, inside = jnp.where(value < 0, outside, here), jnp.where(value < 0, here, inside)
        on = outside + jnp.maximum(value, SHORTEST)
        return outside, inside, jnp.where(inside < jnp.inf, (outside + inside) / 2, jnp.minimum(on, far))

    _, inside, here = jax.lax.fori_loop(0, STEPS, step, (near, jnp.full_like(near, jnp.inf), near))
    # A little before the surface, on which a distance has a kink where it is that to an edge.
    light = _lit(jax.grad(lambda points: field(points).sum())(at(here - 5e-3)), toward)
    return jnp.where((near < far) & (inside < jnp.inf), light, 1.0).reshape(side, side)


def _frame() -> tuple[Array, Array, Array]:
    """Unit vectors to the eye, to the right of the picture and up in it."""
    toward = EYE / np.linalg.norm(EYE)
    right = np.cross(np.array([0, 0, 1], np.float32), toward)
    right = right / np.linalg.norm(right)
    return jnp.asarray(toward), jnp.asarray(right), jnp.asarray(np.cross(toward, right))


def _within_cube(start: Float[Array, "rays 3"], way: Float[Array, "3"]) -> tuple[Array, Array]:
    """Between which distances each ray is in the cube; the first is the larger one where it never is."""
    sides = jnp.stack([(-1 - start) / way[None], (1 - start) / way[None]])
    return sides.min(0).max(-1), sides.max(0).min(-1)


def _lit(slope: Float[Array, "rays 3"], toward: Float[Array, "3"]) -> Float[Array, " rays"]:
    normal = slope / jnp.maximum(jnp.linalg.norm(slope, axis=-1, keepdims=True), 1e-6)
    lamp = jnp.asarray(LAMP / np.linalg.norm(LAMP))
    halfway = (lamp + toward) / jnp.linalg.norm(lamp + toward)
    facing = lambda way: jnp.maximum(jnp.sum(normal * way[None], axis=-1), 0.0)
    return 0.18 + 0.5 * facing(lamp) + 0.14 * facing(toward) + 0.1 * facing(halfway) ** 40
