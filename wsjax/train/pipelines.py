"""The augmentations of runs that train side by side: one program, and for each run its own numbers in it."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from wsjax.augment import from_spec, needs_pool, needs_statistics, statistics_of
from wsjax.symmetry import Symmetry
from wsjax.train.config import Plan, Trial
from wsjax.train.inputs import Arrays
from wsjax.train.scores import soft
from wsjax.typing import Batch


class Pipelines(NamedTuple):
    """What the runs' pipelines have in common, and the settings in which they differ, a number for each run.

    Both have the structure of a pipeline, each with None where the other has a leaf; `own` None where all is shared.
    """

    shared: PyTree
    own: PyTree = None


def pipelines_of(plan: Plan, trials: Sequence[Trial], symmetry: Symmetry, training: Arrays, classes: int) -> Pipelines:
    """The augmentations that the plan and its trials describe, with what they need of the training networks.

    Raises:
        ValueError: a SPEC that cannot be read, or a trial's whose steps or settings are others than the plan's.
    """
    spec = plan.augment
    statistics = jax.jit(statistics_of)(training.weights) if needs_statistics(spec) else None
    pool = Batch(training.weights, soft(training.label, classes), training.object) if needs_pool(spec) else None
    planned = from_spec(spec, symmetry, statistics, pool)
    made = []
    for number, trial in enumerate(trials):
        one = planned if trial.augment is None else from_spec(trial.augment, symmetry, statistics, pool)
        if jax.tree.structure(one) != jax.tree.structure(planned):
            raise ValueError(
                f"trials[{number}].augment is {trial.augment!r}; expected the steps and the named settings of the "
                f"plan's, {spec!r}, with other numbers: runs that train side by side share one program. Train other "
                f"steps by a plan of their own"
            )
        made.append(one)
    leaves = list(zip(*(jax.tree.leaves(one) for one in made), strict=True))
    unflatten = jax.tree.structure(planned).unflatten
    alike = [_alike(runs) for runs in leaves]
    shared = [runs[0] if same else None for runs, same in zip(leaves, alike, strict=True)]
    own = [None if same else jnp.asarray(runs) for runs, same in zip(leaves, alike, strict=True)]
    return Pipelines(unflatten(shared), unflatten(own))


def _alike(runs: Sequence[Any]) -> bool:
    """Whether all runs have the same leaf: the same array, or equal numbers."""
    return all(one is runs[0] or (isinstance(one, int | float) and one == runs[0]) for one in runs)
