"""`Collection`: data sets of several architectures under one index. On the disk it is a directory of data sets:

index.json      each member's name and fingerprint, and the member of each network, `0 0 1 ...`
NAME/           a data set, as `data.save` writes it
"""

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Int, PyTree, Shaped

from wsjax.data.dataset import WeightDataset
from wsjax.data.store.index import FORMAT_VERSION, INDEX, WAY_OUT, has_index, read_index, read_stored_json
from wsjax.data.store.lazy import CACHE_SHARDS, StoredDataset, open_dataset
from wsjax.data.store.save_load import absolute_path, check_free, load, save
from wsjax.data.views import Selectable
from wsjax.errors import DataError, check_choice, check_index, check_rows, json_differences, listing
from wsjax.storage.files import LOCK, locked, write_checked_json

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
FIELDS = {"members", "member", "format_version"}
Member: TypeAlias = WeightDataset | StoredDataset
"""What a collection holds of each architecture."""


@dataclass(frozen=True, eq=False, repr=False)
class Collection(Selectable):
    """Networks of several architectures, numbered through: network `i` is row `row[i]` of member `member[i]`.

    members: a data set for each architecture, by name, in memory or stored; each keeps its own metadata and Symmetry.
    member: (networks,) the position of each network's member among `members`. A member's networks stand in the index in
    their own order, so `row` follows. `from_datasets` makes one, `open` one that stays on the disk.
    """

    members: dict[str, Any]
    member: Int[np.ndarray, " networks"]

    def __post_init__(self):
        if not self.members:
            raise ValueError("a collection has no members; expected at least one data set by name")
        found = np.bincount(self.member, minlength=len(self.members)).tolist() if len(self.member) else [0]
        expected = [len(dataset) for dataset in self.members.values()]
        if found != expected and any((*found, *expected)):
            raise DataError(
                f"the index names the members {listing(self.members)} {listing(found)} times; they have "
                f"{listing(expected)} networks: expected each network once"
            )
        (first, one), *others = self.members.items()
        for name, other in others:
            if differences := json_differences(_labels(other), _labels(one)):
                raise DataError(
                    f"the members {name!r} (there) and {first!r} (here) do not share their labels: "
                    f"{listing(differences)}. Give both the same classes, or collect them apart"
                )

    @classmethod
    def from_datasets(cls, members: Mapping[str, Member], order: Sequence[str] | None = None) -> "Collection":
        """Data sets of several architectures under one index.

        Args:
            members: a data set for each architecture, by name, in memory or stored.
            order: the member's name for each network of the index, whose networks stand there in their own order; None
                puts one member after the other.

        Raises:
            ValueError: no members, a name in `order` that is none, members whose labels mean different things, or an
                order that is not all networks once.

        Example:
            `networks` is a data set of 40 SIRENs.

            >>> members = {"one": networks.take(slice(2)), "other": networks.take(slice(2, 4))}
            >>> both = Collection.from_datasets(members, ["other", "one", "one", "other"])
            >>> both, both.network(3)[0], both.row
            (Collection(4 networks; one: 2, other: 2), 'other', array([0, 0, 1, 1]))
        """
        names = list(members)
        if order is None:
            return cls(dict(members), np.repeat(np.arange(len(names)), [len(members[name]) for name in names]))
        for name in dict.fromkeys(order):
            check_choice("member", name, names)
        return cls(dict(members), np.array([names.index(name) for name in order], np.int64))

    def save(self, path: str | Path, dtype: DTypeLike | None = None) -> None:
        """Write the collection to a new directory, as `data.save` does; members without networks are left out.

        Raises ValueError for no networks, or for a member's name that cannot name a directory, and as `data.save` does.
        """
        if not len(self):
            raise ValueError("the collection has no networks; expected at least one to save")
        for name in self.members:
            if not NAME.fullmatch(name) or name in (INDEX, LOCK):
                raise ValueError(
                    f"the member {name!r} cannot name a directory; expected letters, digits, '.', '_' and '-': rename "
                    f"it"
                )
        kept = [number for number, dataset in enumerate(self.members.values()) if len(dataset)]
        names, target = [list(self.members)[number] for number in kept], absolute_path(path)
        with locked(target):
            check_free(target)
            for name in names:
                save(self.members[name].in_memory(), target / name, dtype)
            members = [{"name": name, "fingerprint": read_index(target / name).fingerprint} for name in names]
            numbers = " ".join(map(str, np.searchsorted(kept, self.member).tolist()))
            # The index is written last: a directory without it is no collection yet.
            content = {"members": members, "member": numbers, "format_version": FORMAT_VERSION}
            write_checked_json(target / INDEX, content)

    @classmethod
    def load(cls, path: str | Path) -> "Collection":
        """Read what `Collection.save` wrote; raises DataError where it is unfinished, altered, or no collection."""
        return cls._read(path, load)

    @classmethod
    def open(cls, path: str | Path, *, cache: int = CACHE_SHARDS) -> "Collection":
        """A collection that stays on the disk: its members are as `open_dataset` gives them."""
        return cls._read(path, functools.partial(open_dataset, cache=cache))

    @classmethod
    def _read(cls, path: str | Path, read: Callable[[Path], Member]) -> "Collection":
        target = absolute_path(path)
        content = read_stored_json(target / INDEX)
        if wrong := sorted(set(content) ^ FIELDS):
            kind = "it holds one data set: use data.load" if "shards" in content else WAY_OUT
            raise DataError(f"{target / INDEX} is not the index of a collection: {listing(wrong)} differ; {kind}")
        prints = _members_of(target, content)
        datasets = {name: read(target / name) for name in prints}
        if differences := json_differences({name: read_index(target / name).fingerprint for name in prints}, prints):
            raise DataError(
                f"{target} does not hold the members that {INDEX} was written with: {listing(differences)}. {WAY_OUT}"
            )
        return cls(datasets, np.array(content["member"].split(), np.int64))

    def __len__(self) -> int:
        return len(self.member)

    def __repr__(self) -> str:
        sizes = ", ".join(f"{name}: {len(dataset)}" for name, dataset in self.members.items())
        return f"Collection({len(self)} networks; {sizes})"

    @functools.cached_property
    def row(self) -> Int[np.ndarray, " networks"]:
        """Each network's row in its member."""
        row = np.empty(len(self), np.int64)
        for number in range(len(self.members)):
            mine = self.member == number
            row[mine] = np.arange(mine.sum())
        return row

    @property
    def label(self) -> Shaped[np.ndarray, " networks *target"]:
        """All labels, in the order of the index."""
        return self._through([dataset.label for dataset in self.members.values()])

    @property
    def columns(self) -> dict[str, Shaped[np.ndarray, " networks"]]:
        """The columns that every member has, in the order of the index."""
        datasets = list(self.members.values())
        common = [name for name in datasets[0].columns if all(name in d.columns for d in datasets)]
        return {name: self._through([d.columns[name] for d in datasets]) for name in common}

    def _through(self, parts: Sequence[np.ndarray]) -> np.ndarray:
        return np.concatenate(parts)[np.cumsum([0, *map(len, parts[:-1])])[self.member] + self.row]

    def network(self, number: int) -> tuple[str, PyTree]:
        """The name of a network's member, and its weights. Raises IndexError for a number that there is not."""
        check_index("network", number, len(self))
        name = list(self.members)[self.member[number]]
        return name, self.members[name].network(int(self.row[number]))

    def take(self, rows: np.ndarray) -> "Collection":
        """Some networks by their numbers, in that order, in memory. Every member stays, even empty."""
        return self.view(rows).in_memory()

    def in_memory(self) -> "Collection":
        """The same networks in memory: of stored members, the shards that hold them are read."""
        return Collection({name: member.in_memory() for name, member in self.members.items()}, self.member)

    def view(self, rows: np.ndarray) -> "Collection":
        """As `take`, but stored members stay on the disk, and nothing is read."""
        rows = check_rows("network", rows, len(self))
        member, row = self.member[rows], self.row[rows]
        kept = {name: one.view(row[member == number]) for number, (name, one) in enumerate(self.members.items())}
        return Collection(kept, member)


def _labels(dataset: Member) -> dict[str, Any]:
    """What a label is; must be the same for all members."""
    described = {"label": dataset.metadata.label, "classes": list(dataset.metadata.classes)}
    return {**described, "dtype": str(dataset.label.dtype), "shape": list(dataset.label.shape[1:])}


def members_in(path: str | Path) -> dict[str, str] | None:
    """The members of a stored collection and their fingerprints; None where the directory holds one data set."""
    target = absolute_path(path)
    if has_index(target) and not (target / INDEX).exists():
        return None  # several processes make it
    content = read_stored_json(target / INDEX)
    return _members_of(target, content) if "members" in content else None


def _members_of(path: Path, content: dict[str, Any]) -> dict[str, str]:
    """The members that an index lists; raises DataError for a name that leads out of the collection's directory."""
    members = {one["name"]: one["fingerprint"] for one in content["members"]}
    if outside := [name for name in members if not NAME.fullmatch(name)]:
        raise DataError(f"{path / INDEX} names a member {outside[0]!r}; expected directories beside it: refused")
    return members
