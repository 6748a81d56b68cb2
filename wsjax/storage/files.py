"""Text and JSON files that are written completely or not at all; JSON may carry its own checksum."""

import contextlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

from wsjax.errors import DataError
from wsjax.storage.digests import checksum

CHECKSUM = "checksum"


def write_text(path: Path, text: str) -> None:
    """Replace a file, and return once the text is on the disk; a kill leaves the old file or the new one.

    Raises:
        OSError: naming the file, why, and how much room there is.

    Example:
        >>> import tempfile
        >>> write_text(path := Path(tempfile.mkdtemp()) / "note.txt", "one line\\n")
        >>> path.read_text(encoding="utf-8")
        'one line\\n'
    """
    draft = path.with_name(f"{path.name}.tmp")
    try:
        with draft.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
        raise OSError(
            f"{path} cannot be written: {why(error, path.parent)}; name a place that you may write to, or make room. "
            f"What the file held before stays"
        ) from None


def write_json(path: Path, content: Any) -> None:
    """Write plain JSON, for other programs to read, as `write_text` writes."""
    write_text(path, json.dumps(content, indent=2) + "\n")


def read_json(path: Path) -> Any:
    """Read what `write_json` wrote.

    Raises:
        DataError: the file is missing or is not JSON; it is named.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}; expected JSON that wsjax wrote") from None
    except ValueError as error:
        raise DataError(
            f"{path} is damaged: {error}; expected JSON. Remove it: the same command makes it anew"
        ) from None


def write_checked_json(path: Path, content: dict[str, Any]) -> None:
    """Write JSON that carries its own checksum, as `write_text` writes."""
    write_text(path, json.dumps({**content, CHECKSUM: checksum(content)}, indent=1) + "\n")


def read_checked_json(path: Path, *, expected: str, way_out: str) -> dict[str, Any]:
    """Read what `write_checked_json` wrote.

    Args:
        path: the file.
        expected: what should be there, and who writes it, for the message where the file cannot be read.
        way_out: what to do, for the message where it was changed.

    Raises:
        DataError: the file is missing, is not JSON, or was changed.

    Example:
        >>> import tempfile
        >>> write_checked_json(path := Path(tempfile.mkdtemp()) / "a.json", {"size": 3})
        >>> read_checked_json(path, expected="a note", way_out="Write it again.")
        {'size': 3}
        >>> _ = path.write_text(path.read_text().replace("3", "4"))
        >>> read_checked_json(path, expected="a note", way_out="Write it again.")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        wsjax.errors.DataError: ...a.json is altered: it has SHA-256 ...; it states ... Write it again.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        found = content.pop(CHECKSUM)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}; expected {expected}") from None
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise DataError(f"{path} is damaged: {error}; expected the JSON that was written. {way_out}") from None
    if found != checksum(content):
        raise DataError(f"{path} is altered: it has SHA-256 {checksum(content)}; it states {found}. {way_out}")
    return content


def why(error: Exception, path: Path) -> str:
    """The reason of a failed write, with the free space of the disk that holds `path`."""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    try:
        free = shutil.disk_usage(path).free
    except OSError:
        return reason
    return f"{reason} ({free / 1e6:.1f} MB are free there)"
