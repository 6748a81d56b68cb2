"""The networks that a data set's directory lacks, made by a producer in any order and written shard by shard."""

import contextlib
from collections.abc import Callable, Generator
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Int, PyTree, Shaped

from wsjax.data.store import shards
from wsjax.data.store.index import Index
from wsjax.data.store.whole import flat
from wsjax.errors import listing


class Networks(NamedTuple):
    """Some networks of a data set that is being made, in any order.

    number: of each in the whole data set, from 0; weights, label, columns: of those, each with a leading axis.
    """

    number: Int[np.ndarray, " networks"]
    weights: PyTree
    label: Shaped[np.ndarray, " networks *target"]
    columns: dict[str, Shaped[np.ndarray, " networks"]]


class Missing(NamedTuple):
    """What a producer is to make.

    shards: the numbers of the networks of each missing shard; done: how many of this process's networks are there, for
    a progress bar.
    """

    shards: list[np.ndarray]
    done: int


Make = Callable[[Missing], Generator[Networks]]


def write_missing(path: Path, index: Index, todo: list[int], done: int, make: Make, into: str) -> None:
    """Write each missing shard once all of its networks are there. Where none is missing the producer is not asked.

    Args:
        path: the directory.
        index: what this process's index lists so far.
        todo: the numbers of the missing shards.
        done: networks that are there, for the producer's progress bar.
        make: the producer.
        into: the name of the index's file.

    Raises:
        ValueError: the producer ended early.
        OSError: the disk is full or failed.
    """
    if not todo:
        return
    numbers = [np.arange(index.size(number)) + number * index.shard_networks for number in todo]
    gathered: dict[int, list[Networks]] = {number: [] for number in todo}
    with contextlib.closing(make(Missing(numbers, done))) as made:
        for some in made:
            shard = some.number // index.shard_networks
            for number in np.unique(shard).tolist():
                gathered[number].append(_take(some, np.flatnonzero(shard == number)))
                if sum(len(piece.number) for piece in gathered[number]) == index.size(number):
                    index = shards.write_shard(path, index, number, _in_order(gathered.pop(number)), into)
    if gathered:
        raise ValueError(f"the producer ended; of {path} it has not made the whole of shards {listing(gathered)}")


def _take(some: Networks, rows: np.ndarray) -> Networks:
    return jax.tree.map(lambda leaf: leaf[rows], some)


def _in_order(pieces: list[Networks]) -> dict[str, np.ndarray]:
    """One shard's arrays."""
    whole: Networks = jax.tree.map(lambda *leaves: np.concatenate(leaves), *pieces)
    whole = _take(whole, np.argsort(whole.number))
    return flat(whole.weights, whole.label, whole.columns)
