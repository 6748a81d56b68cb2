"""The directory of a stored data set: shards, an index of checksums, and one writer at a time.

    card.json       what the networks are (`Card`)
    index.json      what is there: sizes, each array's dtype and shape, and the SHA-256 of each finished shard's parts
    shards/00000/   Orbax: a flat dict from an array's name to a part of it, the same number of networks in each shard
    lock            held by the process that writes

A shard exists once the index lists it, and the index is replaced whole, so a kill at any moment leaves what was there.
The checksums are ours because Orbax reads most flipped bits as other numbers without a word: those of a shard's files
keep damage from reaching it, those of its arrays prove what it gave back. Both JSON files carry their own.
"""

import contextlib
import errno
import fcntl
import gc
import hashlib
import json
import logging
import os
import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import jax.numpy as jnp
import numpy as np
from orbax.checkpoint import v1 as ocp

from wsjax.errors import DataError, listing

CARD, INDEX, SHARDS, LOCK = "card.json", "index.json", "shards", "lock"
SHARD_NETWORKS = 1024
CHECKSUM = "checksum"
T = TypeVar("T")


class Index(NamedTuple):
    """What a data set's directory holds.

    networks: in the whole data set; shard_networks: in each shard but the last; card: SHA-256 of the card without its
    statistics, which come last; arrays: for each its dtype and the shape of one network's part; shards: for each
    finished one, by name, the SHA-256 of its `arrays` and of its `files`.
    """

    networks: int
    shard_networks: int
    card: str
    arrays: dict[str, Any]
    shards: dict[str, Any]

    @property
    def unfinished(self) -> list[int]:
        """The numbers of the shards that are not there yet."""
        return [i for i in range(-(-self.networks // self.shard_networks)) if shard_name(i) not in self.shards]

    @property
    def finished_networks(self) -> int:
        return self.networks - sum(self.size(i) for i in self.unfinished)

    def size(self, number: int) -> int:
        """How many networks a shard holds."""
        return min(self.shard_networks, self.networks - number * self.shard_networks)


def shard_name(number: int) -> str:
    return f"{number:05d}"


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


def checksum(content: dict[str, Any]) -> str:
    """SHA-256 of JSON content, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a file whole or not at all, and onto the disk before this returns; it carries its own checksum.

    Raises:
        OSError: naming the file and why.
    """
    draft = path.with_name(f"{path.name}.tmp")
    try:
        with draft.open("w") as file:
            json.dump({**content, CHECKSUM: checksum(content)}, file, indent=1)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise OSError(f"{path} cannot be written: {_why(error, path.parent)}. What it held before stays") from None


def read_json(path: Path) -> dict[str, Any]:
    """Read what `write_json` wrote.

    Raises:
        DataError: the file is missing, is not JSON, or was changed.
    """
    try:
        content = json.loads(path.read_text())
        found = content.pop(CHECKSUM)
    except OSError as error:
        raise DataError(
            f"{path} cannot be read: {error.strerror}; expected a directory that data.save, data.fit_dataset or "
            f"`wsjax fit` wrote"
        ) from None
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise DataError(f"{path} is damaged: {error}; expected the JSON that was written. {WAY_OUT}") from None
    if found != checksum(content):
        raise DataError(f"{path} is altered: it has SHA-256 {checksum(content)}; it states {found}. {WAY_OUT}")
    return content


WAY_OUT = "Restore it from a copy, or remove the whole directory and make the data set again."


def read_index(path: Path) -> Index:
    """The index of a data set's directory. Raises DataError where it is missing or damaged."""
    return Index(**read_json(path / INDEX))


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Make a directory and hold its lock; the system releases it when the process ends, however it ends.

    Raises:
        OSError: the directory cannot be made or written, or another process holds the lock.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        file = (path / LOCK).open("a")
    except OSError as error:
        raise OSError(f"{path} cannot be written: {error.strerror}; name a directory that you may write to") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OSError(
                f"{path} is being written by another process; expected one writer: wait, or name another directory"
            ) from None
        yield


def clean(path: Path, index: Index) -> Index:
    """Remove what a kill left half-written, and forget listed shards whose directories were removed."""
    listed = {name: entry for name, entry in index.shards.items() if (path / SHARDS / name).is_dir()}
    for entry in (path / SHARDS).glob("*"):
        if entry.name not in listed:
            shutil.rmtree(entry, ignore_errors=True)
    return index._replace(shards=listed)


def write_shard(path: Path, index: Index, number: int, arrays: dict[str, np.ndarray]) -> Index:
    """Write one shard, list it in the index, and return that.

    Raises:
        OSError: the disk is full or failed; names the shard and says that earlier ones stay whole.
    """
    name = shard_name(number)
    target = path / SHARDS / name
    try:
        _quietly(lambda: ocp.save(str(target), arrays))
    except _OrbaxError as error:
        for leftover in target.parent.glob(f"{name}*"):
            shutil.rmtree(leftover, ignore_errors=True)
        raise OSError(
            f"shard {name} cannot be written under {path}: {_why(error, path)}. What was finished, "
            f"{index.finished_networks} of {index.networks} networks, stays whole: make room; a fit goes on from there"
        ) from None
    described = {n: {"dtype": str(a.dtype), "shape": list(a.shape[1:])} for n, a in arrays.items()}
    entry = {"arrays": {n: digest(a) for n, a in arrays.items()}, "files": file_digests(target)}
    index = index._replace(arrays=described, shards={**index.shards, name: entry})
    write_json(path / INDEX, index._asdict())
    return index


def read_shard(path: Path, index: Index, number: int) -> dict[str, np.ndarray]:
    """One shard's arrays, each checked against the index.

    Raises:
        DataError: the shard is missing, one of its files is missing or altered, or an array is missing, has another
            shape or dtype, or another SHA-256; shard and file or array are named.
    """
    name = shard_name(number)
    where = path / SHARDS / name
    way_out = f"Restore it from a copy, or remove {where} and run the same fit again: it makes that shard anew"
    if not where.is_dir():
        raise DataError(f"shard {name} is missing: {where} does not exist; the index lists it. {way_out}")
    stated, files = index.shards[name], file_digests(where)
    for file, sha in stated["files"].items():
        if files.get(file) != sha:
            what = f"is altered: SHA-256 {files[file]}; expected {sha}" if file in files else "is missing; expected it"
            raise DataError(f"shard {name}: the file {where / file} {what}. {way_out}")
    try:
        found = _quietly(lambda: ocp.load(str(where)))
    except _OrbaxError as error:
        raise DataError(f"shard {name} in {where} cannot be read: {error}. {way_out}") from None
    wrong = sorted(set(index.arrays) ^ set(found))
    if wrong:
        raise DataError(f"shard {name} and the index do not hold the same arrays: {listing(wrong)} differ. {way_out}")
    arrays = {n: np.asarray(found[n]) for n in index.arrays}
    for array_name, array in arrays.items():
        described = index.arrays[array_name]
        expected = ((index.size(number), *described["shape"]), jnp.dtype(described["dtype"]))
        if (array.shape, array.dtype) != expected:
            raise DataError(
                f"shard {name}: {array_name} is {array.shape} {array.dtype}; expected {expected[0]} {expected[1]}. "
                f"{way_out}"
            )
        if digest(array) != stated["arrays"][array_name]:
            shas = f"SHA-256 {digest(array)}; expected {stated['arrays'][array_name]}"
            raise DataError(f"shard {name}: {array_name} is altered: {shas}. {way_out}")
    return arrays


class _OrbaxError(Exception):
    """What went wrong inside Orbax, in one line."""


def _quietly(call: Callable[[], T]) -> T:
    """Call Orbax; a failure becomes one `_OrbaxError`.

    Its error paths log a traceback for each thread and leave coroutines that warn when they are collected; both are
    kept from the user here, once the frames that hold them are gone.
    """
    log = logging.getLogger("absl")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        return call()
    except Exception as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        # Orbax words a full disk in one of many lines.
        full = os.strerror(errno.ENOSPC)
        reason = full if full in str(error) else lines[0][:300]
    finally:
        log.setLevel(level)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        gc.collect()
    raise _OrbaxError(reason)


def _why(error: Exception, path: Path) -> str:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    free = shutil.disk_usage(path).free if path.exists() else 0
    return f"{reason} ({free / 1e6:.1f} MB are free there)"
