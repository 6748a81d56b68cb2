"""What a stored data set's directory holds, by its index, and by those of the parts that several processes made."""

from pathlib import Path
from typing import Any, NamedTuple

from wsjax.data.store.directory import FORMAT_VERSION, INDEX, WAY_OUT, check_version, read_stored_json
from wsjax.errors import DataError, listing
from wsjax.storage.digests import checksum

PART_INDICES = "index-*-of-*.json"


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

    @property
    def fingerprint(self) -> str:
        """SHA-256 of what the arrays and the metadata hold, however often the writing was stopped."""
        arrays = {name: entry["arrays"] for name, entry in self.shards.items()}
        return checksum({"metadata": self.metadata, "arrays": arrays, "networks": self.networks})


def shard_name(number: int) -> str:
    return f"{number:05d}"


def read_index(path: Path) -> Index:
    """What is in a data set's directory: its index, and what its parts list that are not joined yet.

    Raises:
        DataError: an index is missing, damaged, of another format, or of another data set than the others.
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
        one = _united(path, first, one, name, other)
    return one


def _united(path: Path, first: str, one: Index, name: str, other: Index) -> Index:
    """One index of what two list. An index without a shard describes no arrays yet."""
    same = one._replace(arrays={}, shards={}) == other._replace(arrays={}, shards={})
    if not same or (one.arrays and other.arrays and one.arrays != other.arrays):
        raise DataError(f"{path / name} and {first} beside it do not belong to one data set. {WAY_OUT}")
    return one._replace(arrays=one.arrays or other.arrays, shards=dict(sorted({**other.shards, **one.shards}.items())))


def read_one_index(file: Path) -> Index:
    """One index file. Raises DataError where it is missing, damaged, or of another format."""
    content = read_stored_json(file)
    check_version(file, content)
    needed, known = set(Index._fields) - set(Index._field_defaults), set(Index._fields)
    if not needed <= set(content) <= known:
        wrong = sorted(needed - set(content) | set(content) - known)
        kind = "it holds a collection: use data.Collection.load" if "members" in content else WAY_OUT
        raise DataError(f"{file} is not the index of a data set: {listing(wrong)} differ; {kind}")
    return Index(**content)


def has_index(path: Path) -> bool:
    """Whether a directory holds a data set, or parts of one."""
    return (path / INDEX).exists() or any(path.glob(PART_INDICES))
