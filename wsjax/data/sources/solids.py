"""An embedded family of solids in space, as their exact signed distances or as occupancies: no download, no file."""

import functools
from typing import Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Int

from wsjax.data.recipe import Recipe
from wsjax.data.sources.distances import SOLIDS
from wsjax.data.sources.images import OF_TEN
from wsjax.data.sources.poses import Pose, draw_pose, key_of, posed
from wsjax.data.sources.signals import Signals
from wsjax.errors import as_python, check_choice, check_number, check_seed
from wsjax.networks import Network

Quantity: TypeAlias = Literal["signed distance", "occupancy"]
RANGES: dict[str, tuple[float, float]] = {"signed distance": (-1.0, 2.0), "occupancy": (0.0, 1.0)}
"""What values run over: with its middle so near the origin, no solid is as far as 2 from any point of the cube."""

CANDIDATES, SPREAD, BATCH = 8, 0.05, 16
"""Points drawn for each kept near the surface; their deviation from it; solids that one program samples."""

SOLIDS_RECIPE = Recipe(
    Network("siren", (3, 32, 32, 1), w0=(15.0,), family="nfn"), 1000, learning_rate=1e-2, batch_points=512
)
"""For signed distances; occupancies decode to better solids with w0 at 5, as a step asks for no finer waves."""


def solids(count: int = 2000, *, points: int = 4096, quantity: Quantity = "signed distance", seed: int = 0) -> Signals:
    """Solids of ten classes in every pose and many proportions, each known at points of its own.

    Solid number i is of class i modulo 10, and depends on i and the seed alone: more solids, or another quantity, leave
    it as it is. Its proportions are uniform, its orientation is uniform on SO(3), the distance from its middle to its
    farthest point is uniform on [0.55, 0.8], and the middle is uniform within 0.15 of the origin along each axis.

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
    check_number("count", count, low=1, integer=True)
    check_number("points", points, low=1, integer=True)
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
            found = _known(name, _chances(seed, padded, points))
            where[some], distance[some] = (np.asarray(array)[: len(some)] for array in found)
    values = distance if quantity == "signed distance" else (distance < 0).astype(np.float32)
    split = np.array(OF_TEN, np.int8)[number // len(SOLIDS) % len(OF_TEN)]
    return Signals(
        "solids",
        where,
        values[..., None],
        label,
        split,
        number,
        tuple(SOLIDS),
        quantity,
        RANGES[quantity],
        options=as_python({"count": count, "points": points, "quantity": quantity, "seed": seed}),
    )


class Chance(NamedTuple):
    """What is drawn of one solid and its points, whatever its class, so that one program draws for all classes."""

    pose: Pose
    anywhere: Float[Array, "uniform 3"]
    candidates: Float[Array, "candidates 3"]
    off: Float[Array, "near 3"]


@functools.partial(jax.jit, static_argnums=2)
def _chances(seed: int | Int[Array, ""], numbers: Int[ArrayLike, " solids"], points: int) -> Chance:
    near = points // 2

    def one(number):
        key = key_of(seed, number)
        shape = (points - near + CANDIDATES * near, 3)
        cube = jax.random.uniform(jax.random.fold_in(key, 2), shape, minval=-1.0, maxval=1.0)
        off = SPREAD * jax.random.normal(jax.random.fold_in(key, 3), (near, 3))
        return Chance(draw_pose(key), cube[: points - near], cube[points - near :], off)

    return jax.vmap(one)(jnp.asarray(numbers))


@functools.partial(jax.jit, static_argnums=0)
def _known(name: str, chances: Chance) -> tuple[Float[Array, "solids points 3"], Float[Array, "solids points"]]:
    def one(chance: Chance):
        distance = posed(name, chance.pose)
        # The nearest of many fill a thin shell evenly, and so its middle once they are moved onto it.
        nearest = jax.lax.top_k(-jnp.abs(distance(chance.candidates)), len(chance.off))[1]
        candidates = chance.candidates[nearest]
        slope = jax.grad(lambda points: distance(points).sum())(candidates)
        surface = candidates - distance(candidates)[:, None] * slope
        where = jnp.concatenate([chance.anywhere, jnp.clip(surface + chance.off, -1.0, 1.0)])
        return where, distance(where)

    return jax.vmap(one)(chances)
