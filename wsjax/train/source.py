"""Where a training takes its networks from: a split that is on the device whole."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Int, PyTree

from wsjax.data import WeightDataset
from wsjax.devices import replicate
from wsjax.errors import check_finite, leaf_names
from wsjax.storage.digests import checksum, digest
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
    """One split on the device, whole, with labels as the task has them.

    Raises:
        ValueError: the data set has no network in that split, or labels that the task cannot learn.
        DataError: a label or a weight that is not finite.
    """
    part = dataset.take(rows_of(dataset, split_name))
    # A NaN network would be scored as of class 0.
    check_finite(
        part.weights, f"the split {split_name!r} of {part.metadata.name}", "Leave those networks out with take()."
    )
    label = jnp.asarray(task.labels(part, split_name))
    objects = jnp.asarray(part.columns["image"], jnp.int32) if "image" in part.columns else None
    return replicate(Resident(jax.tree.map(jnp.asarray, part.weights), label, objects), mesh)


def fingerprint(*splits: Resident) -> str:
    """SHA-256 of all that a training depends on: weights, labels and objects of its splits.

    Example:
        >>> one, other = (Resident(jnp.zeros((2, 3)), jnp.array(label)) for label in ([0, 1], [1, 1]))
        >>> fingerprint(one, one) == fingerprint(one, other)
        False
    """
    leaves = zip(leaf_names(splits, "splits"), jax.tree.leaves(splits), strict=True)
    return checksum({name: digest(np.asarray(leaf)) for name, leaf in leaves})
