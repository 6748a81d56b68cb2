"""The files of a directory of meshes, their classes and their splits, and the triangles of an OFF file.

OFF is text, the counts on a line of their own or, as often in ModelNet, right behind the word OFF.
"""

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from wsjax.data.optional import require
from wsjax.data.sources.images import SPLITS
from wsjax.errors import DataError

HEADER = re.compile(rb"\s*C?OFF\s*(\d+)\s+(\d+)\b")
WAY_OUT = "put a whole copy in its place, or leave the file out"
VALIDATION, SPLIT_SEED = 10, 0
"""One in so many of a class's meshes for training is for validation, drawn once with this seed."""


class MeshFile(NamedTuple):
    """A mesh's file, its class's number, and whether it is for the test."""

    path: Path
    label: int
    test: bool


def mesh_files(directory: Path) -> tuple[list[MeshFile], tuple[str, ...]]:
    """The OFF files of ROOT/CLASS/train, ROOT/CLASS/test and ROOT/CLASS, in order, and the classes' names.

    Raises:
        DataError: no directory, or none of them in it.
    """
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


def read_off(path: str | Path) -> Float[np.ndarray, "triangles 3 3"]:
    """The triangles of an OFF file, (triangles, 3 corners, 3) float64; faces of more corners are cut into triangles.

    Trimesh reads the text; nothing is merged, mended or left out.

    Raises:
        DataError: the file is no OFF file, is cut off, or has no triangle, a corner that is no vertex, or numbers that
            are not finite.
        ImportError: trimesh is not installed; the extra that brings it is named.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "square.off"
        >>> _ = path.write_text("OFF4 1 0\\n0 0 0\\n1 0 0\\n1 1 0\\n0 1 0\\n4 0 1 2 3\\n")
        >>> read_off(path).shape
        (2, 3, 3)
    """
    off = require("trimesh.exchange.off", str(path))
    try:
        text = Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}; {WAY_OUT}") from None
    header = HEADER.match(re.sub(rb"#[^\n]*", b"", text))
    if header is None:
        raise DataError(f"{path} begins with {text[:20]!r}; expected OFF and two counts: {WAY_OUT}")
    try:
        with Path(path).open("rb") as file:
            found = off.load_off(file)
    except (ValueError, IndexError, TypeError, OverflowError) as error:
        raise DataError(f"{path} is no whole OFF file ({error}); {WAY_OUT}") from None
    vertices, faces = np.asarray(found["vertices"], np.float64), np.asarray(found["faces"])
    stated = int(header[2])
    if len(faces) < max(stated, 1):
        raise DataError(f"{path} holds {len(faces)} triangles; expected {max(stated, 1)} or more: {WAY_OUT}")
    if faces.min() < 0 or faces.max() >= len(vertices):
        wrong = faces.min() if faces.min() < 0 else faces.max()
        raise DataError(f"{path} has a face at vertex {wrong}; expected 0 to {len(vertices) - 1}: {WAY_OUT}")
    triangles = vertices[faces]
    if not np.isfinite(triangles).all():
        raise DataError(f"{path} has vertices that are not finite; expected finite numbers: {WAY_OUT}")
    return triangles
