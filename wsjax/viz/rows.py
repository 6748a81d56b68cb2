"""Which networks of a data set are drawn, and which signals they hold."""

from collections.abc import Sequence

import numpy as np

from wsjax.data import Images, Signals, WeightDataset
from wsjax.errors import listing

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


def rows_of(found: Images | Signals, dataset: WeightDataset) -> np.ndarray:
    """The row of what each network of a data set was fitted to.

    Raises:
        ValueError: images or signals that are not there.
    """
    wanted = np.asarray(dataset.columns["image"])
    order = np.argsort(found.index)
    place = order[np.searchsorted(found.index, wanted, sorter=order).clip(max=len(order) - 1)]
    absent = wanted[found.index[place] != wanted]
    if len(absent):
        what = "images" if isinstance(found, Images) else "signals"
        raise ValueError(
            f"{what} {listing(absent[:5])} of {dataset.card.name} are not among the {len(order)} of {found.name}; "
            f"expected the {what} that the networks were fitted to: load that source without a limit"
        )
    return place
