"""The shards of a stored data set: written and read by Orbax, proved by checksums of our own.

The checksums are ours because Orbax reads most flipped bits as other numbers without a word: those of a shard's files
keep damage from reaching it, those of its arrays prove what it gave back.
"""

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from wsjax.data.store.directory import INDEX, SHARDS
from wsjax.data.store.index import Index, shard_name
from wsjax.errors import DataError, listing
from wsjax.interrupts import interrupts_held_back
from wsjax.storage.digests import digest, file_digests
from wsjax.storage.files import why, write_checked_json

SHARD_NETWORKS = 1024  # of a fit, which loses at most one shard to a kill
SHARD_BYTES = 2**24  # of a saved data set: Orbax takes some 20 ms a shard, whatever its size


def present(path: Path, index: Index) -> Index:
    """An index without the shards whose directories were removed."""
    listed = {name: entry for name, entry in index.shards.items() if (path / SHARDS / name).is_dir()}
    return index._replace(shards=listed)


def remains(path: Path, index: Index) -> list[Path]:
    """What lies beside the shards that an index lists: a kill left it half-written."""
    return sorted(entry for entry in (path / SHARDS).glob("*") if entry.name not in index.shards)


def remains_of(path: Path, index: Index, numbers: Iterable[int]) -> list[Path]:
    """What a kill left of some shards."""
    names = {shard_name(number) for number in numbers}
    # Orbax adds an ending to the name while it writes.
    return [entry for entry in remains(path, index) if entry.name.split(".")[0] in names]


def clean(entries: list[Path]) -> None:
    """Remove directories of shards."""
    for entry in entries:
        shutil.rmtree(entry, ignore_errors=True)


def write_shard(path: Path, index: Index, number: int, arrays: dict[str, np.ndarray], into: str = INDEX) -> Index:
    """Write one shard, list it in the index, and return that. Ctrl-C waits until it is listed.

    Args:
        path: the directory.
        index: what the index's file lists so far.
        number: the shard's.
        arrays: its content.
        into: the name of the index's file.

    Raises:
        OSError: the disk is full or failed; names the shard and says that earlier ones stay whole.
    """
    # An interrupted save would leave Orbax's threads at work on a directory that the next start cleans.
    with interrupts_held_back():
        entry = _write(path, index, number, arrays)
        described = {n: {"dtype": str(a.dtype), "shape": list(a.shape[1:])} for n, a in arrays.items()}
        index = index._replace(arrays=described, shards={**index.shards, shard_name(number): entry})
        write_checked_json(path / into, index._asdict())
    return index


def _write(path: Path, index: Index, number: int, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """What the index says of a shard, once it is written."""
    from wsjax.storage import orbax_calls

    name = shard_name(number)
    target = path / SHARDS / name
    try:
        orbax_calls.save(target, arrays)
    except orbax_calls.OrbaxError as error:
        for leftover in target.parent.glob(f"{name}*"):
            shutil.rmtree(leftover, ignore_errors=True)
        raise OSError(
            f"shard {name} cannot be written under {path}: {why(error, path)}. What was finished, "
            f"{index.finished_networks} of {index.networks} networks, stays whole: make room; a fit goes on from there"
        ) from None
    return {"arrays": {n: digest(a) for n, a in arrays.items()}, "files": file_digests(target)}


def read_shard(path: Path, index: Index, number: int) -> dict[str, np.ndarray]:
    """One shard's arrays, its files and each array checked against the index.

    Raises:
        DataError: the shard is missing, one of its files is missing or altered, or an array is missing, has another
            shape or dtype, or another SHA-256; shard and file or array are named.
    """
    name = shard_name(number)
    where = _existing(path, number)
    stated, files = index.shards[name], file_digests(where)
    for file, sha in stated["files"].items():
        if files.get(file) != sha:
            what = f"is altered: SHA-256 {files[file]}; expected {sha}" if file in files else "is missing; expected it"
            raise DataError(f"shard {name}: the file {where / file} {what}. {_way_out(where)}")
    return _checked(where, index, number, _from_orbax(where, None), list(index.arrays))


def read_part(path: Path, index: Index, number: int, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Some of a shard's arrays, each checked against the index, without reading the others from the disk.

    Raises:
        DataError: as `read_shard` does, but for its files.
    """
    where = _existing(path, number)
    # Orbax reads the leaves that are described and leaves out those that are `...`.
    size = index.size(number)
    described = {
        name: np.empty((size, *a["shape"]), jnp.dtype(a["dtype"])) if name in names else ...
        for name, a in index.arrays.items()
    }
    return _checked(where, index, number, _from_orbax(where, described), names)


def _existing(path: Path, number: int) -> Path:
    where = path / SHARDS / shard_name(number)
    if not where.is_dir():
        raise DataError(f"shard {where.name} is missing: {where} does not exist; the index lists it. {_way_out(where)}")
    return where


def _from_orbax(where: Path, described: dict[str, Any] | None) -> dict[str, Any]:
    from wsjax.storage import orbax_calls

    try:
        return orbax_calls.load(where, described)
    except orbax_calls.OrbaxError as error:
        raise DataError(f"shard {where.name} in {where} cannot be read: {error}. {_way_out(where)}") from None


def _checked(
    where: Path, index: Index, number: int, found: dict[str, Any], names: Sequence[str]
) -> dict[str, np.ndarray]:
    name, way_out = where.name, _way_out(where)
    wrong = sorted(set(index.arrays) ^ set(found))
    if wrong:
        raise DataError(f"shard {name} and the index do not hold the same arrays: {listing(wrong)} differ. {way_out}")
    arrays = {n: np.asarray(found[n]) for n in names}
    for array_name, array in arrays.items():
        described = index.arrays[array_name]
        expected = ((index.size(number), *described["shape"]), jnp.dtype(described["dtype"]))
        if (array.shape, array.dtype) != expected:
            raise DataError(
                f"shard {name}: {array_name} is {array.shape} {array.dtype}; expected {expected[0]} {expected[1]}. "
                f"{way_out}"
            )
        stated = index.shards[name]["arrays"][array_name]
        if digest(array) != stated:
            raise DataError(
                f"shard {name}: {array_name} is altered: SHA-256 {digest(array)}; expected {stated}. {way_out}"
            )
    return arrays


def _way_out(where: Path) -> str:
    return f"Restore it from a copy, or remove {where} and run the same fit again: it makes that shard anew"
