"""The shards of a stored data set: written and read by Orbax, proved by checksums of our own.

The checksums are ours because Orbax reads most flipped bits as other numbers without a word: those of a shard's files
keep damage from reaching it, those of its arrays prove what it gave back.
"""

import errno
import gc
import hashlib
import logging
import os
import shutil
import sys
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import jax.numpy as jnp
import numpy as np
from orbax.checkpoint import v1 as ocp

from wsjax.data.directory import CARD as CARD
from wsjax.data.directory import CHECKSUM as CHECKSUM
from wsjax.data.directory import INDEX as INDEX
from wsjax.data.directory import LOCK as LOCK
from wsjax.data.directory import SHARDS as SHARDS
from wsjax.data.directory import WAY_OUT as WAY_OUT
from wsjax.data.directory import Index as Index
from wsjax.data.directory import checksum as checksum
from wsjax.data.directory import locked as locked
from wsjax.data.directory import read_index as read_index
from wsjax.data.directory import read_json as read_json
from wsjax.data.directory import shard_name as shard_name
from wsjax.data.directory import why as why
from wsjax.data.directory import write_json as write_json
from wsjax.errors import DataError, listing
from wsjax.interrupts import interrupts_held_back

SHARD_NETWORKS = 1024  # of a fit, which loses at most one shard to a kill
SHARD_BYTES = 2**24  # of a saved data set: Orbax takes some 20 ms a shard, whatever its size
SETTLE_SECONDS = 0.2  # for the writes of a save that failed to end
T = TypeVar("T")
_ORBAX = threading.Lock()


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


def clean(path: Path, index: Index) -> Index:
    """Remove what a kill left half-written, and forget listed shards whose directories were removed."""
    listed = {name: entry for name, entry in index.shards.items() if (path / SHARDS / name).is_dir()}
    for entry in (path / SHARDS).glob("*"):
        if entry.name not in listed:
            shutil.rmtree(entry, ignore_errors=True)
    return index._replace(shards=listed)


def write_shard(path: Path, index: Index, number: int, arrays: dict[str, np.ndarray]) -> Index:
    """Write one shard, list it in the index, and return that. Ctrl-C waits until it is listed.

    Raises:
        OSError: the disk is full or failed; names the shard and says that earlier ones stay whole.
    """
    # An interrupted save would leave Orbax's threads at work on a directory that the next start cleans.
    with interrupts_held_back():
        entry = _write(path, index, number, arrays)
        described = {n: {"dtype": str(a.dtype), "shape": list(a.shape[1:])} for n, a in arrays.items()}
        index = index._replace(arrays=described, shards={**index.shards, shard_name(number): entry})
        write_json(path / INDEX, index._asdict())
    return index


def _write(path: Path, index: Index, number: int, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """What the index says of a shard, once it is written."""
    name = shard_name(number)
    target = path / SHARDS / name
    try:
        with _uncompressed():
            _quietly(lambda: ocp.save(str(target), arrays))
    except _OrbaxError as error:
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
    try:
        return _quietly(lambda: ocp.load(str(where), described))
    except _OrbaxError as error:
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


class _OrbaxError(Exception):
    """What went wrong inside Orbax, in one line."""


def _quietly(call: Callable[[], T]) -> T:
    """Call Orbax; a failure becomes one `_OrbaxError`.

    Its error paths log a traceback for each thread, leave coroutines that warn when they are collected, and writes that
    end when their event loop is closed; all are kept from the user here, once the frames that hold them are gone.
    """
    log = logging.getLogger("absl")
    with _ORBAX:  # log level, hook and warnings are the whole process's, and a stream reads in a thread of its own
        level, hook = log.level, sys.unraisablehook
        log.setLevel(logging.CRITICAL)
        sys.unraisablehook = lambda event: None if "loop is closed" in str(event.exc_value) else hook(event)
        try:
            try:
                return call()
            except Exception as error:
                lines = str(error).strip().splitlines() or [type(error).__name__]
                # Orbax words a full disk in one of many lines.
                full = os.strerror(errno.ENOSPC)
                reason = full if full in str(error) else lines[0][:300]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)
                gc.collect()
            time.sleep(SETTLE_SECONDS)
            raise _OrbaxError(reason)
        finally:
            log.setLevel(level)
            sys.unraisablehook = hook


def _uncompressed() -> ocp.Context:
    """How shards are written: weights hardly compress, a tenth less to write would take thrice the time."""
    context = ocp.Context()
    context.array.saving.use_compression = False
    return context
