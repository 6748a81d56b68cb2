"""Collections on disk: a directory of data sets, and one index over them.

index.json      each member's name and fingerprint, and the member of each network, `0 0 1 ...`
NAME/           a data set, as `data.save` writes it
"""

import functools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from jax.typing import DTypeLike

from wsjax.data.collection import Collection, Member
from wsjax.data.dataset import WeightDataset
from wsjax.data.store import directory
from wsjax.data.store.directory import INDEX, WAY_OUT, read_stored_json
from wsjax.data.store.index import has_index, read_index
from wsjax.data.store.lazy import CACHE_SHARDS, open_dataset
from wsjax.data.store.save_load import absolute_path, check_free, load, save
from wsjax.errors import DataError, json_differences, listing
from wsjax.storage.files import write_checked_json
from wsjax.storage.locks import LOCK, locked

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
FIELDS = {"members", "member", "format_version"}


def save_collection(collection: Collection, path: str | Path, dtype: DTypeLike | None = None) -> None:
    """Write a collection to a new directory. Members that have no network are left out.

    The index is written last: a directory without it is no collection yet.

    Args:
        collection: the networks.
        path: the directory.
        dtype: of the weights on disk, as in `save`.

    Raises:
        ValueError: a member's name that cannot name a directory, no networks at all, or as `save` does.
        DataError: a number that is not finite.
        OSError: the directory cannot be written, or the disk is full.

    Example:
        >>> import jax, tempfile
        >>> from wsjax import data, networks, symmetry
        >>> def few(*widths):
        ...     many = [networks.siren_init(jax.random.key(i), widths) for i in range(2)]
        ...     return data.WeightDataset.from_networks(many, [0, 1], symmetry=symmetry.siren(widths))
        >>> path = tempfile.mkdtemp()
        >>> save_collection(data.collect({"narrow": few(2, 3, 1), "wide": few(2, 5, 1)}), path)
        >>> load_collection(path)
        Collection(4 networks; narrow: 2, wide: 2)
    """
    collection = collection.in_memory()
    if not len(collection):
        raise ValueError("the collection has no networks; expected at least one to save")
    for name in collection.members:
        if not NAME.fullmatch(name) or name in (INDEX, LOCK):
            raise ValueError(
                f"the member {name!r} cannot name a directory; expected letters, digits, '.', '_' and '-': rename it"
            )
    kept = [number for number, dataset in enumerate(collection.members.values()) if len(dataset)]
    names, target = [list(collection.members)[number] for number in kept], absolute_path(path)
    with locked(target):
        check_free(target)
        for name in names:
            member = collection.members[name]
            assert isinstance(member, WeightDataset)
            save(member, target / name, dtype)
        prints = {name: read_index(target / name).fingerprint for name in names}
        member = " ".join(map(str, np.searchsorted(kept, collection.member).tolist()))
        members = [{"name": name, "fingerprint": prints[name]} for name in names]
        write_checked_json(
            target / INDEX, {"members": members, "member": member, "format_version": directory.FORMAT_VERSION}
        )


def load_collection(path: str | Path) -> Collection:
    """Read a collection, each member as `load` does, and check that the members are those of the index.

    Args:
        path: the directory of the collection.

    Raises:
        DataError: the directory holds no whole collection, or anything in it is missing, altered or exchanged.

    Example:
        >>> load_collection("/nowhere")
        Traceback (most recent call last):
        wsjax.errors.DataError: /nowhere/index.json cannot be read: No such file or directory; expected a ...
    """
    return _collection(path, load)


def open_collection(path: str | Path, *, cache: int = CACHE_SHARDS) -> Collection:
    """A collection that stays on the disk: each member as `open_dataset` gives it.

    Args:
        path: the directory that `save_collection` wrote.
        cache: shards of each member kept in memory.

    Raises:
        ValueError: a cache of less than one shard.
        DataError: as `load_collection` does; what lies in a shard is checked when it is read.

    Example:
        >>> import jax, tempfile
        >>> import numpy as np
        >>> from wsjax import data, networks, symmetry
        >>> def few(*widths):
        ...     many = [networks.siren_init(jax.random.key(i), widths) for i in range(2)]
        ...     return data.WeightDataset.from_networks(many, [0, 1], symmetry=symmetry.siren(widths))
        >>> path = tempfile.mkdtemp()
        >>> save_collection(data.collect({"narrow": few(2, 3, 1), "wide": few(2, 5, 1)}), path)
        >>> open_collection(path).take(np.array([3, 0]))
        Collection(2 networks; narrow: 1, wide: 1)
    """
    return _collection(path, functools.partial(open_dataset, cache=cache))


def _collection(path: str | Path, read: Callable[[Path], Member]) -> Collection:
    target = absolute_path(path)
    content = _read(target)
    prints = {member["name"]: member["fingerprint"] for member in content["members"]}
    datasets = {name: read(target / name) for name in prints}
    found = {name: read_index(target / name).fingerprint for name in prints}
    differences = json_differences(found, prints)
    if differences:
        raise DataError(
            f"{target} does not hold the members that {INDEX} was written with: {listing(differences)}. {WAY_OUT}"
        )
    return Collection(datasets, np.array(content["member"].split(), np.int64))


def members_in(path: str | Path) -> dict[str, str] | None:
    """The members of a stored collection and their fingerprints; None where the directory holds one data set.

    Args:
        path: the directory to look into.

    Raises:
        DataError: the directory has no index, or a damaged one.

    Example:
        `networks` is a data set of 40 SIRENs.

        >>> import tempfile
        >>> from wsjax.data import save
        >>> save(networks, path := tempfile.mkdtemp())
        >>> members_in(path) is None
        True
    """
    target = absolute_path(path)
    if has_index(target) and not (target / INDEX).exists():
        return None  # several processes make it
    content = read_stored_json(target / INDEX)
    directory.check_version(target / INDEX, content)
    return {one["name"]: one["fingerprint"] for one in content["members"]} if "members" in content else None


def _read(path: Path) -> dict[str, Any]:
    content = read_stored_json(path / INDEX)
    directory.check_version(path / INDEX, content)
    if set(content) != FIELDS:
        wrong = sorted(set(content) ^ FIELDS)
        kind = "it holds one data set: use data.load" if "shards" in content else WAY_OUT
        raise DataError(f"{path / INDEX} is not the index of a collection: {listing(wrong)} differ; {kind}")
    return content
