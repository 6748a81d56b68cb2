"""Files written completely or not at all: text, JSON with its own checksum, digests, and locks on directories."""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from wsjax.errors import DataError

CHECKSUM = "checksum"
LOCK = "lock"
ALONE, SHARED, IN_TURN = fcntl.LOCK_EX | fcntl.LOCK_NB, fcntl.LOCK_SH | fcntl.LOCK_NB, fcntl.LOCK_EX
"""How to hold a lock: by one process; by several that all hold it so; by one, and whoever comes later waits."""


def checksum(content: dict[str, Any]) -> str:
    """SHA-256 of JSON content, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def digest(array: np.ndarray) -> str:
    """SHA-256 of an array's dtype, shape and bytes."""
    sha = hashlib.sha256(f"{array.dtype} {array.shape} ".encode())
    sha.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return sha.hexdigest()


def file_digests(directory: Path) -> dict[str, str]:
    """SHA-256 of each file under a directory, by its path there."""
    found = {}
    for path in sorted(p for p in directory.rglob("*") if p.is_file()):
        with path.open("rb") as file:
            found[path.relative_to(directory).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def write_text(path: Path, text: str) -> None:
    """Replace a file, and return once the text is on the disk; a kill leaves the old file or the new one.

    An OSError names the file, why, and how much room there is.
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
    """Read what `write_json` wrote. Raises DataError where the file is missing or is not JSON."""
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
    """Read what `write_checked_json` wrote. Raises DataError where it is missing, is not JSON, or was changed.

    The messages say what should be there and who writes it (`expected`), and what to do where it was changed.
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


@contextlib.contextmanager
def locked(path: Path, name: str = LOCK, how: int = ALONE, what: str | None = None) -> Iterator[None]:
    """Make a directory and hold a lock of it, a file there of that name; the system releases it when a process ends.

    It is a `flock`, which Linux also keeps between the machines of a shared disk (NFS). A BlockingIOError says that
    another process holds it while `what` is written, an OSError that the directory cannot be made, written or locked.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        # To read and to write: over NFS a shared lock needs the one, a lone one the other.
        file = (path / name).open("ab+")
    except OSError as error:
        raise OSError(f"{path} cannot be written: {error.strerror}; name a directory that you may write to") from None
    with file:
        try:
            fcntl.flock(file, how)
        except BlockingIOError:
            raise BlockingIOError(
                f"{what or path} is being written by another process; expected one writer: wait, or name another "
                f"directory"
            ) from None
        except OSError as error:
            raise OSError(f"{path} cannot be locked: {error.strerror}; name a directory on a disk with locks") from None
        yield


def is_held(path: Path, name: str) -> bool:
    """Whether a process holds a lock."""
    try:
        with (path / name).open("rb") as file:
            fcntl.flock(file, SHARED)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False
