"""The directory of a stored data set, and its index: what is there.

    metadata.json       what the networks are (`Metadata`)
    index.json          what is there: sizes, each array's dtype and shape, and the SHA-256 of each finished shard
    index-1-of-4.json   the same of the shards that one of several processes wrote, until the parts are joined
    shards/00000/       Orbax: a flat dict from an array's name to a part of it, the same number of networks in each
    lock, lock-...      held by the processes that write

A shard exists once an index lists it, and an index is replaced in one step, so a kill at any moment leaves what was
there. The JSON files carry their own checksum.
"""

from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from wsjax.errors import DataError, listing
from wsjax.storage.files import checksum, read_checked_json

METADATA, INDEX, SHARDS, PART_INDICES = "metadata.json", "index.json", "shards", "index-*-of-*.json"
FORMAT_VERSION = 1
WAY_OUT = "Restore it from a copy, or remove the whole directory and make the data set again."


class Index(NamedTuple):
    """What a data set's directory holds.

    networks: in the whole data set; shard_networks: in each shard but the last; metadata: SHA-256 of the metadata's
    settings (`Metadata.settings`); arrays: for each its dtype on disk and the shape of one network's part; shards: for
    each finished one, by name, the SHA-256 of its `arrays` and of its `files`.
    """

    networks: int
    shard_networks: int
    metadata: str
    arrays: dict[str, Any]
    shards: dict[str, Any]
    format_version: int = FORMAT_VERSION

    @property
    def shard_count(self) -> int:
        """How many shards there are once all are there."""
        return -(-self.networks // self.shard_networks)

    @property
    def unfinished(self) -> list[int]:
        """The numbers of the shards that are not there yet."""
        return [i for i in range(self.shard_count) if shard_name(i) not in self.shards]

    @property
    def finished_networks(self) -> int:
        return self.networks - sum(self.size(i) for i in self.unfinished)

    def size(self, number: int) -> int:
        """How many networks a shard holds."""
        return min(self.shard_networks, self.networks - number * self.shard_networks)

    def kinds(self, networks: int) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
        """The shape and dtype of each array, for so many networks."""
        return {name: ((networks, *a["shape"]), jnp.dtype(a["dtype"])) for name, a in self.arrays.items()}

    @property
    def fingerprint(self) -> str:
        """SHA-256 of what the arrays and the metadata hold, however often the writing was stopped."""
        arrays = {name: entry["arrays"] for name, entry in self.shards.items()}
        return checksum({"metadata": self.metadata, "arrays": arrays, "networks": self.networks})


def shard_name(number: int) -> str:
    return f"{number:05d}"


def read_stored_json(path: Path) -> dict[str, Any]:
    """A JSON file of a stored data set, in a known format; raises DataError as `read_checked_json` does."""
    expected = "a directory that data.save, data.fit or `wsjax fit` wrote"
    content = read_checked_json(path, expected=expected, way_out=WAY_OUT)
    # Indices of format 1 did not always state it.
    version = content.get("format_version", FORMAT_VERSION)
    if version != FORMAT_VERSION:
        raise DataError(
            f"{path} has format_version {version}; this wsjax reads {FORMAT_VERSION}: use the wsjax that wrote it"
        )
    return content


def read_index(path: Path) -> Index:
    """The index of a data set's directory with what its parts list that are not joined yet.

    Raises DataError where an index is missing, damaged, of another format, or of another data set than the others.
    """
    found: dict[str, Index] = {}
    # Parts before the whole: those that are joined meanwhile are in the index by then.
    for file in sorted(path.glob(PART_INDICES)):
        try:
            found[file.name] = read_one_index(file)
        except DataError:
            if file.exists():
                raise
    if not found or (path / INDEX).exists():
        found[INDEX] = read_one_index(path / INDEX)
    (first, one), *others = found.items()
    for name, other in others:
        # An index without a shard describes no arrays yet.
        same = one._replace(arrays={}, shards={}) == other._replace(arrays={}, shards={})
        if not same or (one.arrays and other.arrays and one.arrays != other.arrays):
            raise DataError(f"{path / name} and {first} beside it do not belong to one data set. {WAY_OUT}")
        shards = dict(sorted({**other.shards, **one.shards}.items()))
        one = one._replace(arrays=one.arrays or other.arrays, shards=shards)
    return one


def read_one_index(file: Path) -> Index:
    """One index file. Raises DataError where it is missing, damaged, or of another format."""
    content = read_stored_json(file)
    needed, known = set(Index._fields) - set(Index._field_defaults), set(Index._fields)
    if not needed <= set(content) <= known:
        wrong = sorted(needed - set(content) | set(content) - known)
        kind = "it holds a collection: use data.Collection.load" if "members" in content else WAY_OUT
        raise DataError(f"{file} is not the index of a data set: {listing(wrong)} differ; {kind}")
    return Index(**content)


def has_index(path: Path) -> bool:
    """Whether a directory holds a data set, or parts of one."""
    return (path / INDEX).exists() or any(path.glob(PART_INDICES))
