"""Solids: every distance is the distance, in every pose, and the set is what it says it is."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial import KDTree

from wsjax.data import fit
from wsjax.data.sources import SOURCES, SPLITS, solid, solids
from wsjax.data.sources.distances import SOLIDS
from wsjax.data.sources.signals import check_signals
from wsjax.data.sources.solids import RANGES, SHIFT, SPREAD, draw_pose, key_of, posed

NAMES = tuple(SOLIDS)
POINTS = np.random.default_rng(0).uniform(-1, 1, (1500, 3)).astype(np.float32)
LATTICE = np.stack(np.meshgrid(*[np.linspace(-1, 1, 65)] * 3), axis=-1).reshape(-1, 3).astype(np.float32)


def hexagon(p: np.ndarray, edge: float) -> np.ndarray:
    turns = np.arange(3) * np.pi / 3 + np.pi / 6
    return np.abs(p[:, :2] @ np.stack([np.cos(turns), np.sin(turns)])).max(axis=1) <= edge * 3**0.5 / 2


def near_segment(p: np.ndarray, axis: int, half: float) -> np.ndarray:
    return p - np.eye(3)[axis] * np.clip(p[:, axis : axis + 1], -half, half)


def norm(p: np.ndarray) -> np.ndarray:
    return np.linalg.norm(p, axis=1)


def ring(p: np.ndarray, s: np.ndarray) -> np.ndarray:
    return np.hypot(norm(p[:, :2]) - s[0], p[:, 2]) <= s[1]


INSIDE = {
    "ball": lambda p, s: norm(p) <= s[0],
    "box": lambda p, s: (np.abs(p) <= s).all(axis=1),
    "rounded box": lambda p, s: norm(p - np.clip(p, -s[:3], s[:3])) <= s[3],
    "capsule": lambda p, s: norm(near_segment(p, 2, s[1])) <= s[0],
    "cylinder": lambda p, s: (norm(p[:, :2]) <= s[0]) & (np.abs(p[:, 2]) <= s[1]),
    "cone": lambda p, s: (
        (np.abs(p[:, 2]) <= s[2]) & (norm(p[:, :2]) <= s[0] + (s[1] - s[0]) * (p[:, 2] / s[2] + 1) / 2)
    ),
    "torus": ring,
    "link": lambda p, s: ring(near_segment(p, 0, s[2]), s),
    "octahedron": lambda p, s: np.abs(p).sum(axis=1) <= s[0],
    "hexagonal prism": lambda p, s: hexagon(p, s[0]) & (np.abs(p[:, 2]) <= s[1]),
}
"""What each solid is, by its definition, without any distance."""


@pytest.fixture(scope="module")
def measured():
    """Of each kind sizes that reach 0.8, that reach, distances, gradients, where those lead, and distances there."""

    def one(kind, points):
        fraction = np.random.default_rng(1).uniform(size=len(kind.low)).astype(np.float32)
        sizes = jnp.array(kind.low) * (1 - fraction) + jnp.array(kind.high) * fraction
        sizes = 0.8 * sizes / kind.reach(sizes)
        distance, pull = jax.vjp(lambda points: kind.distance(points, sizes), points)
        (gradient,) = pull(jnp.ones_like(distance))
        feet = points - distance[:, None] * gradient
        return sizes, kind.reach(sizes), distance, gradient, feet, kind.distance(feet, sizes)

    found = jax.jit(lambda points: {name: one(kind, points) for name, kind in SOLIDS.items()})(POINTS)
    return jax.tree.map(np.asarray, found)


@pytest.mark.parametrize("name", NAMES)
def test_negative_is_inside(measured, name):
    sizes, _, distance, *_ = measured[name]
    np.testing.assert_array_equal(distance <= 0, INSIDE[name](POINTS, sizes))
    assert 10 < (distance < 0).sum() < 1000


@pytest.mark.parametrize("name", NAMES)
def test_the_distance_is_exact(measured, name):
    """The surface is no farther than |distance|: there the gradient leads; and no nearer: distances differ by no more
    than the points do. So says brute force too, over a lattice that is sorted by the solid's definition alone."""
    sizes, reach, distance, gradient, feet, there = measured[name]
    np.testing.assert_allclose(norm(gradient), 1, atol=1e-4)
    np.testing.assert_allclose(there, 0, atol=2e-6)
    # The reach is the distance to the farthest point.
    assert 0.8 - 0.03 < norm(feet).max() < 0.8 + 1e-5
    np.testing.assert_allclose(reach, 0.8, atol=1e-6)
    apart = np.linalg.norm(POINTS[:, None] - POINTS[None, :300], axis=-1)
    assert (np.abs(distance[:, None] - distance[None, :300]) <= apart + 1e-6).all()
    within = INSIDE[name](LATTICE, sizes)
    to_solid, to_rest = (KDTree(LATTICE[rows]).query(POINTS)[0] for rows in (within, ~within))
    found = np.where(distance > 0, to_solid, to_rest)
    assert (found >= np.abs(distance) - 1e-6).all()
    # The nearest point of a lattice with steps of 1/32 lies at most a cell's diagonal behind the surface.
    assert (found <= np.abs(distance) + 3**0.5 / 32 + 1e-6).all()


@pytest.fixture(scope="module")
def many():
    return check_signals(solids(100, points=65))  # an odd number: one more anywhere than near the surface


CORNERS = np.stack(np.meshgrid(*[[-1.0, 1.0]] * 3), axis=-1).reshape(-1, 3).astype(np.float32)


@pytest.fixture(scope="module")
def poses(many):
    """Of 400 solids of each kind: sizes, rotations, middles, distances of the cube's corners and of a solid's own
    points, and reaches."""

    @jax.jit
    @jax.vmap
    def drawn(number, points):
        pose, found = draw_pose(key_of(0, number)), {}
        for name in NAMES:
            placed = posed(name, pose)
            _, sizes, turn, middle = placed.args
            found[name] = sizes, turn, middle, placed(points), SOLIDS[name].reach(sizes)
        return found

    numbers = np.arange(400, dtype=np.int32)
    points = np.concatenate([np.broadcast_to(CORNERS, (400, 8, 3)), many.points[numbers % 100]], axis=1)
    return jax.tree.map(np.asarray, drawn(numbers, points))


def test_solids_have_the_classes_and_distances_of_their_numbers(many, poses):
    assert many.classes == NAMES
    np.testing.assert_array_equal(many.label, np.arange(100) % 10)
    assert (many.points.shape, many.values.shape, many.quantity) == ((100, 65, 3), (100, 65, 1), "signed distance")
    for number, name in enumerate(NAMES):
        *_, distances, _ = poses[name]
        np.testing.assert_allclose(distances[number, len(CORNERS) :], many.values[number, :, 0], atol=1e-6)


def test_every_split_has_its_part_of_each_class_and_occupancy_is_where_the_distance_is_negative(many):
    held = check_signals(solids(100, points=65, quantity="occupancy"))
    np.testing.assert_array_equal(held.points, many.points)
    np.testing.assert_array_equal(held.values, many.values < 0)
    assert held.value_range == (0.0, 1.0)
    for label in range(10):
        assert np.bincount(many.split[many.label == label], minlength=len(SPLITS)).tolist() == [8, 1, 1]


def test_half_of_the_points_lie_near_the_surface(many):
    anywhere, near = np.abs(many.values[:, :33, 0]), np.abs(many.values[:, 33:, 0])
    # A Gaussian's mean modulus is its deviation times sqrt(2 / pi).
    np.testing.assert_allclose(near.mean(), SPREAD * (2 / np.pi) ** 0.5, rtol=0.1)
    assert anywhere.mean() > 0.3
    np.testing.assert_allclose(many.points[:, :33].reshape(-1, 3).mean(axis=0), 0, atol=4 / (3 * 3200) ** 0.5)


def test_the_points_near_a_ball_are_spread_evenly_over_it(many):
    rows = np.flatnonzero(many.label == 0)
    middles = np.stack([solid(int(row)).args[3] for row in rows])
    ways = many.points[rows, 33:] - middles[:, None]
    ways = (ways / np.linalg.norm(ways, axis=-1, keepdims=True)).reshape(-1, 3)
    np.testing.assert_allclose(ways.mean(axis=0), 0, atol=4 / (3 * len(ways)) ** 0.5)
    np.testing.assert_allclose(ways.T @ ways / len(ways), np.eye(3) / 3, atol=0.1)


def test_a_solid_depends_on_its_number_and_the_seed_alone(many):
    few = solids(13, points=65)
    np.testing.assert_array_equal(few.points, many.points[:13])
    np.testing.assert_array_equal(few.values, many.values[:13])
    other = solids(13, points=65, seed=1)
    assert (other.points != few.points).mean() > 0.99
    assert few.options == {"count": 13, "points": 65, "quantity": "signed distance", "seed": 0}


@pytest.mark.parametrize("name", NAMES)
def test_poses_and_proportions_vary_within_the_cube(name, poses):
    sizes, turn, middle, distances, reach = poses[name]
    # The cube's corners are its farthest points, and no solid comes near one.
    distances = distances[:, : len(CORNERS)]
    assert 0 < distances.min() < distances.max() < RANGES["signed distance"][1]
    np.testing.assert_allclose(turn @ turn.mT, np.broadcast_to(np.eye(3), turn.shape), atol=1e-5)
    np.testing.assert_allclose(np.linalg.det(turn), 1, atol=1e-5)
    # Uniform on SO(3): each entry has mean 0 and variance 1/3.
    np.testing.assert_allclose(turn.mean(axis=0), 0, atol=4 / (3 * 400) ** 0.5)
    np.testing.assert_allclose(turn.var(axis=0), 1 / 3, atol=0.08)
    assert abs(middle).max() <= SHIFT
    kind = SOLIDS[name]
    varied = np.array(kind.low) < np.array(kind.high)
    proportions = sizes / sizes[:, :1]
    assert (proportions.std(axis=0)[1:] > 0.05).all() or not varied.any()
    assert np.std(reach) > 0.05


def test_a_motion_of_space_moves_the_solid_with_it(many):
    ring, turned = solid(6), solid(16)
    distance, sizes, turn, middle = ring.args
    _, _, other_turn, other_middle = turned.args
    moved = type(ring)(ring.func, distance, sizes, other_turn, other_middle)
    there = (POINTS - np.asarray(middle)) @ np.asarray(turn) @ np.asarray(other_turn).T + np.asarray(other_middle)
    both = jax.jit(lambda here, there: (moved(there), ring(here)))
    found, expected = both(np.concatenate([POINTS, many.points[6]]), there)
    np.testing.assert_allclose(found, expected[: len(POINTS)], atol=2e-6)
    np.testing.assert_allclose(expected[len(POINTS) :], many.values[6, :, 0], atol=1e-6)


def test_settings_that_make_no_sense(untyped):
    for settings, message in (
        ({"quantity": "distance"}, "unknown quantity 'distance'; the valid ones are: signed distance, occupancy"),
        ({"count": 0}, r"count is 0; it must be one integer in \[1, inf\)"),
        ({"points": 1.5}, r"points is 1.5; it must be one integer in \[1, inf\)"),
    ):
        with pytest.raises(ValueError, match=message):
            solids(**settings)  # pyright: ignore[reportArgumentType]


@pytest.mark.slow
def test_the_recipe_decodes_to_the_solid():
    recipe = replace(SOURCES["solids"].recipe, slots=4)
    networks = fit(solids(4), recipe=recipe, workers=1, progress=False)
    assert networks.columns["psnr"].min() > 48
    where = np.random.default_rng(1).uniform(-1, 1, (8192, 3)).astype(np.float32)
    decoded = jax.jit(jax.vmap(lambda weights: recipe.network.apply(weights, where)[:, 0]))(networks.weights)
    for number, found in enumerate(np.asarray(decoded)):
        truth = np.asarray(solid(number)(where))
        both, either = (found < 0) & (truth < 0), (found < 0) | (truth < 0)
        assert both.sum() / either.sum() > 0.88, NAMES[number]
        assert np.abs(found - truth).mean() < 0.015
