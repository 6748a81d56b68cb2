"""An embedded family of solids in space, as their exact signed distances or as occupancies: no download, no file."""

import functools
from collections.abc import Callable
from typing import Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, ArrayLike, Float, Int

from wsjax.augment.inputs import rotation_about
from wsjax.data.sources.distances import SOLIDS, Cloud, Distances, Sizes
from wsjax.data.sources.images import OF_TEN
from wsjax.data.sources.signals import Signals
from wsjax.errors import as_python, check_choice, check_number, check_seed, check_sizes
from wsjax.typing import Key

Quantity: TypeAlias = Literal["signed distance", "occupancy"]
RANGES: dict[str, tuple[float, float]] = {"signed distance": (-1.0, 2.0), "occupancy": (0.0, 1.0)}
"""What values run over: with its middle so near the origin, no solid is as far as 2 from any point of the cube."""

RADIUS, SHIFT = (0.55, 0.8), 0.15
"""Between which the distance to a solid's farthest point is drawn, and how far the solid moves along each axis."""

CANDIDATES, SPREAD, BATCH = 8, 0.05, 16
"""Points drawn for each kept near the surface; their deviation from it; solids that one program samples."""


def solids(count: int = 2000, *, points: int = 4096, quantity: Quantity = "signed distance", seed: int = 0) -> Signals:
    """Solids of ten classes in every pose and many proportions, each known at points of its own.

    Solid number i is of class i modulo 10, and depends on i and the seed alone. Its proportions are uniform, its
    orientation is uniform on SO(3), the distance from its middle to its farthest point is uniform on [0.55, 0.8], and
    the middle is uniform within 0.15 of the origin along each axis.

    Half of its points are uniform in the cube [-1, 1]^3. The others are spread evenly over the surface: of eight times
    as many uniform points those nearest to it, each moved onto it along the distance's gradient, then off it by a
    Gaussian of deviation 0.05 along each axis, and clipped to the cube.

    Of every ten solids of a class in a row eight are for training, one for validation, one for the test.

    Args:
        count: solids.
        points: of each solid.
        quantity: `"signed distance"`, negative inside, on (-1, 2); or `"occupancy"`, 1 inside and 0 outside.
        seed: which solids.

    Raises:
        ValueError: an unknown quantity, or no solids or points.

    Source: the two kinds of points are those of DeepSDF (arXiv 1901.05103, section 3), half and half here.

    Example:
        >>> few = solids(2, points=64)
        >>> few.points.shape, few.values.shape, few.classes[few.label[1]]
        ((2, 64, 3), (2, 64, 1), 'box')
    """
    check_choice("quantity", quantity, tuple(RANGES))
    check_sizes(count=count, points=points)
    check_seed("seed", seed)
    number = np.arange(count, dtype=np.int32)
    label = number % len(SOLIDS)
    where, distance = np.empty((count, points, 3), np.float32), np.empty((count, points), np.float32)
    for i, name in enumerate(SOLIDS):
        rows = np.flatnonzero(label == i)
        for start in range(0, len(rows), BATCH):
            some = rows[start : start + BATCH]
            # Padded, so that one program serves all and a solid's bits do not depend on its neighbors.
            padded = number[some[np.arange(BATCH) % len(some)]]
            found = _known(name, _draws(seed, padded, points))
            where[some], distance[some] = (np.asarray(array)[: len(some)] for array in found)
    values = distance if quantity == "signed distance" else (distance < 0).astype(np.float32)
    split = np.array(OF_TEN, np.int8)[number // len(SOLIDS) % len(OF_TEN)]
    options = as_python({"count": count, "points": points, "quantity": quantity, "seed": seed})
    arrays = (where, values[..., None], label, split, number)
    return Signals("solids", *arrays, tuple(SOLIDS), quantity, RANGES[quantity], options=options)


def solid(number: int, *, seed: int = 0) -> Partial:
    """The exact signed distance of one solid of `solids`, at any points: (points, 3) to (points,), negative inside.

    Args:
        number: which solid, of class `number` modulo 10.
        seed: which solids.

    Raises:
        ValueError: a number or seed that is negative, no integer, or too large.

    Example:
        >>> torus = solid(16)
        >>> jax.jit(torus)(jnp.zeros((5, 3))).shape
        (5,)
    """
    check_number("number", number, low=0, high=2**31 - 1, integer=True)
    check_seed("seed", seed)
    return posed(tuple(SOLIDS)[number % len(SOLIDS)], _drawn(seed, number))


class Pose(NamedTuple):
    """What is drawn of a solid, whatever its kind: sizes on [0, 1], as many as there may be; the distance to its
    farthest point; a quaternion of any length; its middle."""

    fraction: Float[Array, "4"]
    radius: Float[Array, ""]
    quaternion: Float[Array, "4"]
    middle: Float[Array, "3"]


def key_of(seed: int | Int[Array, ""], number: int | Int[Array, ""]) -> Key:
    """What all draws of one solid derive from."""
    return jax.random.fold_in(jax.random.key(seed), number)


@jax.jit
def _drawn(seed: int | Int[Array, ""], number: int | Int[Array, ""]) -> Pose:
    return draw_pose(key_of(seed, number))


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
    """Distances in the solid's own frame: a motion keeps every length."""
    return distance(jnp.matmul(points - middle[None], turn, precision="highest"), sizes)


class Draws(NamedTuple):
    """What is drawn of one solid and its points, whatever its class, so that one program draws for all classes."""

    pose: Pose
    anywhere: Float[Array, "uniform 3"]
    candidates: Float[Array, "candidates 3"]
    off: Float[Array, "near 3"]


@functools.partial(jax.jit, static_argnums=2)
def _draws(seed: int | Int[Array, ""], numbers: Int[ArrayLike, " solids"], points: int) -> Draws:
    near = points // 2

    def one(number):
        key = key_of(seed, number)
        shape = (points - near + CANDIDATES * near, 3)
        cube = jax.random.uniform(jax.random.fold_in(key, 2), shape, minval=-1.0, maxval=1.0)
        off = SPREAD * jax.random.normal(jax.random.fold_in(key, 3), (near, 3))
        return Draws(draw_pose(key), cube[: points - near], cube[points - near :], off)

    return jax.vmap(one)(jnp.asarray(numbers))


@functools.partial(jax.jit, static_argnums=0)
def _known(name: str, draws: Draws) -> tuple[Float[Array, "solids points 3"], Float[Array, "solids points"]]:
    def one(draw: Draws):
        distance = posed(name, draw.pose)
        # The nearest of many fill a thin shell evenly, and so its middle once they are moved onto it.
        nearest = jax.lax.top_k(-jnp.abs(distance(draw.candidates)), len(draw.off))[1]
        candidates = draw.candidates[nearest]
        gradient = jax.grad(lambda points: distance(points).sum())(candidates)
        surface = candidates - distance(candidates)[:, None] * gradient
        where = jnp.concatenate([draw.anywhere, jnp.clip(surface + draw.off, -1.0, 1.0)])
        return where, distance(where)

    return jax.vmap(one)(draws)
