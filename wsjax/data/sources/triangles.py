"""Triangles in space: how far points are from them, and how often they wind about points.

Every pair of a point and a triangle is computed, one triangle after the other, for all points at once: memory is
bounded by the points alone, and each step is a vector operation that stays in a core's cache. Nothing is expected of
the triangles but corners: no order, no orientation, no watertight surface, no area.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from wsjax.typing import Key

Coordinates = tuple[Array, Array, Array]
"""x, y and z apart: products of three are slow where the three lie side by side."""


def triangle_distance(
    points: Float[ArrayLike, "points 3"], triangles: Float[ArrayLike, "triangles 3 3"]
) -> Float[Array, " points"]:
    """The exact distance from each point to the nearest of some triangles: to the foot of the perpendicular where that
    falls inside, else to the nearest edge. A triangle without area has its edges alone."""
    p = _columns(points)

    def step(nearest: Array, triangle: Array) -> tuple[Array, None]:
        a, b, c = (_columns(corner) for corner in triangle)
        normal = _cross(_minus(b, a), _minus(c, a))
        square, height = _dot(normal, normal), _dot(normal, _minus(p, a))
        beside = [_dot(_cross(normal, _minus(end, start)), _minus(p, start)) for start, end in ((a, b), (b, c), (c, a))]
        inside = (beside[0] > 0) & (beside[1] > 0) & (beside[2] > 0)
        foot = jnp.square(height) / jnp.where(square > 0, square, 1.0)
        edges = jnp.minimum(jnp.minimum(_to_edge(p, a, b), _to_edge(p, b, c)), _to_edge(p, c, a))
        # Never farther than the edges: a sliver's normal is rounded, and with it the foot.
        return jnp.minimum(nearest, jnp.where(inside, jnp.minimum(foot, edges), edges)), None

    start = jnp.full_like(p[0], jnp.inf)
    return jnp.sqrt(jax.lax.scan(step, start, jnp.asarray(triangles))[0])


def winding_number(
    points: Float[ArrayLike, "points 3"], triangles: Float[ArrayLike, "triangles 3 3"]
) -> Float[Array, " points"]:
    """How often triangles wind about each point: the solid angle that they cover, with its sign, over 4 pi.

    1 inside a closed surface whose corners are counter-clockwise from outside, -1 where they are clockwise, 0 outside
    of it, and in between near the holes of one that is not closed. With u, v, w the unit vectors to the corners,
    tan(angle / 2) = u . (v x w) / (1 + u . v + v . w + w . u). Angles are added as complex numbers are multiplied,
    their full turns counted apart: an arctangent for each pair would take five times as long.

    Source: Van Oosterom and Strackee, "The Solid Angle of a Plane Triangle" (1983), equation 8; Jacobson et al.,
    "Robust Inside-Outside Segmentation using Generalized Winding Numbers" (SIGGRAPH 2013), equation 5.
    """
    p = _columns(points)

    def step(found: Coordinates, triangle: Array) -> tuple[Coordinates, None]:
        x, y, turns = found
        u, v, w = (_unit(_minus(_columns(corner), p)) for corner in triangle)
        sine, cosine = _dot(u, _cross(v, w)), 1 + _dot(u, v) + _dot(v, w) + _dot(w, u)
        square = jnp.square(sine) + jnp.square(cosine)
        short = jax.lax.rsqrt(jnp.where(square > 0, square, 1.0))
        sine, cosine = sine * short, jnp.where(square > 0, cosine * short, 1.0)
        after = x * sine + y * cosine
        up, down = (y >= 0) & (sine >= 0) & (after < 0), (y < 0) & (sine < 0) & (after >= 0)
        return (x * cosine - y * sine, after, turns + up.astype(turns.dtype) - down.astype(turns.dtype)), None

    start = (jnp.ones_like(p[0]), jnp.zeros_like(p[0]), jnp.zeros_like(p[0]))
    x, y, turns = jax.lax.scan(step, start, jnp.asarray(triangles))[0]
    return jnp.arctan2(y, x) / (2 * jnp.pi) + turns


def surface_points(key: Key, triangles: Float[ArrayLike, "triangles 3 3"], count: int) -> Float[Array, "count 3"]:
    """Points uniform on triangles: one in proportion to its area, then anywhere in it alike."""
    a, b, c = jnp.moveaxis(jnp.asarray(triangles), 1, 0)
    area = jnp.linalg.norm(jnp.cross(b - a, c - a), axis=-1)
    upto = jnp.cumsum(area)
    chance = jax.random.uniform(key, (3, count))
    row = jnp.searchsorted(upto, chance[0] * upto[-1], side="right").clip(max=len(area) - 1)
    far, along = jnp.sqrt(chance[1])[:, None], chance[2][:, None]
    return a[row] + far * ((1 - along) * (b - a)[row] + along * (c - a)[row])


def _columns(vectors: Float[ArrayLike, "*more 3"]) -> Coordinates:
    x, y, z = jnp.moveaxis(jnp.asarray(vectors), -1, 0)
    return x, y, z


def _minus(a: Coordinates, b: Coordinates) -> Coordinates:
    return a[0] - b[0], a[1] - b[1], a[2] - b[2]


def _dot(a: Coordinates, b: Coordinates) -> Array:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def _cross(a: Coordinates, b: Coordinates) -> Coordinates:
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]


def _unit(a: Coordinates) -> Coordinates:
    square = _dot(a, a)
    short = jax.lax.rsqrt(jnp.where(square > 0, square, 1.0))
    return a[0] * short, a[1] * short, a[2] * short


def _to_edge(p: Coordinates, start: Coordinates, end: Coordinates) -> Array:
    """Squared distances from points to an edge."""
    edge, from_start = _minus(end, start), _minus(p, start)
    square = _dot(edge, edge)
    fraction = jnp.clip(_dot(from_start, edge) / jnp.where(square > 0, square, 1.0), 0.0, 1.0)
    rest = _minus(from_start, (fraction * edge[0], fraction * edge[1], fraction * edge[2]))
    return _dot(rest, rest)
