"""HDF5 files, as arrays that lie in the file itself: no links, no other files, no more than the file can hold."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from wsjax.data.formats.archive import MAX_EXPANSION, SMALL_BYTES
from wsjax.data.optional import require
from wsjax.errors import DataError, listing


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """An HDF5 file for reading; raises DataError where it is none."""
    h5py = require("h5py", str(path))
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise DataError(f"{path} is no whole HDF5 file ({error}). Put a whole copy in its place.") from None
    with file:
        yield file


def read_array(file: Any, name: str, path: Path) -> np.ndarray:
    """A numeric array of an open file.

    Raises:
        DataError: it is missing, a link, a view of other files, no numbers, or larger than the file can hold.
    """
    dataset = _dataset(file, name, path)
    if dataset.dtype.kind not in "iuf":
        raise DataError(f"{path}: {name} holds {dataset.dtype}; expected numbers")
    size = path.stat().st_size
    if dataset.nbytes > max(SMALL_BYTES, MAX_EXPANSION * size):
        raise DataError(
            f"{path}: {name} has shape {dataset.shape}, {dataset.nbytes} bytes, in a file of {size}; expected at most "
            f"{MAX_EXPANSION} times the file: refused"
        )
    try:
        return dataset[...]
    except OSError as error:
        raise DataError(f"{path}: {name} cannot be read ({error}). Put a whole copy in its place.") from None


def read_text(file: Any, name: str, path: Path) -> str:
    """The one text in a dataset of an open file; raises DataError where it is none."""
    dataset = _dataset(file, name, path)
    if dataset.size != 1 or require("h5py", str(path)).check_string_dtype(dataset.dtype) is None:
        raise DataError(f"{path}: {name} holds {dataset.shape} {dataset.dtype}; expected one text")
    try:
        return dataset.asstr()[...].item()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: {name} cannot be read ({error}). Put a whole copy in its place.") from None


def _dataset(file: Any, name: str, path: Path) -> Any:
    h5py = require("h5py", str(path))
    if name not in file.keys():  # noqa: SIM118 (a link whose target is missing is a key, but not `in` the file)
        raise DataError(f"{path} holds {listing(file)}; expected {name!r} among them")
    link = file.get(name, getlink=True)
    if not isinstance(link, h5py.HardLink):
        raise DataError(f"{path}: {name} is a {type(link).__name__}; expected the data itself: refused")
    dataset = file[name]
    if not isinstance(dataset, h5py.Dataset) or dataset.is_virtual or dataset.external:
        raise DataError(f"{path}: {name} is no array stored in this file; expected one: refused")
    return dataset
