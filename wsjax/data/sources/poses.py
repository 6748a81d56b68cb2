"""One solid of the embedded family: its proportions and its pose, drawn, and its exact signed distance."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array, ArrayLike, Float, Int

from wsjax.augment.inputs import rotation_about
from wsjax.data.sources.distances import SOLIDS, Cloud, Distances, Sizes
from wsjax.errors import check_number, check_seed
from wsjax.typing import Key

RADIUS, SHIFT = (0.55, 0.8), 0.15
"""Between which the distance to a solid's farthest point is drawn, and how far the solid moves along each axis."""


class Pose(NamedTuple):
    """What is drawn of a solid, whatever its kind: sizes on [0, 1], as many as there may be; the distance to its
    farthest point; a quaternion of any length; its middle."""

    fraction: Float[Array, "4"]
    radius: Float[Array, ""]
    quaternion: Float[Array, "4"]
    middle: Float[Array, "3"]


def solid(number: int, *, seed: int = 0) -> Partial:
    """The exact signed distance of one solid of `solids`, at any points: (points, 3) to (points,), negative inside.

    Args:
        number: which solid, of class `number` modulo 10.
        seed: which solids.

    Raises:
        ValueError: a number or seed that is negative, not whole, or too large.

    Example:
        >>> torus = solid(16)
        >>> jax.jit(torus)(jnp.zeros((5, 3))).shape
        (5,)
    """
    check_number("number", number, low=0, high=2**31 - 1, integer=True)
    check_seed("seed", seed)
    return posed(tuple(SOLIDS)[number % len(SOLIDS)], _drawn(seed, number))


@jax.jit
def _drawn(seed: int | Int[Array, ""], number: int | Int[Array, ""]) -> Pose:
    return draw_pose(key_of(seed, number))


def key_of(seed: int | Int[Array, ""], number: int | Int[Array, ""]) -> Key:
    """What all draws of one solid derive from."""
    return jax.random.fold_in(jax.random.key(seed), number)


def draw_pose(key: Key) -> Pose:
    """A pose at random; the rotation is uniform on SO(3)."""
    chance = jax.random.uniform(jax.random.fold_in(key, 0), (8,))
    radius = RADIUS[0] + (RADIUS[1] - RADIUS[0]) * chance[4]
    quaternion = jax.random.normal(jax.random.fold_in(key, 1), (4,))
    return Pose(chance[:4], radius, quaternion, SHIFT * (2 * chance[5:] - 1))


@functools.partial(jax.jit, static_argnums=0)
def posed(name: str, pose: Pose) -> Partial:
    """The signed distance of a solid of some kind in a pose."""
    kind = SOLIDS[name]
    fraction = pose.fraction[: len(kind.low)]
    sizes = jnp.array(kind.low) * (1 - fraction) + jnp.array(kind.high) * fraction
    # Uniform on its sphere but for its length, the quaternion is (cos(a / 2), sin(a / 2) n): a turn by a about n.
    real, axis = pose.quaternion[0], pose.quaternion[1:]
    turn = rotation_about(axis, 2 * jnp.arctan2(jnp.linalg.norm(axis), real))
    return Partial(_placed, Partial(kind.distance), sizes * pose.radius / kind.reach(sizes), turn, pose.middle)


def _placed(
    distance: Callable[[Cloud, Sizes], Distances],
    sizes: Sizes,
    turn: Float[Array, "3 3"],
    middle: Float[Array, "3"],
    points: Float[ArrayLike, "points 3"],
) -> Distances:
    """Distances are those of the points seen from the solid's own frame: a motion keeps every length."""
    return distance(jnp.matmul(points - middle[None], turn, precision="highest"), sizes)
