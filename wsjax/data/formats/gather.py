"""Many files of one architecture into one stacked pytree."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from wsjax.data.dataset import KINDS, WeightDataset, as_integers, training_rows
from wsjax.data.metadata import Metadata
from wsjax.data.sources.images import SPLITS
from wsjax.errors import DataError, check_finite, check_shape, check_structure, listing
from wsjax.progress import progress_of
from wsjax.symmetry import Symmetry

SPLIT_NAMES = {"train": 0, "training": 0, "val": 1, "valid": 1, "validation": 1, "test": 2, "testing": 2}
"""What others call the splits, and our index of each."""


def gather(
    files: Mapping[str, Path],
    read: Callable[[Path], tuple[PyTree, Any]],
    symmetry: Symmetry,
    *,
    name: str,
    progress: bool = True,
) -> tuple[PyTree, list[Any]]:
    """Read every file and stack the networks.

    Args:
        files: paths, by the names that messages give them.
        read: a file's network, and what else the caller wants of it.
        symmetry: of the networks; its structure and shapes are what each file must have.
        name: the data set's, for the bar.
        progress: show a bar.

    Returns:
        The stacked networks, in the order of `files`, and what `read` gave beside each.

    Raises:
        DataError: a file that cannot be read, or holds another architecture, dtype, or a number that is not finite.
    """
    whole: list[np.ndarray] = []
    notes = []
    for row, (label, path) in enumerate(progress_of(files.items(), desc=name, unit="networks", disable=not progress)):
        network, note = read(path)
        leaves = checked_leaves(network, symmetry, str(path))
        if not row:
            whole = [np.empty((len(files), *leaf.shape), leaf.dtype) for leaf in leaves]
        for leaf, stacked, leaf_name in zip(leaves, whole, symmetry.names, strict=True):
            if leaf.dtype != stacked.dtype:
                raise DataError(f"{path}: {leaf_name} is {leaf.dtype}; the files before it have {stacked.dtype}")
            if not np.isfinite(leaf).all():
                raise DataError(
                    f"{path}: {leaf_name} is not finite; expected finite numbers. Leave it out: leave_out=[{label!r}]"
                )
            stacked[row] = leaf
        notes.append(note)
    return symmetry.unflatten(whole), notes


def checked_leaves(network: PyTree, symmetry: Symmetry, where: str) -> list[np.ndarray]:
    """A network's leaves; raises DataError naming the file where structure, a shape or a dtype is not the network's."""
    try:
        check_structure(network, symmetry.treedef, "this data set's network")
        leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(network)]
        for name, leaf, shape in zip(symmetry.names, leaves, symmetry.shapes, strict=True):
            check_shape(name, leaf.shape, shape, "this data set's network")
            if not jnp.issubdtype(leaf.dtype, np.floating):
                raise ValueError(f"{name} has dtype {leaf.dtype}; expected floating point")
    except ValueError as error:
        raise DataError(f"{where}: {error}") from None
    return leaves


def finish(
    metadata: Metadata,
    weights: PyTree,
    label: Sequence[float] | np.ndarray,
    columns: Mapping[str, Sequence[float] | np.ndarray],
) -> WeightDataset:
    """The data set, its columns in the usual types and its metadata with statistics and the counts of its splits."""
    check_finite(weights, f"the networks of {metadata.name}", "Leave those networks out.")
    typed = {
        name: as_integers(f"{metadata.name}: {name}", column, KINDS[name]) if name in KINDS else np.asarray(column)
        for name, column in columns.items()
    }
    if metadata.label == "class":
        target = as_integers(f"{metadata.name}: label", label, np.int32)
    else:
        with np.errstate(over="ignore"):
            target = np.asarray(label).astype(np.float32)
    if not np.isfinite(target).all():
        raise DataError(f"labels of {metadata.name} are not finite for {int((~np.isfinite(target)).sum())} networks")
    if metadata.label == "class" and not (target.min() >= 0 and target.max() < len(metadata.classes)):
        raise DataError(
            f"labels run from {target.min()} to {target.max()}; {metadata.name} has {len(metadata.classes)} classes"
        )
    counts = {split: int((typed["split"] == i).sum()) for i, split in enumerate(SPLITS)}
    full = replace(metadata, source={**metadata.source, "counts": counts}).with_statistics(
        weights, training_rows(typed["split"])
    )
    return WeightDataset(weights, target, typed, full)


def split_index(name: str, where: str) -> int:
    """Our index of a split that others named; raises DataError for an unknown one."""
    if name not in SPLIT_NAMES:
        raise DataError(f"{where} names a split {name!r}; expected one of {listing(SPLIT_NAMES)}")
    return SPLIT_NAMES[name]


def split_image_wise(split: np.ndarray, image: np.ndarray) -> np.ndarray:
    """A twelfth of the training images, all their views together, made validation, as `load_images` does for MNIST."""
    images = np.unique(image[split == 0])
    chosen = np.random.default_rng(0).permutation(len(images))[: len(images) // 12]
    return np.where((split == 0) & np.isin(image, images[chosen]), 1, split).astype(np.int8)


def one_value(values: Iterable[Any], what: str, where: str) -> Any:
    """The value that all sources of it give; raises DataError where two differ or none gives one."""
    known = [value for value in values if value is not None]
    if not known or any(value != known[0] for value in known):
        raise DataError(f"{where}: {what} is {listing(map(repr, known)) or 'nowhere'}; expected one value")
    return known[0]
