"""What a step is given: a split that is on the device whole, and the augmentations of the runs."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Int, PyTree

from wsjax.augment import parse_batch
from wsjax.augment.grammar import needs
from wsjax.augment.statistics import statistics_of
from wsjax.data import WeightDataset
from wsjax.devices import replicate
from wsjax.errors import check_finite, leaf_names
from wsjax.storage.files import checksum, digest
from wsjax.symmetry import Symmetry
from wsjax.train.config import Run, TrainConfig
from wsjax.train.task import Task, rows_of
from wsjax.typing import Batch


class Resident(NamedTuple):
    """One split on the device: stacked networks, their labels as the task has them, and the object each represents."""

    weights: PyTree
    label: Array
    object: Int[Array, " networks"] | None = None

    @property
    def networks(self) -> int:
        return len(self.label)

    def batch(self, rows: Int[Array, " batch"], task: Task) -> Batch:
        """The networks of some rows, with labels as a batch holds them."""
        weights, objects = jax.tree.map(lambda x: x[rows], (self.weights, self.object))
        return Batch(weights, task.in_batch(self.label[rows]), objects)


def resident(dataset: WeightDataset, split_name: str, task: Task, mesh: Mesh | None = None) -> Resident:
    """One split on the device, whole; raises for no network there, a NaN, or labels that the task cannot learn."""
    part = dataset.take(rows_of(dataset, split_name))
    # A NaN network would be scored as of class 0.
    where = f"the split {split_name!r} of {part.metadata.name}"
    check_finite(part.weights, where, "Leave those networks out with take().")
    objects = np.asarray(part.columns["image"], np.int32) if "image" in part.columns else None
    # `jnp.asarray` would compile a program for each shape.
    on_host: Any = part.weights, task.labels(part, split_name), objects
    return Resident(*replicate(on_host, mesh))


def fingerprint(*splits: Resident) -> str:
    """SHA-256 of all that a training depends on: weights, labels and objects of its splits."""
    leaves = zip(leaf_names(splits, "splits"), jax.tree.leaves(splits), strict=True)
    return checksum({name: digest(np.asarray(leaf)) for name, leaf in leaves})


class Pipelines(NamedTuple):
    """What the runs' pipelines have in common, and the settings in which they differ, a number for each run.

    Both have the structure of a pipeline, each with None where the other has a leaf; `own` None where all is shared.
    """

    shared: PyTree
    own: PyTree = None


def pipelines_of(
    config: TrainConfig, runs: Sequence[Run], symmetry: Symmetry, training: Resident, task: Task
) -> Pipelines:
    """The augmentations of the configuration and its runs, with what they need of the training networks."""
    spec, needed = config.augment, needs(config.augment)
    statistics = jax.jit(statistics_of)(training.weights) if "statistics" in needed else None
    pool = Batch(training.weights, task.in_batch(training.label), training.object) if "pool" in needed else None
    shared = parse_batch(spec, symmetry, statistics, pool)
    pipelines = []
    for number, run in enumerate(runs):
        one = shared if run.augment is None else parse_batch(run.augment, symmetry, statistics, pool)
        if jax.tree.structure(one) != jax.tree.structure(shared):
            raise ValueError(
                f"runs[{number}].augment is {run.augment!r}; expected the steps and the named settings of the "
                f"configuration's, {spec!r}, with other numbers: runs that train side by side share one program. Train "
                f"other steps under a configuration of their own"
            )
        pipelines.append(one)
    leaves = list(zip(*(jax.tree.leaves(one) for one in pipelines), strict=True))
    unflatten = jax.tree.structure(shared).unflatten
    alike = [_alike(found) for found in leaves]
    common = [found[0] if same else None for found, same in zip(leaves, alike, strict=True)]
    own = [None if same else jax.device_put(np.asarray(found)) for found, same in zip(leaves, alike, strict=True)]
    return Pipelines(unflatten(common), unflatten(own))


def _alike(runs: Sequence[Any]) -> bool:
    """Whether all runs have the same leaf: the same array, or equal numbers."""
    return all(one is runs[0] or (isinstance(one, int | float) and one == runs[0]) for one in runs)
