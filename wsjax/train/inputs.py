"""From a data set to what the compiled step reads: a split's networks on the device, and their fingerprint."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int, PyTree

from wsjax.data import WeightDataset
from wsjax.data.dataset import check_classes
from wsjax.data.store.directory import checksum
from wsjax.data.store.shards import digest
from wsjax.data.views import split_rows
from wsjax.devices import replicate
from wsjax.errors import check_finite, leaf_names
from wsjax.train.targets import Targets, are_targets, targets_of, values_of


class Arrays(NamedTuple):
    """One split on the device: stacked networks, their labels, and which object each network shows.

    Labels are whole numbers, the classes, or floats, standardised targets.
    """

    weights: PyTree
    label: Int[Array, " networks"] | Float[Array, "networks targets"]
    object: Int[Array, " networks"] | None = None


def arrays(
    dataset: WeightDataset, split_name: str, mesh: Mesh | None = None, *, targets: Targets | None = None
) -> Arrays:
    """One split on the device, whole: its labels as classes; with `targets` as standardised targets.

    Raises:
        ValueError: the data set has no network in that split, labels that are none of its classes, or, with `targets`,
            labels that are no such targets. DataError: a target or a weight that is not finite.
    """
    part = _finite(dataset.take(rows_of(dataset, split_name)), split_name)
    return replicate(_held(part, jnp.asarray(labels(part, split_name, targets))), mesh)


def unlabelled(dataset: WeightDataset, split_name: str) -> Arrays:
    """One split on the device, whole, whatever its labels are: a zero stands for each.

    Raises:
        ValueError: the data set has no network in that split. DataError: a weight that is not finite.
    """
    part = _finite(dataset.take(rows_of(dataset, split_name)), split_name)
    return _held(part, jnp.zeros((len(part), 1)))


def _finite(part: WeightDataset, split_name: str) -> WeightDataset:
    """A split whose weights are all numbers; a NaN network would count as of class 0."""
    check_finite(part.weights, f"the split {split_name!r} of {part.card.name}", "Leave those networks out with take().")
    return part


def _held(part: WeightDataset, label: Array) -> Arrays:
    weights = jax.tree.map(jnp.asarray, part.weights)
    shown = jnp.asarray(part.columns["image"], jnp.int32) if "image" in part.columns else None
    return Arrays(weights, label, shown)


def learned(dataset: WeightDataset) -> Targets | None:
    """The targets that a reader of a data set learns, by its training split; None where its labels are classes.

    Raises:
        ValueError, DataError: no network to train on, or targets that no reader can learn.
    """
    # The labels alone: to gather the weights copies them, which `arrays` does once.
    return targets_of(dataset.card, dataset.label[rows_of(dataset, "train")]) if are_targets(dataset) else None


def rows_of(dataset: WeightDataset, split_name: str) -> np.ndarray:
    """The rows of a split; raises ValueError where it has none."""
    rows = split_rows(dataset.columns, split_name)
    if len(rows) == 0:
        raise ValueError(f"{dataset.card.name} has no network in the split {split_name!r}; fit one that does")
    return rows


def labels(part: WeightDataset, split_name: str, targets: Targets | None) -> np.ndarray:
    """Classes as int32 (networks,), or targets standardised, float32 (networks, targets)."""
    if targets is None:
        check_classes(part)
        return np.asarray(part.label, np.int32)
    if not are_targets(part):
        raise ValueError(
            f"the labels of {part.card.name} have dtype {part.label.dtype}; expected floats, as the reader gives "
            f"targets: label the networks with those"
        )
    values = values_of(part.card, part.label, split_name)
    if values.shape[1] != len(targets.mean):
        raise ValueError(
            f"the labels of {part.card.name} have {values.shape[1]} targets a network; expected {len(targets.mean)}, "
            f"as the reader was trained on: keep those"
        )
    return targets.standardised(values)


def fingerprint(*splits: Arrays) -> str:
    """SHA-256 of everything that a training reads: weights, labels and objects of its splits.

    Example:
        >>> one, other = (Arrays(jnp.zeros((2, 3)), jnp.array(label)) for label in ([0, 1], [1, 1]))
        >>> fingerprint(one, one) == fingerprint(one, other)
        False
    """
    leaves = zip(leaf_names(splits, "splits"), jax.tree.leaves(splits), strict=True)
    return checksum({name: digest(np.asarray(leaf)) for name, leaf in leaves})
