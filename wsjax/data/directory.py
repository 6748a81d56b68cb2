"""The directory of a stored data set: a card, an index of checksums, shards, and one writer at a time.

    card.json       what the networks are (`Card`)
    index.json      what is there: sizes, each array's dtype and shape, and the SHA-256 of each finished shard's parts
    shards/00000/   Orbax: a flat dict from an array's name to a part of it, the same number of networks in each shard
    lock            held by the process that writes

A shard exists once the index lists it, and the index is replaced whole, so a kill at any moment leaves what was there.
Both JSON files carry their own checksum.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from wsjax.errors import DataError, listing

CARD, INDEX, SHARDS, LOCK = "card.json", "index.json", "shards", "lock"
CHECKSUM = "checksum"
FORMAT_VERSION = 1
WAY_OUT = "Restore it from a copy, or remove the whole directory and make the data set again."


class Index(NamedTuple):
    """What a data set's directory holds.

    networks: in the whole data set; shard_networks: in each shard but the last; card: SHA-256 of the card without its
    statistics, which come last; arrays: for each its dtype on disk and the shape of one network's part; shards: for
    each finished one, by name, the SHA-256 of its `arrays` and of its `files`.
    """

    networks: int
    shard_networks: int
    card: str
    arrays: dict[str, Any]
    shards: dict[str, Any]
    format_version: int = FORMAT_VERSION

    @property
    def unfinished(self) -> list[int]:
        """The numbers of the shards that are not there yet."""
        return [i for i in range(-(-self.networks // self.shard_networks)) if shard_name(i) not in self.shards]

    @property
    def finished_networks(self) -> int:
        return self.networks - sum(self.size(i) for i in self.unfinished)

    def size(self, number: int) -> int:
        """How many networks a shard holds."""
        return min(self.shard_networks, self.networks - number * self.shard_networks)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of what the arrays and the card hold, however often the writing was stopped."""
        arrays = {name: entry["arrays"] for name, entry in self.shards.items()}
        return checksum({"card": self.card, "arrays": arrays, "networks": self.networks})


def shard_name(number: int) -> str:
    return f"{number:05d}"


def checksum(content: dict[str, Any]) -> str:
    """SHA-256 of JSON content, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a file whole or not at all, and onto the disk before this returns; it carries its own checksum.

    Raises:
        OSError: naming the file and why.
    """
    draft = path.with_name(f"{path.name}.tmp")
    try:
        with draft.open("w") as file:
            json.dump({**content, CHECKSUM: checksum(content)}, file, indent=1)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise OSError(f"{path} cannot be written: {why(error, path.parent)}. What it held before stays") from None


def read_json(path: Path) -> dict[str, Any]:
    """Read what `write_json` wrote.

    Raises:
        DataError: the file is missing, is not JSON, or was changed.
    """
    try:
        content = json.loads(path.read_text())
        found = content.pop(CHECKSUM)
    except OSError as error:
        raise DataError(
            f"{path} cannot be read: {error.strerror}; expected a directory that data.save, data.fit_dataset or "
            f"`wsjax fit` wrote"
        ) from None
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise DataError(f"{path} is damaged: {error}; expected the JSON that was written. {WAY_OUT}") from None
    if found != checksum(content):
        raise DataError(f"{path} is altered: it has SHA-256 {checksum(content)}; it states {found}. {WAY_OUT}")
    return content


def read_index(path: Path) -> Index:
    """The index of a data set's directory. Raises DataError where it is missing, damaged, or of another format."""
    content = read_json(path / INDEX)
    check_version(path / INDEX, content)
    needed, known = set(Index._fields) - set(Index._field_defaults), set(Index._fields)
    if not needed <= set(content) <= known:
        wrong = sorted(needed - set(content) | set(content) - known)
        kind = "it holds a collection: use data.load_collection" if "members" in content else WAY_OUT
        raise DataError(f"{path / INDEX} is not the index of a data set: {listing(wrong)} differ; {kind}")
    return Index(**content)


def check_version(path: Path, content: dict[str, Any]) -> None:
    """Raises DataError where a file states a format that this wsjax does not know. Before it was stated it was 1."""
    version = content.get("format_version", FORMAT_VERSION)
    if version != FORMAT_VERSION:
        raise DataError(
            f"{path} has format_version {version}; this wsjax reads {FORMAT_VERSION}: use the wsjax that wrote it"
        )


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Make a directory and hold its lock; the system releases it when the process ends, however it ends.

    Raises:
        OSError: the directory cannot be made or written, or another process holds the lock.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        file = (path / LOCK).open("a")
    except OSError as error:
        raise OSError(f"{path} cannot be written: {error.strerror}; name a directory that you may write to") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OSError(
                f"{path} is being written by another process; expected one writer: wait, or name another directory"
            ) from None
        yield


def why(error: Exception, path: Path) -> str:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    free = shutil.disk_usage(path).free if path.exists() else 0
    return f"{reason} ({free / 1e6:.1f} MB are free there)"
