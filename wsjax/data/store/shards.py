"""The shards of a stored data set: written and read by Orbax, proved by checksums of our own.

The checksums are ours because Orbax reads most flipped bits as other numbers without an error: those of a shard's files
keep damage from reaching it, those of its arrays prove what it gave back.
"""

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from wsjax.data.store.index import INDEX, SHARDS, Index, shard_name
from wsjax.errors import DataError, listing
from wsjax.interrupts import interrupts_held_back
from wsjax.storage.files import digest, file_digests, why, write_checked_json

SHARD_NETWORKS = 1024  # of a fit, which loses at most one shard to a kill
SHARD_BYTES = 2**24  # of a saved data set: Orbax takes some 20 ms a shard, whatever its size


def present(path: Path, index: Index) -> Index:
    """An index without the shards whose directories were removed."""
    listed = {name: entry for name, entry in index.shards.items() if (path / SHARDS / name).is_dir()}
    return index._replace(shards=listed)


def remains(path: Path, index: Index) -> list[Path]:
    """What lies beside the shards that an index lists: a kill left it half-written."""
    return sorted(entry for entry in (path / SHARDS).glob("*") if entry.name not in index.shards)


def remove_remains(path: Path, index: Index, numbers: Iterable[int] | None = None) -> None:
    """Remove what a kill left of some shards, or of all."""
    names = None if numbers is None else {shard_name(number) for number in numbers}
    for entry in remains(path, index):
        if names is None or entry.name.split(".")[0] in names:  # Orbax adds an ending to the name while it writes
            shutil.rmtree(entry, ignore_errors=True)


def write_shard(path: Path, index: Index, number: int, arrays: dict[str, np.ndarray], into: str = INDEX) -> Index:
    """Write one shard, list it in the index in the file `into`, and return that. Ctrl-C waits until it is listed.

    Raises OSError where the disk is full or failed; it names the shard and says that earlier ones stay whole.
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


def read_shard(path: Path, index: Index, number: int, names: Sequence[str] | None = None) -> dict[str, np.ndarray]:
    """One shard's arrays, or only those of some names, for which neither the others nor the files' digests are read.

    Raises DataError where the shard, a file or an array is not what the index says; each is named.
    """
    name = shard_name(number)
    where = path / SHARDS / name
    if not where.is_dir():
        raise DataError(f"shard {name} is missing: {where} does not exist; the index lists it. {_way_out(where)}")
    kinds, stated, described = index.kinds(index.size(number)), index.shards[name], None
    if names is None:
        files = file_digests(where)
        for file, sha in stated["files"].items():
            if files.get(file) != sha:
                what = f"altered: SHA-256 {files[file]}; expected {sha}" if file in files else "missing; expected it"
                raise DataError(f"shard {name}: the file {where / file} is {what}. {_way_out(where)}")
    else:
        # Orbax reads the leaves that are described and leaves out those that are `...`.
        described = {n: np.empty(*kind) if n in names else ... for n, kind in kinds.items()}
    found = _from_orbax(where, described)
    if wrong := sorted(set(index.arrays) ^ set(found)):
        raise DataError(
            f"shard {name} and the index do not hold the same arrays: {listing(wrong)} differ. {_way_out(where)}"
        )
    arrays = {n: np.asarray(found[n]) for n in names or index.arrays}
    for array_name, array in arrays.items():
        (shape, dtype), sha, wrong = kinds[array_name], stated["arrays"][array_name], None
        if (array.shape, array.dtype) != (shape, dtype):
            wrong = f"{array.shape} {array.dtype}; expected {shape} {dtype}"
        elif digest(array) != sha:
            wrong = f"altered: SHA-256 {digest(array)}; expected {sha}"
        if wrong:
            raise DataError(f"shard {name}: {array_name} is {wrong}. {_way_out(where)}")
    return arrays


def _from_orbax(where: Path, described: dict[str, Any] | None) -> dict[str, Any]:
    from wsjax.storage import orbax_calls

    try:
        return orbax_calls.load(where, described)
    except orbax_calls.OrbaxError as error:
        raise DataError(f"shard {where.name} in {where} cannot be read: {error}. {_way_out(where)}") from None


def _way_out(where: Path) -> str:
    return f"Restore it from a copy, or remove {where} and run the same fit again: it makes that shard anew"
