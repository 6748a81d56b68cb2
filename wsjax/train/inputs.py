"""From a data set to what the compiled step reads: a split's networks on the device, and their fingerprint."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from wsjax.data import WeightDataset
from wsjax.data.store.directory import checksum
from wsjax.data.store.shards import digest
from wsjax.devices import replicate
from wsjax.errors import leaf_names
from wsjax.train.step import Arrays


def arrays(dataset: WeightDataset, split_name: str, mesh: Mesh | None = None) -> Arrays:
    """One split on the device, whole.

    Raises:
        ValueError: the data set has no network in that split, or labels that are none of its classes.
    """
    part = dataset.split(split_name)
    if len(part) == 0:
        raise ValueError(f"{dataset.card.name} has no network in the split {split_name!r}; fit one that does")
    check_classes(part)
    weights = jax.tree.map(jnp.asarray, part.weights)
    shown = jnp.asarray(part.columns["image"], jnp.int32) if "image" in part.columns else None
    return replicate(Arrays(weights, jnp.asarray(part.label, jnp.int32), shown), mesh)


def check_classes(dataset: WeightDataset) -> None:
    """Raise ValueError unless every label is the number of one of the card's classes."""
    label, classes, name = dataset.label, len(dataset.card.classes), dataset.card.name
    if label.ndim != 1 or not np.issubdtype(label.dtype, np.integer):
        raise ValueError(
            f"the labels of {name} have shape {label.shape} and dtype {label.dtype}; expected one whole number a "
            f"network, its class: readers classify, so turn targets into classes first"
        )
    if label.min() < 0 or label.max() >= classes:
        raise ValueError(
            f"the labels of {name} run from {label.min()} to {label.max()}; its card names {classes} classes: "
            f"expected labels from 0 to {classes - 1}. Name every class in the card"
        )


def fingerprint(*splits: Arrays) -> str:
    """SHA-256 of everything that a training reads: weights, labels and objects of its splits.

    Example:
        >>> one, other = (Arrays(jnp.zeros((2, 3)), jnp.array(label)) for label in ([0, 1], [1, 1]))
        >>> fingerprint(one, one) == fingerprint(one, other)
        False
    """
    leaves = zip(leaf_names(splits, "splits"), jax.tree.leaves(splits), strict=True)
    return checksum({name: digest(np.asarray(leaf)) for name, leaf in leaves})
