"""Float labels: which of them a regressor can learn, and the units it learns them in."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from wsjax.augment import read_spec
from wsjax.augment.grammar import Call
from wsjax.data import Card, WeightDataset
from wsjax.errors import DataError, listing
from wsjax.models import Units

OF_CLASSES = ("label_smoothing", "mixup_within_class")
"""Augmentations that take a label for a distribution over classes, which targets beside each other look like."""


class Targets(NamedTuple):
    """Mean and standard deviation of each target over the training split.

    A regressor learns (t - mean) / std, of mean 0 and variance 1, so that one that gives the mean has a loss of 1.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def standardised(self, values: np.ndarray) -> np.ndarray:
        """(t - mean) / std in float32, computed in float64.

        Example:
            >>> Targets((5.0,), (2.0,)).standardised(np.array([[5.0], [9.0]])).tolist()
            [[0.0], [2.0]]
        """
        return ((values - np.array([self.mean])) / np.array([self.std])).astype(np.float32)

    @property
    def units(self) -> Units:
        """What brings a regressor's outputs back to the targets' own units."""
        return Units(jnp.array(self.mean, jnp.float32), jnp.array(self.std, jnp.float32))

    def to_json(self) -> dict[str, Any]:
        return {"mean": list(self.mean), "std": list(self.std)}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Targets":
        return cls(tuple(content["mean"]), tuple(content["std"]))


def are_targets(dataset: WeightDataset) -> bool:
    """Whether the labels are floats, which a regressor learns; whole numbers are classes."""
    return bool(jnp.issubdtype(dataset.label.dtype, jnp.floating))


def values_of(card: Card, label: np.ndarray, split_name: str) -> np.ndarray:
    """The targets of one split by its labels, (networks, targets) in float64.

    Raises:
        ValueError: labels of another shape, a card that names classes, or a target that is the same everywhere.
        DataError: a target that is not finite.
    """
    name = card.name
    if card.classes:
        raise ValueError(
            f"the labels of {name} are floats and its card names {len(card.classes)} classes; expected whole "
            f"numbers, or a card without classes: replace(dataset, label=dataset.label.astype(int)) where they are "
            f"classes, replace(dataset, card=replace(dataset.card, classes=())) where they are targets"
        )
    if label.ndim not in (1, 2) or label.size == 0:
        raise ValueError(
            f"the labels of {name} have shape {label.shape}; expected (networks,) or (networks, targets): lay out the "
            f"numbers of each target in a row"
        )
    values = np.asarray(label, np.float64).reshape(len(label), -1)
    for i, column in enumerate(values.T):
        if not np.isfinite(column).all():
            rows = np.flatnonzero(~np.isfinite(column))
            raise DataError(
                f"target {i} of {name} is not finite for {len(rows)} of {len(column)} networks of the split "
                f"{split_name!r} (rows {listing(rows[:5])}{', ...' if len(rows) > 5 else ''}); expected finite "
                f"numbers. Leave those networks out"
            )
        # Not the deviation: that of equal numbers need not come out as 0.
        if column.min() == column.max():
            raise ValueError(
                f"target {i} of {name} is {column[0]:g} for each of {len(column)} networks of the split "
                f"{split_name!r}; expected some that differ, as targets are read in units of their deviation. Leave "
                f"that target out of the labels, or have other networks in the split"
            )
    return values


def targets_of(card: Card, label: np.ndarray) -> Targets:
    """Mean and deviation of each target over a training split, by its labels.

    Raises:
        ValueError, DataError: as `values_of`; or targets that float32 cannot hold or tell apart.
    """
    values = values_of(card, label, "train")
    mean, std = values.mean(axis=0), values.std(axis=0)
    floats, worst = np.finfo(np.float32), np.abs(values).max(axis=0)
    # The reader answers in float32: beside a large mean a small deviation would be lost in rounding.
    least = np.maximum(floats.tiny, 1e3 * floats.eps * worst)
    for i, beyond in enumerate((worst > floats.max) | (std < least)):
        if beyond:
            raise ValueError(
                f"target {i} of {card.name} runs from {values[:, i].min():g} to {values[:, i].max():g}, with "
                f"a deviation of {std[i]:g}; expected numbers whose differences float32 holds: give the target in "
                f"another unit, or less an offset"
            )
    return Targets(tuple(mean.tolist()), tuple(std.tolist()))


def check_augmentation(spec: str, name: str) -> None:
    """Raise ValueError where a step of a SPEC needs classes, and the labels of a data set are targets."""
    if found := of_classes(spec):
        raise ValueError(
            f"{listing(found)} in {spec!r}: the labels of {name} are targets, and that works on distributions over "
            f"classes; leave it out, or mix targets by mixup, mixup_aligned or another of their kind"
        )


def of_classes(spec: str) -> list[str]:
    """The steps of a SPEC that need classes.

    Example:
        >>> of_classes("noise | label_smoothing(rate=0.1)")
        ['label_smoothing']
    """
    return [step for step in OF_CLASSES if step in _names(read_spec(spec))]


def _names(steps: tuple[Call, ...]) -> set[str]:
    inner = (_names(pipe) for step in steps for pipe in step.pipes)
    return {step.name for step in steps}.union(*inner)
