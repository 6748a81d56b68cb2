"""The augmentations of runs that train side by side: one program, and for each run its own numbers in it."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from wsjax.augment import parse_batch, statistics_of
from wsjax.augment.grammar import needs_pool, needs_statistics
from wsjax.symmetry import Symmetry
from wsjax.train.config import Run, TrainConfig
from wsjax.train.source import Resident
from wsjax.train.task import Task
from wsjax.typing import Batch


class Pipelines(NamedTuple):
    """What the runs' pipelines have in common, and the settings in which they differ, a number for each run.

    Both have the structure of a pipeline, each with None where the other has a leaf; `own` None where all is shared.
    """

    shared: PyTree
    own: PyTree = None


def pipelines_of(
    config: TrainConfig, runs: Sequence[Run], symmetry: Symmetry, training: Resident, task: Task
) -> Pipelines:
    """The augmentations that the configuration and its runs describe, with what they need of the training networks.

    Raises:
        ValueError: a run's SPEC whose steps or settings are others than the configuration's.
    """
    spec = config.augment
    statistics = jax.jit(statistics_of)(training.weights) if needs_statistics(spec) else None
    pool = Batch(training.weights, task.in_batch(training.label), training.object) if needs_pool(spec) else None
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
    own = [None if same else jnp.asarray(found) for found, same in zip(leaves, alike, strict=True)]
    return Pipelines(unflatten(common), unflatten(own))


def _alike(runs: Sequence[Any]) -> bool:
    """Whether all runs have the same leaf: the same array, or equal numbers."""
    return all(one is runs[0] or (isinstance(one, int | float) and one == runs[0]) for one in runs)
