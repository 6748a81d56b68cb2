"""Which networks of a data set are drawn, and what they are called."""

from collections.abc import Sequence

import numpy as np

from wsjax.data import WeightDataset

MOST = 10


def chosen_rows(dataset: WeightDataset, rows: Sequence[int] | None) -> np.ndarray:
    """The rows asked for; else the first network of each class, in the order of the classes, or the first few where
    labels are targets."""
    if rows is not None:
        return np.asarray(rows, int)
    if not dataset.card.classes:
        return np.arange(min(MOST, len(dataset)))
    return np.unique(np.asarray(dataset.label), return_index=True)[1][:MOST]


def class_names(dataset: WeightDataset) -> list[str]:
    """The name of each network's class; empty where labels are targets."""
    classes = dataset.card.classes
    return [classes[int(label)] if classes else "" for label in dataset.label]
