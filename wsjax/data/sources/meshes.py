"""Meshes of a directory, one folder a class as ModelNet has them, as distances from their surface or as occupancies."""

import functools
from pathlib import Path
from typing import Literal, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from wsjax.data.pool import default_workers, in_turn
from wsjax.data.recipe import Recipe
from wsjax.data.sources.mesh_files import mesh_files, mesh_splits, read_off
from wsjax.data.sources.signals import Signals
from wsjax.data.sources.triangles import surface_points, triangle_distance, winding_number
from wsjax.errors import DataError, as_python, check_choice, check_number, check_seed
from wsjax.networks import Network
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

MESHES_RECIPE = Recipe(
    Network("siren", (3, 32, 32, 1), w0=(15.0,), family="nfn"), 1000, learning_rate=1e-2, batch_points=512
)
"""As that of the solids."""


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
    check_number("points", points, low=1, integer=True)
    check_seed("seed", seed)
    found, classes = mesh_files(Path(directory))
    keys = jax.random.key(seed)

    def measured(number: int, *_) -> tuple[np.ndarray, np.ndarray]:
        triangles = _filled(_normalized(found[number].path))
        key = jax.random.fold_in(keys, number)
        return jax.tree.map(np.asarray, _known(key, triangles, points, quantity))

    made = in_turn(measured, range(len(found)), [None], default_workers())
    bar = progress_of(made, total=len(found), unit="meshes", desc="measure meshes", disable=len(found) < FEW)
    where, values = (np.stack(arrays) for arrays in zip(*bar, strict=True))
    label = np.array([file.label for file in found], np.int32)
    number = np.arange(len(found), dtype=np.int32)
    options = as_python({"points": points, "quantity": quantity, "seed": seed})
    return Signals(
        "meshes", where, values, label, mesh_splits(found), number, classes, quantity, RANGES[quantity], options=options
    )


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
