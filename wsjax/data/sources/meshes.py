"""Meshes of a directory, one folder a class as ModelNet has them, as distances from their surface or as occupancies."""

import functools
import io
import re
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from wsjax.data.optional import require
from wsjax.data.pool import in_turn, workers_of
from wsjax.data.sources.images import SPLIT_SEED, SPLITS
from wsjax.data.sources.signals import Signals
from wsjax.data.sources.triangles import surface_points, triangle_distance, winding_number
from wsjax.errors import DataError, as_python, check_choice, check_seed, check_sizes
from wsjax.progress import progress_of

Quantity: TypeAlias = Literal["signed distance", "distance", "occupancy"]
RANGES: dict[str, tuple[float, float]] = {
    "signed distance": (-1.0, 2.7),
    "distance": (0.0, 2.7),
    "occupancy": (0.0, 1.0),
}
"""What values run over. A mesh touches all six sides of its box, so no point of the cube is 2.7 away from it."""

HALF, SPREAD = 0.9, 0.05
"""Half of the longest side of a mesh's box; how far points near the surface lie off it."""

FEWEST, FEW = 256, 10
"""Triangles to which a mesh is filled up at least, so that few programs are compiled; meshes that need no bar."""

VALIDATION = 10
"""One in so many of a class's meshes for training is for validation."""

# The counts follow on a line of their own or, as often in ModelNet, right behind the word OFF.
HEADER = re.compile(rb"\s*C?OFF\s*(\d+)\s+(\d+)\b")
WAY_OUT = "put a whole copy in its place, or leave the file out"


def meshes(
    directory: str | Path, *, points: int = 4096, quantity: Quantity = "signed distance", seed: int = 0
) -> Signals:
    """The meshes of a directory, each known at points of its own.

    Files are ROOT/CLASS/train/*.off and ROOT/CLASS/test/*.off, as ModelNet has them, or ROOT/CLASS/*.off, all for
    training. A mesh's number is its place in the order of classes, then of parts (none, test, train), then of names.
    One in ten of a class's meshes for training is for validation.

    Each mesh is moved and scaled alone: the middle of its box to the origin, the longest half side of the box to 0.9;
    its axes stay. Half of its points are uniform in the cube [-1, 1]^3. The others are uniform on the surface, then
    moved off it by a Gaussian of deviation 0.05 along each axis, and clipped to the cube.

    Inside is where the triangles wind about a point by more than half a turn either way, which allows for holes and for
    meshes that are inside out as a whole. Where triangles are turned at random, or each lies there twice, once each way
    (there are such meshes in ModelNet), no inside can be computed: `"distance"` needs none.

    Args:
        directory: ROOT.
        points: of each mesh.
        quantity: `"signed distance"`, negative inside, on (-1, 2.7); `"distance"`, without the sign; or `"occupancy"`,
            1 inside and 0 outside.
        seed: of the points.

    Raises:
        ValueError: an unknown quantity, or no points.
        DataError: no meshes there, or a file that is damaged or without area, naming it.
        ImportError: trimesh, which reads the files, is not installed.

    Source: Wu et al., "3D ShapeNets" (arXiv 1406.5670), for ModelNet; Jacobson et al. 2013 for the inside.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp()) / "pyramid"
        >>> folder.mkdir()
        >>> _ = (folder / "one.off").write_text(
        ...     "OFF4 4 0\\n0 0 0\\n1 0 0\\n0 1 0\\n0 0 1\\n3 0 2 1\\n3 0 1 3\\n3 0 3 2\\n3 1 2 3\\n")
        >>> one = meshes(folder.parent, points=64)
        >>> one.classes, one.values.shape, float(one.values.min()) < 0
        (('pyramid',), (1, 64, 1), True)
    """
    check_choice("quantity", quantity, tuple(RANGES))
    check_sizes(points=points)
    check_seed("seed", seed)
    found, classes = mesh_files(Path(directory))
    keys = jax.random.key(seed)

    def known(number: int, *_) -> tuple[np.ndarray, np.ndarray]:
        triangles = _filled(_normalized(found[number].path))
        key = jax.random.fold_in(keys, number)
        return jax.tree.map(np.asarray, _known(key, triangles, points, quantity))

    made = in_turn(known, range(len(found)), [None], workers_of())
    bar = progress_of(made, total=len(found), unit="meshes", desc="measure meshes", disable=len(found) < FEW)
    where, values = (np.stack(arrays) for arrays in zip(*bar, strict=True))
    label = np.array([file.label for file in found], np.int32)
    arrays = (where, values, label, mesh_splits(found), np.arange(len(found), dtype=np.int32))
    options = as_python({"points": points, "quantity": quantity, "seed": seed})
    return Signals("meshes", *arrays, classes, quantity, RANGES[quantity], options=options)


class MeshFile(NamedTuple):
    """A mesh's file, its class's number, and whether it is for the test."""

    path: Path
    label: int
    test: bool


def mesh_files(directory: Path) -> tuple[list[MeshFile], tuple[str, ...]]:
    """The OFF files of ROOT/CLASS, ROOT/CLASS/test and ROOT/CLASS/train, in order, and the classes' names."""
    if not directory.is_dir():
        raise DataError(f"{directory} is no directory; expected one with a folder of OFF files for each class")
    found, classes = [], []
    for folder in sorted(path for path in directory.iterdir() if path.is_dir()):
        parts = ((folder, False), (folder / "test", True), (folder / "train", False))
        own = [MeshFile(path, len(classes), test) for place, test in parts for path in _off_files(place)]
        found += own
        classes += [folder.name] * bool(own)
    if not found:
        raise DataError(
            f"{directory} holds no meshes; expected CLASS/train/*.off and CLASS/test/*.off, or CLASS/*.off: name the "
            f"directory that holds the classes' folders"
        )
    return found, tuple(classes)


def _off_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*") if path.suffix.lower() == ".off" and not path.name.startswith("."))


def mesh_splits(found: list[MeshFile]) -> Int[np.ndarray, " files"]:
    """Each file's split, an index into `SPLITS`: a fraction of each class's files for training is for validation."""
    split = np.array([SPLITS.index("test" if file.test else "train") for file in found], np.int8)
    label = np.array([file.label for file in found])
    for value in np.unique(label):
        own = np.flatnonzero((label == value) & (split == SPLITS.index("train")))
        chosen = np.random.default_rng(SPLIT_SEED).permutation(own)[: len(own) // VALIDATION]
        split[chosen] = SPLITS.index("validation")
    return split


def read_off(path: Path) -> Float[np.ndarray, "triangles 3 3"]:
    """The triangles of an OFF file in float64; trimesh reads the text and cuts faces of more corners into triangles.

    Nothing is merged, mended or left out. Raises DataError, naming the file and what is wrong in it.
    """
    off = require("trimesh.exchange.off", str(path))
    try:
        text = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}; {WAY_OUT}") from None
    header = HEADER.match(re.sub(rb"#[^\n]*", b"", text))
    if header is None:
        raise DataError(f"{path} begins with {text[:20]!r}; expected OFF and two counts: {WAY_OUT}")
    try:
        found = off.load_off(io.BytesIO(text))
    except (ValueError, IndexError, TypeError, OverflowError) as error:
        raise DataError(f"{path} is no whole OFF file ({error}); {WAY_OUT}") from None
    vertices, faces = np.asarray(found["vertices"], np.float64), np.asarray(found["faces"])
    stated = max(int(header[2]), 1)
    if len(faces) < stated:
        raise DataError(f"{path} holds {len(faces)} triangles; expected {stated} or more: {WAY_OUT}")
    if faces.min() < 0 or faces.max() >= len(vertices):
        wrong = faces.min() if faces.min() < 0 else faces.max()
        raise DataError(f"{path} has a face at vertex {wrong}; expected 0 to {len(vertices) - 1}: {WAY_OUT}")
    triangles = vertices[faces]
    if not np.isfinite(triangles).all():
        raise DataError(f"{path} has vertices that are not finite; expected finite numbers: {WAY_OUT}")
    return triangles


def _normalized(path: Path) -> Float[np.ndarray, "triangles 3 3"]:
    triangles = read_off(path)
    low, high = triangles.min((0, 1)), triangles.max((0, 1))
    # Halved first, as the sum and the difference of the largest numbers are none.
    middle, half = low / 2 + high / 2, (high / 2 - low / 2).max()
    scaled = ((triangles - middle) / (half or 1.0) * HALF).astype(np.float32)
    sides = np.diff(scaled, axis=1)
    if not np.cross(sides[:, 0], sides[:, 1]).any():
        raise DataError(f"{path} has no triangle with an area; expected a surface: leave the file out")
    return scaled


def _filled(triangles: Float[np.ndarray, "triangles 3 3"]) -> Float[np.ndarray, "more 3 3"]:
    """Triangles up to the next power of two or one and a half times one, by copies of the first corner: nothing is
    nearer to any point by them, and they cover no angle."""
    size = FEWEST
    while size < len(triangles):
        size = size * 3 // 2 if size & (size - 1) == 0 else size * 4 // 3
    return np.concatenate([triangles, np.broadcast_to(triangles[0, 0], (size - len(triangles), 3, 3))])


@functools.partial(jax.jit, static_argnums=(2, 3))
def _known(
    key: Array, triangles: Float[Array, "triangles 3 3"], points: int, quantity: Quantity
) -> tuple[Float[Array, "points 3"], Float[Array, "points 1"]]:
    keys = jax.random.split(key, 3)
    near = surface_points(keys[0], triangles, points // 2)
    off = SPREAD * jax.random.normal(keys[1], near.shape)
    anywhere = jax.random.uniform(keys[2], (points - points // 2, 3), minval=-1.0, maxval=1.0)
    where = jnp.concatenate([anywhere, jnp.clip(near + off, -1.0, 1.0)])
    if quantity == "distance":
        return where, triangle_distance(where, triangles)[:, None]
    inside = jnp.abs(winding_number(where, triangles)) > 0.5
    if quantity == "occupancy":
        return where, inside.astype(where.dtype)[:, None]
    return where, (jnp.where(inside, -1, 1) * triangle_distance(where, triangles))[:, None]
