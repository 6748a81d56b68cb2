"""IDX, the file format of MNIST and its kin: a big-endian header, then unsigned bytes."""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from wsjax.errors import DataError

UNSIGNED_BYTE = 0x08


def read_idx(path: str | Path, dimensions: int) -> np.ndarray:
    """An IDX file of unsigned bytes, plain or gzipped (recognized by its first two bytes), as a uint8 array.

    The header is two zero bytes, the type 0x08, the number of dimensions, and each dimension as a big-endian uint32.

    Args:
        path: the file.
        dimensions: how many it must have: 3 for images, 1 for labels.

    Raises:
        DataError: an empty, cut-off or damaged file, or one of another type: the file is named, with the bytes
            found and the bytes expected.

    Source: the header as described on the page of MNIST (LeCun, Cortes, Burges).

    Example:
        >>> import pathlib, tempfile
        >>> file = pathlib.Path(tempfile.mkdtemp(), "labels")
        >>> _ = file.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 2, 7, 9]))
        >>> read_idx(file, 1).tolist()
        [7, 9]
    """
    content = _content(Path(path))
    start = 4 + 4 * dimensions
    if len(content) < start:
        raise DataError(
            f"{path} holds {len(content)} bytes; expected an IDX header of {start} bytes and data. {_way_out(path)}"
        )
    expected = bytes([0, 0, UNSIGNED_BYTE, dimensions])
    if content[:4] != expected:
        raise DataError(
            f"{path} begins with bytes {content[:4].hex(' ')}; expected {expected.hex(' ')}, an IDX file of unsigned "
            f"bytes in {dimensions} dimensions. {_way_out(path)}"
        )
    shape = struct.unpack(f">{dimensions}I", content[4:start])
    size = math.prod(shape)
    if len(content) != start + size:
        raise DataError(
            f"{path} holds {len(content)} bytes; expected {start + size} for the shape {shape} in its header. "
            f"{_way_out(path)}"
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def _content(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}; expected an IDX file. {_way_out(path)}") from None
    if content[:2] != b"\x1f\x8b":
        return content
    try:
        return gzip.decompress(content)
    except (EOFError, OSError, zlib.error) as error:
        raise DataError(
            f"{path} holds {len(content)} bytes of a damaged or cut-off gzip file ({error}); expected a whole one. "
            f"{_way_out(path)}"
        ) from None


def _way_out(path: str | Path) -> str:
    return f"Remove {Path(path).name} and put a whole copy in its place."
