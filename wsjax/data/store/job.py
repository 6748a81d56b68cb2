"""`Job`: a data set to make. Its missing networks are computed in any order and written shard by shard."""

import contextlib
from collections.abc import Callable, Generator
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Int, PyTree, Shaped

from wsjax.data.metadata import Metadata
from wsjax.data.store import shards
from wsjax.data.store.index import Index
from wsjax.data.store.save_load import as_arrays
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
    """The networks that a producer computes.

    shards: the numbers of the networks of each missing shard; done: how many of this process's networks are there, for
    a progress bar.
    """

    shards: list[np.ndarray]
    done: int


Producer = Callable[[Missing], Generator[Networks]]


class Job(NamedTuple):
    """A data set to make, and how.

    metadata: what the networks are and how they are made, without statistics, which come last. It tells one data set
    from another: all settings that decide a network belong to it; networks: in the whole data set; shard_networks: in
    each shard but the last, which a kill loses at most; producer: given what is missing, yields those networks, some at
    a time, in any order; it is closed when it is interrupted. Network n must be the same whatever else is missing.
    """

    metadata: Metadata
    networks: int
    shard_networks: int
    producer: Producer


def write_missing_shards(path: Path, index: Index, todo: list[int], done: int, producer: Producer, into: str) -> None:
    """Write each missing shard once all of its networks are there. Where none is missing the producer is not called.

    Args:
        path: the directory.
        index: what this process's index lists so far.
        todo: the numbers of the missing shards.
        done: networks that are there, for the producer's progress bar.
        producer: yields the networks.
        into: the name of the index's file.

    Raises:
        ValueError: the producer ended early.
        OSError: the disk is full or failed.
    """
    if not todo:
        return
    numbers = [np.arange(index.size(number)) + number * index.shard_networks for number in todo]
    gathered: dict[int, list[Networks]] = {number: [] for number in todo}
    with contextlib.closing(producer(Missing(numbers, done))) as parts:
        for some in parts:
            shard = some.number // index.shard_networks
            for number in np.unique(shard).tolist():
                gathered[number].append(_take(some, np.flatnonzero(shard == number)))
                if sum(len(piece.number) for piece in gathered[number]) == index.size(number):
                    whole = in_order(gathered.pop(number))
                    arrays = as_arrays(whole.weights, whole.label, whole.columns)
                    index = shards.write_shard(path, index, number, arrays, into)
    if gathered:
        raise ValueError(f"the producer ended; of {path} it has not made all of shards {listing(gathered)}")


def _take(some: Networks, rows: np.ndarray) -> Networks:
    return jax.tree.map(lambda leaf: leaf[rows], some)


def in_order(pieces: list[Networks]) -> Networks:
    """Networks that were made in pieces, by number."""
    whole: Networks = jax.tree.map(lambda *leaves: np.concatenate(leaves), *pieces)
    return _take(whole, np.argsort(whole.number))
