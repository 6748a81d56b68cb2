"""Weight data sets on disk: save and load."""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.typing import DTypeLike

from wsjax.data.dataset import WeightDataset, check_numbers
from wsjax.data.metadata import Metadata, settings_of
from wsjax.data.store import shards
from wsjax.data.store.index import INDEX, METADATA, PART_INDICES, WAY_OUT, Index, read_index, read_stored_json
from wsjax.data.store.parts import PART_LOCKS, PARTS_LOCK, way_on
from wsjax.errors import DataError, check_finite, check_number, check_shape, leaf_names, listing
from wsjax.storage.files import LOCK, checksum, locked, write_checked_json

COLUMN = "columns."
READERS = 3


def save(
    dataset: WeightDataset, path: str | Path, dtype: DTypeLike | None = None, *, shard_networks: int | None = None
) -> None:
    """Write a data set to a new directory, in shards.

    Args:
        dataset, path: the networks, and where.
        dtype: of floating-point weights on disk, as `WeightDataset.astype` takes it; None keeps every bit.
        shard_networks: networks in each shard, the unit of reading; None makes shards of 16 MB.

    Raises:
        ValueError: no networks, another dtype, a directory that holds something, or a container that a file cannot
            bring back; of these a DataError: a weight or label that is not finite, or a weight not in `dtype`.
        OSError: the directory cannot be written, or the disk is full.

    Example:
        `networks` is a data set of 40 SIRENs.

        >>> import tempfile
        >>> save(networks, path := tempfile.mkdtemp())
        >>> load(path)
        WeightDataset('digits', 40 networks: 24 train, 7 validation, 9 test)
    """
    if not len(dataset):
        raise ValueError(f"the data set {dataset.metadata.name} has no networks; expected at least one to save")
    check_numbers(dataset, "saving")
    if dtype is not None:
        dataset = dataset.astype(dtype)
    arrays = jax.tree.leaves((dataset.weights, dataset.label, dataset.columns))
    size = sum(x.dtype.itemsize * int(np.prod(x.shape[1:])) for x in arrays)  # bytes of one network
    each = max(1, shards.SHARD_BYTES // size) if shard_networks is None else shard_networks
    check_number("shard_networks", each, low=1, integer=True)
    each = int(each)  # JSON has no numbers of NumPy's
    if not dataset.metadata.statistics:
        dataset = dataset.with_statistics()
    target, metadata = absolute_path(path), dataset.metadata.to_json()
    with locked(target):
        check_free(target)
        index = new_index(target, len(dataset), each, metadata)
        for number in index.unfinished:
            start = number * index.shard_networks
            part = dataset.take(np.arange(start, start + index.size(number)))
            index = shards.write_shard(target, index, number, as_arrays(part.weights, part.label, part.columns))


def load(path: str | Path) -> WeightDataset:
    """Read a data set, every array checked against the metadata and against its SHA-256.

    Raises:
        DataError: `path` holds no data set, or an unfinished one; a file, shard or array, which is named, is missing,
            altered or of another shape or dtype; a number is not finite.

    Example:
        `networks` is a data set of 40 SIRENs.

        >>> import tempfile
        >>> save(networks, path := tempfile.mkdtemp())
        >>> len(load(path))
        40
    """
    target = absolute_path(path)
    return read_dataset(target, *read_metadata(target))


def described(path: Path) -> tuple[Index, Metadata]:
    """The index and the metadata of a data set, also of an unfinished one."""
    return read_index(path), Metadata.from_json(read_stored_json(path / METADATA))


def read_metadata(path: Path) -> tuple[Index, Metadata]:
    """The index and the metadata of a whole data set; raises DataError where it is unfinished, or one is damaged."""
    index, metadata = described(path)
    if index.unfinished or not metadata.statistics:
        raise DataError(unfinished(path, index, metadata))
    return index, metadata


def unfinished(path: Path, index: Index, metadata: Metadata) -> str:
    """What there is of a data set that is not whole, and the remedy."""
    again = "remove the directory and save the data set again"
    if metadata.recipe:
        # A fit writes the statistics last, and `save` has them from the start; but a fit may remake a lost shard.
        again = "run the same fit again" + (f", or {again}" if metadata.statistics else "")
    way_out = way_on(path, index) or f"to go on, {again}"
    return f"{path} is unfinished: {index.finished_networks} of {index.networks} networks are there; {way_out}"


def new_index(path: Path, networks: int, shard_networks: int, metadata: dict[str, Any], into: str = INDEX) -> Index:
    """Write a new data set's metadata and its index, which lists no shard yet, in the file of some name."""
    index = Index(networks, shard_networks, checksum(settings_of(metadata)), {}, {})
    write_checked_json(path / METADATA, metadata)
    write_checked_json(path / into, index._asdict())
    return index


def absolute_path(path: str | Path) -> Path:
    """A path as Orbax takes it. Raises OSError for a name that it cannot be given, as Python took it for no text."""
    found = Path(path).expanduser().resolve()
    try:
        str(found).encode()
    except UnicodeEncodeError:
        encoding = sys.getfilesystemencoding()
        raise OSError(
            f"{str(found)!a} has letters that are not in the encoding of file names here ({encoding}); set "
            f"PYTHONUTF8=1, or name a directory in plain letters"
        ) from None
    return found


def is_free(path: Path) -> bool:
    """Whether a directory holds nothing, or no more than a start that was killed leaves."""
    own = {LOCK, METADATA, f"{METADATA}.tmp", f"{INDEX}.tmp", PARTS_LOCK}
    patterns = (PART_LOCKS, f"{PART_INDICES}.tmp")
    return all(entry.name in own or any(map(entry.match, patterns)) for entry in path.glob("*"))


def check_free(path: Path) -> None:
    """Raise ValueError where a directory is not free for something new."""
    if not is_free(path):
        raise ValueError(f"{path} is not empty; expected a new directory: name another one, or remove it")


def as_arrays(weights: Any, label: np.ndarray, columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A data set as the flat dict that shards hold."""
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(weights)]
    named = dict(zip(leaf_names(weights), leaves, strict=True))
    return {**named, "label": np.asarray(label), **{COLUMN + name: np.asarray(c) for name, c in columns.items()}}


def check_metadata(path: Path, index: Index, metadata: Metadata) -> None:
    """Raises DataError where an index lists other arrays than the metadata needs, or belongs to other metadata."""
    names, sizes = metadata.symmetry.names, metadata.symmetry.shapes
    columns = [name for name in index.arrays if name.startswith(COLUMN)]
    if wrong := sorted({*names, "label", *columns} ^ set(index.arrays)):
        raise DataError(f"{path}: metadata and arrays do not belong together: {listing(wrong)} differ. {WAY_OUT}")
    for name, shape in zip(names, sizes, strict=True):
        try:
            check_shape(name, tuple(index.arrays[name]["shape"]), shape, "the metadata")
        except ValueError as error:
            raise DataError(f"{path}: metadata and arrays do not belong together: {error}") from None
    if checksum(metadata.settings) != index.metadata:
        raise DataError(f"{path}: {METADATA} is not the metadata that {INDEX} was written with. {WAY_OUT}")


def read_dataset(path: Path, index: Index, metadata: Metadata) -> WeightDataset:
    """A whole data set, metadata against arrays and arrays against checksums; raises as `load` does."""
    check_metadata(path, index, metadata)
    arrays = {name: np.empty(*kind) for name, kind in index.kinds(index.networks).items()}

    def copy(number: int) -> None:
        start = number * index.shard_networks
        for name, array in shards.read_shard(path, index, number).items():
            arrays[name][start : start + len(array)] = array

    # While Orbax reads one shard, others are hashed and copied.
    with ThreadPoolExecutor(READERS) as pool:
        list(pool.map(copy, range(len(index.shards))))
    return from_arrays(path, metadata, arrays)


def from_arrays(path: Path | str, metadata: Metadata, arrays: dict[str, np.ndarray]) -> WeightDataset:
    """The data set of which `as_arrays` made these arrays. Raises DataError where a number is not finite."""
    weights = metadata.symmetry.unflatten([arrays[name] for name in metadata.symmetry.names])
    check_finite(weights, f"loading {path}", WAY_OUT)
    columns = {name.removeprefix(COLUMN): array for name, array in arrays.items() if name.startswith(COLUMN)}
    return WeightDataset(weights, arrays["label"], columns, metadata)
