"""SHA-256 of JSON content, of arrays, and of the files of a directory."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np


def checksum(content: dict[str, Any]) -> str:
    """SHA-256 of JSON content, whatever the order of its keys.

    Example:
        >>> checksum({"a": 1, "b": 2}) == checksum({"b": 2, "a": 1})
        True
    """
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def digest(array: np.ndarray) -> str:
    """SHA-256 of an array's dtype, shape and bytes.

    Example:
        >>> import numpy as np
        >>> digest(np.zeros(2, np.float32)) == digest(np.zeros(2, np.int32))
        False
    """
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
