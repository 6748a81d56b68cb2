"""`Job`: a data set to make. Its missing networks are computed in any order."""

from collections.abc import Callable, Generator
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, PyTree, Shaped

from wsjax.data.metadata import Metadata


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
