"""Join data sets of one kind."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import jax
import numpy as np

from wsjax.data.dataset import WeightDataset, training_rows
from wsjax.errors import DataError, json_differences, listing

WAY_OUT = (
    "Join data sets of one kind; where they are, give them one card first: "
    "dataclasses.replace(dataset, card=first.card)"
)


def concatenate(datasets: Sequence[WeightDataset]) -> WeightDataset:
    """One data set after the other, under their common card.

    Cards must agree in every field but the statistics: those of the joined training networks are taken anew, unless
    all parts state the same ones, as parts of one data set do.

    Args:
        datasets: at least one.

    Raises:
        ValueError: there is none.
        DataError: cards, columns or dtypes that differ; each difference is named.

    Example:
        >>> from wsjax.data import Recipe, fit_dataset_in_memory, limit, load_images
        >>> from wsjax.networks import Network
        >>> recipe = Recipe(Network("siren", (2, 4, 1)), steps=2, lanes=4)
        >>> fitted = fit_dataset_in_memory(limit(load_images("digits"), 6), recipe, progress=False)
        >>> concatenate([fitted.split("train"), fitted.split("test")])
        WeightDataset('digits', 5 networks: 4 train, 0 validation, 1 test)
    """
    if not datasets:
        raise ValueError("there are no data sets to concatenate; expected at least one")
    first = datasets[0]
    for number, other in enumerate(datasets[1:], 1):
        differences = json_differences(_kind(other), _kind(first))
        if differences:
            raise DataError(
                f"data sets 0 ({first.card.name}) and {number} ({other.card.name}) are not of one kind, comparing "
                f"{number} (there) with 0 (here): {listing(differences[:6])}. {WAY_OUT}"
            )
    parts = [(d.weights, d.label, d.columns) for d in datasets]
    weights, label, columns = jax.tree.map(lambda *leaves: np.concatenate([np.asarray(x) for x in leaves]), *parts)
    card = first.card
    if any(d.card.statistics != card.statistics for d in datasets):
        card = card.with_statistics(weights, training_rows(columns["split"]))
    return WeightDataset(weights, label, columns, card)


def _kind(dataset: WeightDataset) -> dict[str, Any]:
    """What must agree, as JSON. The dtypes and shapes stand beside the card's fields."""
    leaves = dict(zip(dataset.symmetry.names, jax.tree.leaves(dataset.weights), strict=True))
    card = replace(dataset.card, statistics={}).to_json()
    # The Symmetry of a known network follows from it, which says it shorter.
    card["symmetry"] = None if dataset.card.network else card["symmetry"]
    return {
        **card,
        "weights": {name: str(leaf.dtype) for name, leaf in leaves.items()},
        "label dtype and shape": [str(dataset.label.dtype), list(dataset.label.shape[1:])],
        "columns": {name: str(column.dtype) for name, column in dataset.columns.items()},
    }
