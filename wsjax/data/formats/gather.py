"""Many files of one architecture into one stacked pytree, and that into a data set."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from wsjax.data.dataset import KINDS, WeightDataset, as_integers
from wsjax.data.metadata import Metadata
from wsjax.data.sources.images import SPLITS
from wsjax.errors import DataError, check_shape, check_structure
from wsjax.progress import progress_of
from wsjax.symmetry import Symmetry

Column = Sequence[float] | np.ndarray


def gather(
    files: Mapping[str, Path],
    read: Callable[[Path], tuple[PyTree, Any]],
    symmetry: Symmetry,
    *,
    name: str,
    progress: bool = True,
) -> tuple[PyTree, list[Any]]:
    """The networks of all files, stacked in their order, and what `read` gave beside each.

    Raises DataError for a file of another architecture or dtype than the first, or with a number that is not finite.
    """
    if not files:
        raise DataError(f"{name} has no networks left; expected one at least")
    stacked: list[np.ndarray] = []
    notes, what = [], "this data set's network"
    for label, path in progress_of(files.items(), desc=name, unit="networks", disable=not progress):
        network, note = read(path)
        try:
            check_structure(network, symmetry.treedef, what)
            leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(network)]
            if not stacked:
                sizes = zip(leaves, symmetry.shapes, strict=True)
                stacked = [np.empty((len(files), *shape), leaf.dtype) for leaf, shape in sizes]
            for leaf_name, leaf, whole in zip(symmetry.names, leaves, stacked, strict=True):
                check_shape(leaf_name, leaf.shape, whole.shape[1:], what)
                if not jnp.issubdtype(leaf.dtype, np.floating):
                    raise ValueError(f"{leaf_name} has dtype {leaf.dtype}; expected floating point")
                if leaf.dtype != whole.dtype:
                    raise ValueError(f"{leaf_name} is {leaf.dtype}; the files before it have {whole.dtype}")
                if not np.isfinite(leaf).all():
                    way_out = f"expected finite numbers. Leave it out: leave_out=[{label!r}]"
                    raise ValueError(f"{leaf_name} is not finite; {way_out}")
                whole[len(notes)] = leaf
        except ValueError as error:
            raise DataError(f"{path}: {error}") from None
        notes.append(note)
    return symmetry.unflatten(stacked), notes


def finish(
    metadata: Metadata,
    weights: PyTree,
    label: Column,
    *,
    image: np.ndarray,
    split: Column,
    view: Column | None = None,
    **more: np.ndarray,
) -> WeightDataset:
    """The data set of finite weights, its columns in the usual dtypes; metadata gets statistics and counts of splits.

    Without `view` each image has one network.
    """
    name, columns = metadata.name, {"image": image, "view": 0 * image if view is None else view, "split": split}
    typed = {key: as_integers(f"{name}: {key}", column, KINDS[key]) for key, column in columns.items()}
    if metadata.label == "class":
        target = as_integers(f"{name}: label", label, np.int32)
    else:
        with np.errstate(over="ignore"):
            target = np.asarray(label).astype(np.float32)
    if not np.isfinite(target).all():
        raise DataError(f"labels of {name} are not finite for {int((~np.isfinite(target)).sum())} networks")
    classes = len(metadata.classes)
    if metadata.label == "class" and not (target.min() >= 0 and target.max() < classes):
        raise DataError(f"labels run from {target.min()} to {target.max()}; {name} has {classes} classes")
    counts = {part: int((typed["split"] == i).sum()) for i, part in enumerate(SPLITS)}
    full = replace(metadata, source={**metadata.source, "counts": counts})
    return WeightDataset(weights, target, {**typed, **more}, full).with_statistics()
