"""Meshes: distances and windings of triangles, the files they come from, and the signals they make."""

import sys
from pathlib import Path

import jax
import numpy as np
import pytest
import trimesh

from wsjax.data.sources import SPLITS, meshes
from wsjax.data.sources.distances import box, torus
from wsjax.data.sources.meshes import _filled, read_off
from wsjax.data.sources.signals import check_signals
from wsjax.data.sources.triangles import surface_points, triangle_distance, winding_number
from wsjax.errors import DataError

POINTS = np.random.default_rng(0).uniform(-1, 1, (512, 3)).astype(np.float32)
distance_to, windings = jax.jit(triangle_distance), jax.jit(winding_number)


def filled(triangles: np.ndarray) -> np.ndarray:
    """As many triangles as share one compiled program."""
    return np.asarray(_filled(np.asarray(triangles, np.float32)))


CLOSED = {
    "box": trimesh.creation.box((1.0, 1.2, 0.6)),
    "ball": trimesh.creation.icosphere(subdivisions=1, radius=0.7),
    "torus": trimesh.creation.torus(0.6, 0.25, major_sections=16, minor_sections=8),
    "tube": trimesh.creation.annulus(0.3, 0.7, 0.5, sections=16),
}


@pytest.fixture(scope="module", params=CLOSED)
def closed(request):
    return CLOSED[request.param]


def met_upwards(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """How many triangles the upward ray from each point meets: an odd number of them from inside."""
    a, b, c = np.moveaxis(triangles, 1, 0)
    cross = lambda u, v: u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0]
    whole = cross(b - a, c - a)
    from_a = points[:, None] - a[None]
    with np.errstate(divide="ignore", invalid="ignore"):  # upright triangles are met by no ray
        s, t = cross(from_a, (c - a)[None]) / whole, cross((b - a)[None], from_a) / whole
        height = a[:, 2] + s * (b - a)[:, 2] + t * (c - a)[:, 2]
        return ((s >= 0) & (t >= 0) & (s + t <= 1) & (height > points[:, 2:])).sum(axis=1)


def formula(kind, points: np.ndarray, *sizes: float) -> np.ndarray:
    return np.asarray(jax.jit(kind)(points, np.array(sizes, np.float32)))


def test_distances_are_trimeshs(closed):
    _, expected, _ = trimesh.proximity.closest_point_naive(closed, POINTS.astype(np.float64))
    np.testing.assert_allclose(distance_to(POINTS, filled(closed.triangles)), expected, atol=1e-6)


def test_a_closed_surface_winds_once_about_what_is_inside(closed):
    inside = met_upwards(POINTS.astype(np.float64), closed.triangles) % 2
    assert 10 < inside.sum() < 500
    np.testing.assert_allclose(windings(POINTS, filled(closed.triangles)), inside, atol=1e-3)
    np.testing.assert_allclose(windings(POINTS, filled(closed.triangles)[:, ::-1]), -inside, atol=1e-3)


def test_an_open_box_lacks_the_angle_of_its_lid():
    whole, cube = CLOSED["box"], trimesh.creation.box((1, 1, 1))
    sides = filled(cube.triangles[cube.face_normals[:, 2] < 0.9])
    np.testing.assert_allclose(windings(np.zeros_like(POINTS), sides), 5 / 6, atol=1e-6)
    # Far from the hole the winding still tells inside from outside.
    open_box = filled(whole.triangles[whole.face_normals[:, 2] < 0.9])
    deep = (formula(box, POINTS, 0.5, 0.6, 0.3) < 0) & (POINTS[:, 2] < 0)
    found = np.asarray(windings(POINTS, open_box))
    assert deep.sum() > 10
    assert found[deep].min() > 0.5 > found[POINTS[:, 2] < -0.4].max()


def test_corners_edges_and_triangles_without_area():
    flat = np.zeros((4, 3, 3), np.float32)
    flat[0] = [[0, 0, 0], [1, 0, 0], [0, 1, 0]]
    flat[1, 1] = [1, 0, 0]  # a segment
    flat[2] = flat[0, ::-1]  # the same once more, the other way round
    places = np.array([[0.2, 0.2, 0], [0.5, 0, 0], [0, 0, 0], [2, 0, 0], [0.25, 0.25, -0.5]], np.float32)
    np.testing.assert_allclose(distance_to(places, flat), [0, 0, 0, 1, 0.5], atol=1e-7)
    found = np.asarray(windings(places, flat))
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found[-1], 0, atol=1e-7)


def test_a_sliver_is_as_far_as_its_edges():
    rng = np.random.default_rng(1)
    ends, fraction = rng.uniform(-1, 1, (64, 2, 3)), rng.uniform(0, 1, (64, 1))
    width = 10.0 ** rng.uniform(-8, -5, (64, 1))
    third = ends[:, 0] * fraction + ends[:, 1] * (1 - fraction) + rng.normal(size=(64, 3)) * width
    slivers = np.concatenate([ends, third[:, None]], axis=1).astype(np.float32)
    found = jax.jit(jax.vmap(lambda one: triangle_distance(POINTS, one[None])))(slivers)
    edge = ends[:, 1] - ends[:, 0]
    along = np.einsum("pte,te->pt", POINTS[:, None] - ends[None, :, 0], edge) / np.square(edge).sum(axis=1)
    foot = ends[None, :, 0] + np.clip(along, 0, 1)[..., None] * edge[None]
    np.testing.assert_allclose(np.asarray(found).T, np.linalg.norm(POINTS[:, None] - foot, axis=-1), atol=5e-5)


def test_surface_points_lie_on_the_surface_in_proportion_to_area():
    whole = CLOSED["box"]
    found = np.asarray(jax.jit(surface_points, static_argnums=2)(jax.random.key(0), filled(whole.triangles), 4000))
    np.testing.assert_allclose(formula(box, found, 0.5, 0.6, 0.3), 0, atol=1e-6)
    areas = np.array([1.2 * 0.6, 1.0 * 0.6, 1.0 * 1.2]) * 2
    side = np.argmin(np.abs(np.abs(found) - np.array([0.5, 0.6, 0.3])), axis=1)
    np.testing.assert_allclose(np.bincount(side) / 4000, areas / areas.sum(), atol=0.03)
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=0.03)
    # On the two sides across x, y and z are uniform: their squares have a third of the largest as mean.
    np.testing.assert_allclose(np.square(found[side == 0, 1:]).mean(axis=0), [0.36 / 3, 0.09 / 3], rtol=0.1)


def off(vertices: np.ndarray, faces, head: str = "OFF\n{} {} 0") -> str:
    lines = [head.format(len(vertices), len(faces)), *(" ".join(map(str, v)) for v in vertices)]
    return "\n".join([*lines, *(" ".join(map(str, [len(face), *face])) for face in faces)]) + "\n"


CORNERS = np.array([[x, y, z] for x in (0, 1) for y in (0, 2) for z in (0, 4)]) + 7.5
SIDES = [[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]]
HALVES = [[a, b, c] for a, b, c, d in SIDES for b, c in ((b, c), (c, d))]
BOX = off(CORNERS, HALVES)


@pytest.mark.parametrize("head", ["OFF\n{} {} 0", "OFF{} {} 0", "# a box\nOFF # here\n\n{} {} 0", "OFF {} {} 18"])
@pytest.mark.parametrize("faces", [HALVES, SIDES, [*SIDES[:3], *HALVES[6:]]])
def test_every_way_to_write_a_box(tmp_path, head, faces):
    (tmp_path / "box.off").write_text(off(CORNERS, faces, head))
    found = read_off(tmp_path / "box.off")
    assert found.shape == (12, 3, 3)
    np.testing.assert_allclose(trimesh.Trimesh(**trimesh.triangles.to_kwargs(found)).volume, 8)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "begins with b''; expected OFF and two counts"),
        ("solid\nfacet normal 0 0 1\n", r"begins with b'solid.*expected OFF and two counts"),
        ("OFF\n", "expected OFF and two counts"),
        ("OFF\n-8 12 0\n", "expected OFF and two counts"),
        (BOX[:60], "is no whole OFF file"),
        ("\n".join(BOX.splitlines()[:-1]), "holds 11 triangles; expected 12 or more"),
        (BOX.replace("8 12 0", "999999999999 12 0"), "is no whole OFF file"),
        (BOX.replace("8 12 0", "8 0 0"), "holds 0 triangles; expected 1 or more"),
        (BOX.replace("3 0 1 3", "3 0 1 8"), "is no whole OFF file|at vertex 8; expected 0 to 7"),
        (BOX.replace("3 0 1 3", "3 0 1 -1"), "is no whole OFF file|at vertex -1; expected 0 to 7"),
        (BOX.replace("3 0 1 3", "3 0 1 x"), "is no whole OFF file"),
        (BOX.replace("7.5 7.5 7.5", "7.5 7.5 word"), "is no whole OFF file"),
        (BOX.replace("7.5 7.5 7.5", "7.5 7.5 nan"), "has vertices that are not finite"),
        (BOX.replace("7.5 7.5 7.5", "7.5 7.5 1e999"), "has vertices that are not finite"),
        (off(CORNERS, [[0, 1, 1], [3, 3, 3]]), "has no triangle with an area"),
        (off(CORNERS * 0, HALVES), "has no triangle with an area"),
        ("OFF\n3 1 0\n\x00\x01\x02\n", "is no whole OFF file"),
    ],
)
def test_a_file_that_is_none_is_named(tmp_path, text, message):
    (tmp_path / "box").mkdir()
    file = tmp_path / "box" / "one.off"
    file.write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        meshes(tmp_path, points=16)
    assert str(file) in str(caught.value)
    assert "leave the file out" in str(caught.value)


def test_the_largest_numbers_are_scaled_too_and_without_trimesh_the_extra_is_named(tmp_path, monkeypatch):
    (tmp_path / "box").mkdir()
    for name, size in (("large", 1e308), ("small", 1e-300)):
        (tmp_path / "box" / f"{name}.off").write_text(off((CORNERS - 8) * [size, size, size / 4], HALVES))
    found = check_signals(meshes(tmp_path, points=512))
    assert np.isfinite(found.values).all()
    monkeypatch.setitem(sys.modules, "trimesh.exchange.off", None)
    with pytest.raises(ImportError, match=r"pip install 'wsjax\[formats\]'"):
        meshes(tmp_path, points=16)


@pytest.fixture(scope="module")
def modelnet(tmp_path_factory) -> Path:
    """Two classes as ModelNet has them, 20 and 9 for training, 2 for the test; an open box; and what is no class."""
    root = tmp_path_factory.mktemp("modelnet")
    shapes = {"box": BOX, "torus": trimesh.creation.torus(1.0, 0.4, 16, 8).export(file_type="off")}
    for name, count in (("torus", 9), ("box", 20)):
        for part, some in (("train", count), ("test", 2)):
            (root / name / part).mkdir(parents=True)
            for i in range(some):
                (root / name / part / f"{name}_{i:04d}.off").write_text(shapes[name])
    (root / "flat").mkdir()
    (root / "flat" / "one.OFF").write_text(off(CORNERS, SIDES[1:]))
    (root / "flat" / ".hidden.off").write_text("")
    (root / "nothing").mkdir()
    (root / "README.txt").write_text("ModelNet")
    return root


@pytest.fixture(scope="module")
def signals(modelnet):
    return check_signals(meshes(modelnet, points=512))


def test_classes_splits_and_numbers_follow_the_folders(signals):
    assert signals.classes == ("box", "flat", "torus")
    assert np.bincount(signals.label).tolist() == [22, 1, 11]
    for label, counts in enumerate(([18, 2, 2], [1, 0, 0], [9, 0, 2])):
        assert np.bincount(signals.split[signals.label == label], minlength=3).tolist() == counts
    assert (signals.split[:2] == SPLITS.index("test")).all()
    assert signals.index.tolist() == list(range(34))
    assert signals.options == {"points": 512, "quantity": "signed distance", "seed": 0}


def test_a_mesh_fills_the_cube_and_has_its_exact_distances(signals):
    for row in (0, 5, 21):
        expected = formula(box, signals.points[row], 0.225, 0.45, 0.9)
        np.testing.assert_allclose(signals.values[row, :, 0], expected, atol=1e-6)
    # A torus of flat faces is near the round one.
    rounded = formula(torus, signals.points[-1], 0.9 / 1.4, 0.9 * 0.4 / 1.4)
    np.testing.assert_allclose(signals.values[-1, :, 0], rounded, atol=0.04)


def test_inside_of_an_open_box_is_where_it_winds_by_more_than_half(modelnet, signals):
    corners = read_off(modelnet / "flat" / "one.OFF")
    middle = (corners.min((0, 1)) + corners.max((0, 1))) / 2
    points, values = signals.points[22], signals.values[22, :, 0]
    turns = np.asarray(windings(points, filled((corners - middle) * 0.9 / 2)))
    assert ((turns > 0.2) & (turns < 0.45)).any()
    sure = np.abs(turns - 0.5) > 1e-3
    np.testing.assert_array_equal((values < 0)[sure], (turns > 0.5)[sure])


def test_half_of_the_points_lie_near_the_surface_and_each_mesh_has_its_own(signals):
    assert np.abs(signals.values[:, 256:]).mean() < 0.05
    assert np.abs(signals.values[:, :256]).mean() > 0.2
    assert (signals.points[0] != signals.points[1]).mean() > 0.99
    np.testing.assert_array_equal(np.abs(signals.points).max(), 1)


def test_other_quantities_are_of_the_same_points(modelnet, signals):
    away = check_signals(meshes(modelnet, points=512, quantity="distance"))
    held = check_signals(meshes(modelnet, points=512, quantity="occupancy"))
    np.testing.assert_array_equal(away.points, signals.points)
    np.testing.assert_allclose(away.values, np.abs(signals.values), atol=1e-6)
    np.testing.assert_array_equal(held.values, signals.values < 0)


def test_a_directory_without_meshes_says_what_is_expected(tmp_path, untyped):
    for directory, settings, message in (
        (tmp_path, {}, r"holds no meshes; expected CLASS/train/\*.off and CLASS/test/\*.off"),
        (tmp_path / "none", {}, "is no directory; expected one with a folder of OFF files for each class"),
        (tmp_path, {"quantity": "sdf"}, "unknown quantity 'sdf'; the valid ones are: signed distance, distance"),
    ):
        with pytest.raises(ValueError, match=message):
            meshes(directory, **settings)  # pyright: ignore[reportArgumentType]
