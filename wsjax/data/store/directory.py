"""The directory of a stored data set, and its JSON files.

    card.json           what the networks are (`Card`)
    index.json          what is there: sizes, each array's dtype and shape, and the SHA-256 of each finished shard
    index-1-of-4.json   the same of the shards that one of several processes made, until the parts are joined
    shards/00000/       Orbax: a flat dict from an array's name to a part of it, the same number of networks in each
    lock, lock-...      held by those who write

A shard exists once an index lists it, and an index is replaced whole, so a kill at any moment leaves what was there.
The JSON files carry their own checksum.
"""

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

from wsjax.errors import DataError

CARD, INDEX, SHARDS, LOCK = "card.json", "index.json", "shards", "lock"
CHECKSUM = "checksum"
FORMAT_VERSION = 1
WAY_OUT = "Restore it from a copy, or remove the whole directory and make the data set again."


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
        with draft.open("w", encoding="utf-8") as file:
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
        content = json.loads(path.read_text(encoding="utf-8"))
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


def check_version(path: Path, content: dict[str, Any]) -> None:
    """Raises DataError where a file states a format that this wsjax does not know. Before it was stated it was 1."""
    version = content.get("format_version", FORMAT_VERSION)
    if version != FORMAT_VERSION:
        raise DataError(
            f"{path} has format_version {version}; this wsjax reads {FORMAT_VERSION}: use the wsjax that wrote it"
        )


def why(error: Exception, path: Path) -> str:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    free = shutil.disk_usage(path).free if path.exists() else 0
    return f"{reason} ({free / 1e6:.1f} MB are free there)"
