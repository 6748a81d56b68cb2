"""Sizes before contents: what a zip archive may hold is read from its directory, and npz arrays from their headers."""

import math
import zipfile
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from wsjax.errors import DataError

MAX_BYTES = 1 << 30
"""The largest file of one network, and the largest that it may unpack to."""

MAX_MEMBERS = 10_000
MAX_HEADER = 10_000
MAX_EXPANSION = 20
"""How many times its own size a compressed file may unpack to; weights hardly compress at all."""

SMALL_BYTES = 1 << 20
"""What may expand freely: even zeros."""


def check_size(path: Path) -> int:
    """The size of a regular file.

    Raises:
        DataError: no such file, or one above `MAX_BYTES`.
    """
    if not path.is_file():
        raise DataError(f"{path} is no file; expected the weights of one network")
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise DataError(f"{path} holds {size} bytes; expected at most {MAX_BYTES} for one network: it is refused")
    return size


def zip_members(path: Path, *, stored: bool) -> list[zipfile.ZipInfo]:
    """The directory of a zip archive, after a check of what it would unpack to.

    Args:
        path: the archive.
        stored: members must lie there uncompressed, as PyTorch writes them.

    Raises:
        DataError: no zip archive, too many members, compressed ones where none may be, or more than the file's own
            size (stored) or `MAX_EXPANSION` times it (compressed).
    """
    size = check_size(path)
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise DataError(f"{path} is no whole zip archive ({error}). Put a whole copy in its place.") from None
    if len(members) > MAX_MEMBERS:
        raise DataError(f"{path} has {len(members)} members; expected at most {MAX_MEMBERS}: it is refused")
    packed = [m.filename for m in members if m.compress_type != zipfile.ZIP_STORED]
    if stored and packed:
        raise DataError(f"{path} holds {packed[0]} compressed; expected it stored, as torch.save does: it is refused")
    total = sum(m.file_size for m in members)
    limit = size if stored else min(MAX_BYTES, max(SMALL_BYTES, MAX_EXPANSION * size))
    if total > limit:
        raise DataError(
            f"{path} holds {size} bytes and would unpack to {total}; expected at most {limit}: it is refused"
        )
    return members


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an npz file.

    Raises:
        DataError: a damaged file, an array of Python objects, or a header whose shape is not that of its data.
    """
    arrays = {}
    members = zip_members(path, stored=False)
    try:
        with zipfile.ZipFile(path) as archive:
            for member in members:
                with archive.open(member) as file:
                    _check_header(file, member.file_size, f"{path}: {member.filename}")
                with archive.open(member) as file:
                    arrays[member.filename.removesuffix(".npy")] = npy.read_array(file, allow_pickle=False)
    except DataError:
        raise
    except Exception as error:  # zipfile and zlib raise many kinds for a damaged archive
        raise DataError(f"{path} is no whole npz file ({error}). Put a whole copy in its place.") from None
    return arrays


def map_npy(path: Path) -> np.ndarray:
    """An `.npy` file of any size, mapped into memory read-only.

    Raises:
        DataError: no such file, an array of Python objects, or a header whose shape is not that of its data.
    """
    if not path.is_file():
        raise DataError(f"{path} is no file; expected an array as numpy.save writes it")
    with path.open("rb") as file:
        try:
            _check_header(file, path.stat().st_size, str(path))
        except (ValueError, EOFError) as error:
            raise DataError(f"{path} is no whole npy file ({error}). Put a whole copy in its place.") from None
    return np.load(path, mmap_mode="r", allow_pickle=False)


def _check_header(file, size: int, where: str) -> None:
    version = npy.read_magic(file)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = read(file, max_header_size=MAX_HEADER)
    if dtype.hasobject:
        raise DataError(f"{where} holds Python objects; expected numbers: it is refused")
    expected = math.prod(shape) * dtype.itemsize
    if size - file.tell() != expected:
        raise DataError(f"{where} has {size - file.tell()} bytes of data; its header {shape} {dtype} needs {expected}")
