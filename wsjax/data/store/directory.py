"""The directory of a stored data set, and its JSON files.

    metadata.json       what the networks are (`Metadata`)
    index.json          what is there: sizes, each array's dtype and shape, and the SHA-256 of each finished shard
    index-1-of-4.json   the same of the shards that one of several processes wrote, until the parts are joined
    shards/00000/       Orbax: a flat dict from an array's name to a part of it, the same number of networks in each
    lock, lock-...      held by those who write

A shard exists once an index lists it, and an index is replaced in one step, so a kill at any moment leaves what was
there. The JSON files carry their own checksum.
"""

from pathlib import Path
from typing import Any

from wsjax.errors import DataError
from wsjax.storage.files import read_checked_json

METADATA, INDEX, SHARDS = "metadata.json", "index.json", "shards"
FORMAT_VERSION = 1
WAY_OUT = "Restore it from a copy, or remove the whole directory and make the data set again."


def read_stored_json(path: Path) -> dict[str, Any]:
    """A JSON file of a stored data set. Raises DataError where it is missing, is not JSON, or was changed."""
    return read_checked_json(
        path, expected="a directory that data.save, data.fit or `wsjax fit` wrote", way_out=WAY_OUT
    )


def check_version(path: Path, content: dict[str, Any]) -> None:
    """Raises DataError where a file states a format that this wsjax does not know. Before it was stated it was 1."""
    version = content.get("format_version", FORMAT_VERSION)
    if version != FORMAT_VERSION:
        raise DataError(
            f"{path} has format_version {version}; this wsjax reads {FORMAT_VERSION}: use the wsjax that wrote it"
        )
