"""The files of a directory of meshes, their classes and their splits."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from wsjax.data.sources.images import SPLITS
from wsjax.errors import DataError

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
    """Each file's split, an index into `SPLITS`: a share of each class's files for training is for validation."""
    split = np.array([SPLITS.index("test" if file.test else "train") for file in found], np.int8)
    label = np.array([file.label for file in found])
    for value in np.unique(label):
        own = np.flatnonzero((label == value) & (split == SPLITS.index("train")))
        chosen = np.random.default_rng(SPLIT_SEED).permutation(own)[: len(own) // VALIDATION]
        split[chosen] = SPLITS.index("validation")
    return split
