"""Arrays of npz, npy and HDF5 files. Unpacked sizes are read from the headers before."""

import math
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from wsjax.data.optional import require
from wsjax.errors import DataError, listing

MAX_BYTES = 1 << 30
"""The largest file of one network, and the largest that it may unpack to."""
MAX_MEMBERS = 10_000
MAX_HEADER = 10_000
MAX_EXPANSION = 20
"""How many times its own size a compressed file may unpack to; weights hardly compress at all."""
SMALL_BYTES = 1 << 20
"""What may expand freely: even zeros."""


def damaged(path: object, kind: str, error: object) -> DataError:
    """The error for a file that is cut short or altered."""
    return DataError(f"{path} is no whole {kind} ({error}). Put a whole copy in its place.")


def check_size(path: Path) -> int:
    """The size of a regular file; raises DataError where there is none, or it is above `MAX_BYTES`."""
    if not path.is_file():
        raise DataError(f"{path} is no file; expected the weights of one network")
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise DataError(f"{path} holds {size} bytes; expected at most {MAX_BYTES} for one network: it is refused")
    return size


def zip_members(path: Path, *, stored: bool) -> list[zipfile.ZipInfo]:
    """The directory of a zip archive, whose members must be uncompressed if `stored`, as PyTorch writes them.

    Raises DataError for more bytes than the file has (stored), or than `MAX_EXPANSION` times as many (compressed).
    """
    size = check_size(path)
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise damaged(path, "zip archive", error) from None
    if len(members) > MAX_MEMBERS:
        raise DataError(f"{path} has {len(members)} members; expected at most {MAX_MEMBERS}: it is refused")
    packed = [m.filename for m in members if m.compress_type != zipfile.ZIP_STORED]
    if stored and packed:
        raise DataError(f"{path} holds {packed[0]} compressed; expected it stored, as torch.save does: it is refused")
    total = sum(m.file_size for m in members)
    limit = size if stored else min(MAX_BYTES, max(SMALL_BYTES, MAX_EXPANSION * size))
    if total > limit:
        found = f"{path} holds {size} bytes and would unpack to {total}"
        raise DataError(f"{found}; expected at most {limit}: it is refused")
    return members


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an npz file; raises DataError for a damaged one, for objects, and for shapes that data lacks."""
    arrays = {}
    members = zip_members(path, stored=False)
    try:
        with zipfile.ZipFile(path) as archive:
            for member in members:
                with archive.open(member) as file:
                    _check_header(file, member.file_size, f"{path}: {member.filename}")
                    file.seek(0)
                    arrays[member.filename.removesuffix(".npy")] = npy.read_array(file, allow_pickle=False)
    except DataError:
        raise
    except Exception as error:  # zipfile and zlib raise many kinds for a damaged archive
        raise damaged(path, "npz file", error) from None
    return arrays


def check_npz(name: str, arrays: list[np.ndarray]) -> None:
    """Raise ValueError where an npz cannot hold a data set's arrays: bfloat16, or more than `read_npz` takes."""
    foreign = sorted({array.dtype.name for array in arrays if array.dtype.kind == "V"})
    size = sum(array.nbytes for array in arrays)
    if foreign or size > MAX_BYTES:
        what = f"weights in {listing(foreign)}" if foreign else f"{size} bytes"
        raise ValueError(f"{name} has {what}, which an npz here cannot hold: take safetensors")


def map_npy(path: Path) -> np.ndarray:
    """An `.npy` file of any size, mapped into memory read-only; raises DataError as `read_npz`."""
    if not path.is_file():
        raise DataError(f"{path} is no file; expected an array as numpy.save writes it")
    with path.open("rb") as file:
        try:
            _check_header(file, path.stat().st_size, str(path))
        except DataError:
            raise
        except (ValueError, EOFError) as error:
            raise damaged(path, "npy file", error) from None
    return np.load(path, mmap_mode="r", allow_pickle=False)


def _check_header(file: Any, size: int, where: str) -> None:
    version = npy.read_magic(file)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = read(file, max_header_size=MAX_HEADER)
    if dtype.hasobject:
        raise DataError(f"{where} holds Python objects; expected numbers: it is refused")
    expected = math.prod(shape) * dtype.itemsize
    if size - file.tell() != expected:
        raise DataError(f"{where} has {size - file.tell()} bytes of data; its header {shape} {dtype} needs {expected}")


@contextmanager
def open_hdf5(path: Path) -> Iterator[Any]:
    """An HDF5 file for reading."""
    try:
        file = require("h5py", str(path)).File(path, "r")
    except OSError as error:
        raise damaged(path, "HDF5 file", error) from None
    with file:
        yield file


def hdf5_array(file: Any, name: str) -> np.ndarray:
    """A numeric array that lies in an open HDF5 file itself, no larger than that file can hold."""
    dataset, path = _hdf5_dataset(file, name), file.filename
    if dataset.dtype.kind not in "iuf":
        raise DataError(f"{path}: {name} holds {dataset.dtype}; expected numbers")
    size = Path(path).stat().st_size
    if dataset.nbytes > max(SMALL_BYTES, MAX_EXPANSION * size):
        found = f"{path}: {name} has shape {dataset.shape}, {dataset.nbytes} bytes, in a file of {size}"
        raise DataError(f"{found}; expected at most {MAX_EXPANSION} times the file: refused")
    try:
        return dataset[...]
    except OSError as error:
        raise damaged(path, "HDF5 file", f"{name}: {error}") from None


def hdf5_text(file: Any, name: str) -> str:
    """The one text in a dataset of an open HDF5 file."""
    dataset, path = _hdf5_dataset(file, name), file.filename
    if dataset.size != 1 or require("h5py", path).check_string_dtype(dataset.dtype) is None:
        raise DataError(f"{path}: {name} holds {dataset.shape} {dataset.dtype}; expected one text")
    try:
        return dataset.asstr()[...].item()
    except (OSError, UnicodeDecodeError) as error:
        raise damaged(path, "HDF5 file", f"{name}: {error}") from None


def _hdf5_dataset(file: Any, name: str) -> Any:
    h5py, path = require("h5py", file.filename), file.filename
    if name not in file.keys():  # noqa: SIM118 (a link whose target is missing is a key, but not `in` the file)
        raise DataError(f"{path} holds {listing(file)}; expected {name!r} among them")
    link = file.get(name, getlink=True)
    if not isinstance(link, h5py.HardLink):
        raise DataError(f"{path}: {name} is a {type(link).__name__}; expected the data itself: refused")
    dataset = file[name]
    if not isinstance(dataset, h5py.Dataset) or dataset.is_virtual or dataset.external:
        raise DataError(f"{path}: {name} is no array stored in this file; expected one: refused")
    return dataset
