"""Weight data sets on disk: save and load."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from wsjax.data import shards
from wsjax.data.card import Card
from wsjax.data.dataset import WeightDataset
from wsjax.data.shards import CARD, INDEX, LOCK, Index, read_index, read_json, write_json
from wsjax.errors import DataError, check_finite, check_shape, leaf_names, listing

COLUMN = "columns."


def save(dataset: WeightDataset, path: str | Path) -> None:
    """Write a data set to a new directory, in shards.

    Raises:
        ValueError: no networks, a directory that holds something, or a container that a file cannot bring back.
        DataError: a number that is not finite.
        OSError: the directory cannot be written, or the disk is full.

    Example:
        >>> import tempfile
        >>> from wsjax.data import Recipe, fit_dataset_in_memory, limit, load_images
        >>> from wsjax.networks import Network
        >>> recipe = Recipe(Network("siren", (2, 4, 1)), steps=2, lanes=4)
        >>> fitted = fit_dataset_in_memory(limit(load_images("digits"), 4), recipe, progress=False)
        >>> path = tempfile.mkdtemp()
        >>> save(fitted, path)
        >>> load(path)
        WeightDataset('digits', 4 networks: 2 train, 1 validation, 1 test)
    """
    if not len(dataset):
        raise ValueError(f"the data set {dataset.card.name} has no networks; expected at least one to save")
    check_finite(dataset.weights, f"saving {dataset.card.name}", "Leave those networks out with take().")
    target, card = absolute(path), dataset.card.to_json()
    with shards.locked(target):
        if not is_free(target):
            raise ValueError(f"{target} is not empty; expected a new directory: name another one, or remove it")
        index = new_index(target, len(dataset), shards.SHARD_NETWORKS, card)
        for number in index.unfinished:
            start = number * index.shard_networks
            part = dataset.take(np.arange(start, start + index.size(number)))
            index = shards.write_shard(target, index, number, flat(part.weights, part.label, part.columns))


def load(path: str | Path) -> WeightDataset:
    """Read a data set, every array checked against the card and against its SHA-256.

    Raises:
        DataError: the directory holds no data set, or an unfinished one; a file, shard or array is missing, altered or
            of another shape or dtype; a number is not finite. The shard and the array are named.

    Example:
        >>> import tempfile
        >>> from wsjax.data import Recipe, fit_dataset, limit, load_images
        >>> from wsjax.networks import Network
        >>> out, recipe = tempfile.mkdtemp(), Recipe(Network("siren", (2, 4, 1)), steps=2, lanes=4)
        >>> _ = fit_dataset(limit(load_images("digits"), 4), recipe, out, progress=False)
        >>> len(load(out))
        4
    """
    target = absolute(path)
    index, card = read_index(target), Card.from_json(read_json(target / CARD))
    if index.unfinished or not card.statistics:
        again = "run the same fit again" if card.recipe else "remove the directory and save the data set again"
        raise DataError(
            f"{target} is unfinished: {index.finished_networks} of {index.networks} networks are there; "
            f"to go on, {again}"
        )
    return read(target, index, card)


def new_index(path: Path, networks: int, shard_networks: int, card: dict[str, Any]) -> Index:
    """Write a new data set's card and its index, which lists no shard yet."""
    index = Index(networks, shard_networks, card_checksum(card), {}, {})
    write_json(path / CARD, card)
    write_json(path / INDEX, index._asdict())
    return index


def card_checksum(card: dict[str, Any]) -> str:
    """SHA-256 of a card's JSON without the statistics, which a fit adds last."""
    return shards.checksum({**card, "statistics": {}})


def absolute(path: str | Path) -> Path:
    """A path as Orbax wants it."""
    return Path(path).expanduser().resolve()


def is_free(path: Path) -> bool:
    """Whether a directory holds nothing, or no more than a start that was killed leaves."""
    own = {LOCK, CARD, f"{CARD}.tmp", f"{INDEX}.tmp"}
    return all(entry.name in own for entry in path.glob("*"))


def flat(weights: Any, label: np.ndarray, columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A data set as the flat dict that shards hold."""
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(weights)]
    named = dict(zip(leaf_names(weights), leaves, strict=True))
    return {**named, "label": np.asarray(label), **{COLUMN + name: np.asarray(c) for name, c in columns.items()}}


def read(path: Path, index: Index, card: Card) -> WeightDataset:
    """A whole data set, card against arrays and arrays against checksums; raises as `load` does."""
    names, sizes = card.symmetry.names, card.symmetry.shapes
    columns = [name for name in index.arrays if name.startswith(COLUMN)]
    wrong = sorted({*names, "label", *columns} ^ set(index.arrays))
    if wrong:
        raise DataError(f"{path}: card and arrays do not belong together: {listing(wrong)} differ. {shards.WAY_OUT}")
    for name, shape in zip(names, sizes, strict=True):
        try:
            check_shape(name, tuple(index.arrays[name]["shape"]), shape, "the card")
        except ValueError as error:
            raise DataError(f"{path}: card and arrays do not belong together: {error}") from None
    if card_checksum(card.to_json()) != index.card:
        raise DataError(f"{path}: {CARD} is not the card that {INDEX} was written with. {shards.WAY_OUT}")
    whole = {n: np.empty((index.networks, *a["shape"]), jnp.dtype(a["dtype"])) for n, a in index.arrays.items()}
    for number in range(len(index.shards)):
        start = number * index.shard_networks
        for name, array in shards.read_shard(path, index, number).items():
            whole[name][start : start + len(array)] = array
    weights = card.symmetry.unflatten([whole[name] for name in names])
    check_finite(weights, f"loading {path}", shards.WAY_OUT)
    kept = {column.removeprefix(COLUMN): whole[column] for column in columns}
    return WeightDataset(weights, whole["label"], kept, card)
