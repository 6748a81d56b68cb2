"""Locks on a directory, which the system releases when a process ends, however it ends.

They are `flock`s, which Linux also keeps between the machines of a shared disk (NFS).
"""

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path

LOCK = "lock"

# How to hold one: nobody else may; others may who hold it so; nobody else may, and whoever comes later waits.
ALONE, SHARED, IN_TURN = fcntl.LOCK_EX | fcntl.LOCK_NB, fcntl.LOCK_SH | fcntl.LOCK_NB, fcntl.LOCK_EX


@contextlib.contextmanager
def locked(path: Path, name: str = LOCK, how: int = ALONE, what: str | None = None) -> Iterator[None]:
    """Make a directory and hold a lock of it.

    Args:
        path: the directory.
        name: of the lock's file there.
        how: `ALONE`, `SHARED` or `IN_TURN`.
        what: is being written while the lock is held, for the message; None says the directory.

    Raises:
        OSError: the directory cannot be made, written or locked; `BlockingIOError`: another process holds the lock.
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
