"""Join data sets of one kind: in memory, on the disk, or collections of several architectures."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np

from wsjax.data.collection import Collection
from wsjax.data.dataset import WeightDataset, training_rows
from wsjax.data.metadata import Metadata
from wsjax.data.store.index import Index
from wsjax.data.store.lazy import ShardCache, StoredDataset
from wsjax.data.store.save_load import COLUMN
from wsjax.errors import DataError, json_differences, listing

WAY_OUT = (
    "Join data sets of one kind; where they are, give them the same metadata first: "
    "dataclasses.replace(dataset, metadata=first.metadata)"
)
Joined = TypeVar("Joined", WeightDataset, StoredDataset, Collection)


def concatenate(datasets: Sequence[Joined]) -> Joined:
    """One data set after the other, under their common metadata.

    Those in memory are copied. Stored ones stay on the disk: the result is a view, which reads the shards that it is
    asked for. Collections are joined member by member; a member that only one of them has stays as it is.

    Metadata must agree in every field but the statistics and the recipe's name. Where the statistics differ, those of
    joined networks in memory are taken anew over the training split; those of stored ones are pooled from what their
    metadata states, each weighted by its training networks.

    Args:
        datasets: at least one, all in memory, all stored, or all collections.

    Raises:
        TypeError: one data set in place of a list, or something else in the list.
        ValueError: there is none, or they are not all alike; of these a DataError: metadata, columns or dtypes that
            differ, each difference is named, or a directory that was written anew between two openings.

    Example:
        `networks` is a data set of 40 SIRENs.

        >>> concatenate([networks.split("train"), networks.split("test")])
        WeightDataset('digits', 33 networks: 24 train, 0 validation, 9 test)
    """
    kinds = (WeightDataset, StoredDataset, Collection)
    if isinstance(datasets, kinds):
        raise TypeError(f"datasets is one {type(datasets).__name__}; expected a list of them: give [first, second]")
    if not datasets:
        raise ValueError("there are no data sets to concatenate; expected at least one")
    first = datasets[0]
    for number, other in enumerate(datasets):
        if not isinstance(other, kinds):
            raise TypeError(f"data set {number} is {other!r:.60}; expected a data set, as data.load gives it")
        if type(other) is not type(first):
            raise ValueError(
                f"data set {number} is a {type(other).__name__} and data set 0 a {type(first).__name__}; expected all "
                f"in memory or all stored: load() the stored ones"
            )
    alike: Any = datasets
    if isinstance(first, Collection):
        return _collections(alike)
    for number, other in enumerate(alike[1:], 1):
        if differences := json_differences(_kind(other), _kind(first)):
            raise DataError(
                f"data sets 0 ({first.metadata.name}) and {number} ({other.metadata.name}) are not of one kind, "
                f"comparing {number} (there) with 0 (here): {listing(differences[:6])}. {WAY_OUT}"
            )
    if isinstance(first, StoredDataset):
        return _stored(alike)
    return _in_memory(alike)  # pyright: ignore[reportReturnType]


def _in_memory(datasets: Sequence[WeightDataset]) -> WeightDataset:
    parts = [(d.weights, d.label, d.columns) for d in datasets]
    weights, label, columns = jax.tree.map(lambda *leaves: np.concatenate([np.asarray(x) for x in leaves]), *parts)
    metadata = datasets[0].metadata
    joined = WeightDataset(weights, label, columns, metadata)
    same = all(d.metadata.statistics == metadata.statistics for d in datasets)
    return joined if same else joined.with_statistics()


def _stored(datasets: Sequence[StoredDataset]) -> StoredDataset:
    # Views of one directory share its shards.
    places: dict[Path, Index] = {}
    for path, index in (place for d in datasets for place in d.cache.places):
        if places.setdefault(path, index) != index:
            raise DataError(f"{path} was written anew after it was opened: open it again, for every view of it")
    cache = ShardCache([*places.items()], max(d.cache.size for d in datasets))
    rows = [_rows_in(cache, dataset) for dataset in datasets]
    columns = {name: np.concatenate([d.columns[name] for d in datasets]) for name in datasets[0].columns}
    label = np.concatenate([d.label for d in datasets])
    return StoredDataset(_pooled(datasets), np.concatenate(rows), label, columns, cache)


def _rows_in(cache: ShardCache, dataset: StoredDataset) -> np.ndarray:
    """The numbers that the networks of a view have in another cache."""
    paths = [path for path, _ in dataset.cache.places]
    starts, moved = (np.array([one.start_of(path) for path in paths]) for one in (dataset.cache, cache))
    return dataset.rows + (moved - starts)[np.searchsorted(starts, dataset.rows, "right") - 1]


def _pooled(datasets: Sequence[StoredDataset]) -> Metadata:
    """The first metadata, with statistics pooled over all where they differ."""
    first, stated = datasets[0].metadata, [d.metadata.statistics for d in datasets]
    counts = np.array([len(training_rows(d.columns["split"])) for d in datasets], np.float64)
    if all(one == first.statistics for one in stated) or not counts.any():
        return first
    pooled = {}
    for name in first.statistics:
        mean = float(np.average([one[name]["mean"] for one in stated], weights=counts))
        square = float(np.average([one[name]["rms"] ** 2 for one in stated], weights=counts))
        pooled[name] = {"mean": mean, "rms": square**0.5, "std": max(0.0, square - mean**2) ** 0.5}
    return replace(first, statistics=pooled)


def _collections(collections: Sequence[Collection]) -> Collection:
    names = list(dict.fromkeys(name for one in collections for name in one.members))
    members = {}
    for name in names:
        parts = [one.members[name] for one in collections if name in one.members]
        try:
            members[name] = parts[0] if len(parts) == 1 else concatenate(parts)
        except ValueError as error:
            raise type(error)(f"the member {name!r}, in those collections that have it: {error}") from None
    member = [np.array([names.index(name) for name in one.members])[one.member] for one in collections]
    return Collection(members, np.concatenate(member))


def _kind(dataset: WeightDataset | StoredDataset) -> dict[str, Any]:
    """What must agree, as JSON. The dtypes and shapes stand beside the metadata's fields."""
    settings = dataset.metadata.settings
    if isinstance(dataset, StoredDataset):
        arrays = dataset.cache.index.arrays
        dtypes = {n: a["dtype"] for n, a in arrays.items() if n != "label" and not n.startswith(COLUMN)}
    else:
        leaves = jax.tree.leaves(dataset.weights)
        dtypes = {name: str(leaf.dtype) for name, leaf in zip(dataset.symmetry.names, leaves, strict=True)}
    return {
        **settings,
        # The Symmetry of a known network follows from it, which says it shorter.
        "symmetry": None if dataset.metadata.network else settings["symmetry"],
        "weights": dtypes,
        "label dtype and shape": [str(dataset.label.dtype), list(dataset.label.shape[1:])],
        "columns": {name: str(column.dtype) for name, column in dataset.columns.items()},
    }
