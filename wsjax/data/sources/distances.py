"""Exact signed distances of solids, negative inside, and the table of the solids that have them here.

A signed distance is exact where its modulus is the distance to the surface everywhere, inside too; its gradient then
has length one wherever it exists. Many formulas in use are bounds only, at least inside. These are exact because they
are put together from steps that keep exactness: the distance to a point, a segment or a circle less a radius; the
product of two figures; a plane figure turned about an axis of its own; a projection that is known in closed form.

Every solid lies at the origin with its axis, where it has one, along z.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

Cloud: TypeAlias = Float[Array, "points 3"]
Sizes: TypeAlias = Float[Array, " sizes"]
Distances: TypeAlias = Float[Array, " points"]


class Solid(NamedTuple):
    """A kind of solid.

    distance: signed distances of points, given the sizes; reach: the distance from the origin to the farthest point of
    the solid, given the sizes; low, high: between which sizes are drawn, in any unit, as solids are scaled afterwards.
    The bounds keep the kinds apart: no drawn box is nearly rounded, and no drawn capsule nearly a ball.
    """

    distance: Callable[[Cloud, Sizes], Distances]
    reach: Callable[[Sizes], Float[Array, ""]]
    low: tuple[float, ...]
    high: tuple[float, ...]


def ball(points: Cloud, sizes: Sizes) -> Distances:
    """All within a radius of the origin. Sizes: the radius."""
    return _length(points) - sizes[0]


def box(points: Cloud, sizes: Sizes) -> Distances:
    """The product of three segments. Sizes: half of each edge."""
    return _product(jnp.abs(points) - sizes[None, :3])


def rounded_box(points: Cloud, sizes: Sizes) -> Distances:
    """All within a radius of a box. Sizes: half of each edge of that box, and the radius."""
    return box(points, sizes) - sizes[3]


def capsule(points: Cloud, sizes: Sizes) -> Distances:
    """All within a radius of a segment. Sizes: the radius, and half the segment."""
    return _length(_from_segment(points, 2, sizes[1])) - sizes[0]


def cylinder(points: Cloud, sizes: Sizes) -> Distances:
    """The product of a disc and a segment. Sizes: the radius, and half the height."""
    return _product(jnp.abs(_around_axis(points)) - sizes[None])


def cone(points: Cloud, sizes: Sizes) -> Distances:
    """A cone without its tip: a trapezium turned about its axis. Sizes: radius below, radius above, half the height."""
    below, above, half = sizes
    corners = jnp.stack([-below, -half, below, -half, above, half, -above, half]).reshape(4, 2)
    return _convex_polygon(_around_axis(points), corners)


def torus(points: Cloud, sizes: Sizes) -> Distances:
    """All within a radius of a circle. Sizes: the circle's radius, and that of the tube."""
    around = _around_axis(points)
    return _length(around.at[:, 0].add(-sizes[0])) - sizes[1]


def link(points: Cloud, sizes: Sizes) -> Distances:
    """All within a radius of two half circles joined by straight lines. Sizes: the circle's radius, that of the tube,
    and half the lines."""
    return torus(_from_segment(points, 0, sizes[2]), sizes[:2])


def octahedron(points: Cloud, sizes: Sizes) -> Distances:
    """|x| + |y| + |z| at most a bound. Sizes: the bound.

    The nearest point of it subtracts one number from each coordinate, down to 0; the sorted coordinates give the number
    (Duchi et al., "Efficient Projections onto the l1-Ball", ICML 2008, figure 1).
    """
    folded = -jnp.sort(-jnp.abs(points), axis=-1)
    excess = jnp.cumsum(folded, axis=-1) - sizes[0]
    number = _largest(excess / jnp.arange(1.0, 4.0)[None])[:, None]
    outside = _length(jnp.minimum(number, folded))
    return jnp.where(excess[:, 2] < 0, excess[:, 2] * 3**-0.5, outside)


def hexagonal_prism(points: Cloud, sizes: Sizes) -> Distances:
    """The product of a regular hexagon and a segment. Sizes: the hexagon's edge, and half the height."""
    turns = np.arange(6, dtype=np.float32) * np.float32(np.pi / 3)
    hexagon = _convex_polygon(points[:, :2], sizes[0] * np.stack([np.cos(turns), np.sin(turns)], axis=-1))
    return _product(jnp.stack([hexagon, jnp.abs(points[:, 2]) - sizes[1]], axis=-1))


def _length(vectors: Float[Array, "*more axes"]) -> Float[Array, "*more"]:
    # The bound keeps the derivative finite where a vector vanishes.
    return jnp.sqrt(jnp.maximum(jnp.sum(jnp.square(vectors), axis=-1), 1e-20))


def _largest(columns: Float[Array, "points columns"]) -> Distances:
    # Pair by pair: the derivative of jnp.max asks which entry equals it, and divides by none where a program that
    # rounds the entries anew finds no such.
    return functools.reduce(jnp.maximum, jnp.moveaxis(columns, -1, 0))


def _product(distances: Float[Array, "points figures"]) -> Distances:
    """The distance to a product of figures, from that to each."""
    return _length(jnp.maximum(distances, 0.0)) + jnp.minimum(_largest(distances), 0.0)


def _around_axis(points: Cloud) -> Float[Array, "points 2"]:
    """The distance to the z axis, and z: what a solid of revolution depends on."""
    return jnp.stack([_length(points[:, :2]), points[:, 2]], axis=-1)


def _from_segment(points: Cloud, axis: int, half: Float[Array, ""]) -> Cloud:
    """Points relative to the nearest point of a segment along an axis."""
    return points.at[:, axis].add(-jnp.clip(points[:, axis], -half, half))


def _convex_polygon(points: Float[Array, "points 2"], corners: Float[Array, "corners 2"]) -> Distances:
    """The distance to a convex polygon, its corners counter-clockwise."""
    edges = jnp.roll(corners, -1, axis=0) - corners
    from_corner = points[:, None] - corners[None]
    fraction = jnp.sum(from_corner * edges[None], axis=-1) / jnp.sum(jnp.square(edges), axis=-1)[None]
    to_edge = _length(from_corner - jnp.clip(fraction, 0.0, 1.0)[..., None] * edges[None])
    normals = jnp.stack([edges[:, 1], -edges[:, 0]], axis=-1) / _length(edges)[:, None]
    beyond = _largest(jnp.sum(from_corner * normals[None], axis=-1))
    return jnp.where(beyond < 0, beyond, -_largest(-to_edge))


SOLIDS: dict[str, Solid] = {
    "ball": Solid(ball, lambda s: s[0], (1.0,), (1.0,)),
    "box": Solid(box, _length, (0.4, 0.4, 0.4), (1.0, 1.0, 1.0)),
    "rounded box": Solid(rounded_box, lambda s: _length(s[:3]) + s[3], (0.3, 0.3, 0.3, 0.3), (0.8, 0.8, 0.8, 0.5)),
    "capsule": Solid(capsule, lambda s: s[0] + s[1], (1.0, 0.6), (1.0, 2.0)),
    "cylinder": Solid(cylinder, _length, (1.0, 0.4), (1.0, 2.0)),
    "cone": Solid(cone, lambda s: jnp.hypot(jnp.maximum(s[0], s[1]), s[2]), (1.0, 0.05, 0.6), (1.0, 0.5, 1.5)),
    "torus": Solid(torus, jnp.sum, (1.0, 0.3), (1.0, 0.6)),
    "link": Solid(link, jnp.sum, (1.0, 0.35, 0.4), (1.0, 0.55, 0.8)),
    "octahedron": Solid(octahedron, lambda s: s[0], (1.0,), (1.0,)),
    "hexagonal prism": Solid(hexagonal_prism, _length, (1.0, 0.4), (1.0, 2.0)),
}
"""Every kind of solid by name, in the order of the labels."""
