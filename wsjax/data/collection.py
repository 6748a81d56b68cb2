"""`Collection`: data sets of several architectures under one index."""

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Int, PyTree, Shaped

from wsjax.data.dataset import WeightDataset
from wsjax.data.store.lazy import CACHE_SHARDS, StoredDataset
from wsjax.data.views import Condition, group_rows, rows_where, split_rows
from wsjax.errors import DataError, check_choice, check_index, check_rows, json_differences, listing

Member: TypeAlias = WeightDataset | StoredDataset
"""What a collection holds of each architecture."""


@dataclass(frozen=True, eq=False, repr=False)
class Collection:
    """Networks of several architectures, numbered through: network `i` is row `row[i]` of member `member[i]`.

    members: a data set for each architecture, by name, in memory or stored; each keeps its own metadata and Symmetry.
    member: (networks,) the position of each network's member among `members`. A member's networks stand in the index in
    their own order, so `row` follows. `collect` makes one, `Collection.open` one that stays on the disk.
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
            differences = json_differences(_labels(other), _labels(one))
            if differences:
                raise DataError(
                    f"the members {name!r} (there) and {first!r} (here) do not share their labels: "
                    f"{listing(differences)}. Give both the same classes, or collect them apart"
                )

    def save(self, path: str | Path, dtype: DTypeLike | None = None) -> None:
        """Write the collection to a new directory, the weights in a dtype, as `save` does for a data set."""
        from wsjax.data.store.collection_store import save_collection

        save_collection(self, path, dtype)

    @staticmethod
    def load(path: str | Path) -> "Collection":
        """Read what `Collection.save` wrote; raises DataError where it is unfinished, altered, or no collection."""
        from wsjax.data.store.collection_store import load_collection

        return load_collection(path)

    @staticmethod
    def open(path: str | Path, *, cache: int = CACHE_SHARDS) -> "Collection":
        """A collection that stays on the disk: its members are as `open_dataset` gives them."""
        from wsjax.data.store.collection_store import open_collection

        return open_collection(path, cache=cache)

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
        joined = np.concatenate(parts)
        return joined[(np.cumsum([0, *map(len, parts[:-1])])[self.member] + self.row)]

    def network(self, number: int) -> tuple[str, PyTree]:
        """The name of a network's member, and its weights. Raises IndexError for a number that there is not."""
        check_index("network", number, len(self))
        name = list(self.members)[self.member[number]]
        return name, self.members[name].network(int(self.row[number]))

    def take(self, rows: np.ndarray) -> "Collection":
        """Some networks by their numbers, in that order, in memory. Every member stays, even empty.

        Raises:
            IndexError: a number that there is not.
        """
        return self.view(rows).in_memory()

    def in_memory(self) -> "Collection":
        """The same networks in memory: of stored members, the shards that hold them are read."""
        return Collection({name: _loaded(member) for name, member in self.members.items()}, self.member)

    def view(self, rows: np.ndarray) -> "Collection":
        """As `take`, but stored members stay on the disk, and nothing is read."""
        rows = check_rows("network", rows, len(self))
        member, row = self.member[rows], self.row[rows]
        kept = {name: _view(one, row[member == number]) for number, (name, one) in enumerate(self.members.items())}
        return Collection(kept, member)

    def split(self, name: str) -> "Collection":
        """A view of a split: `"train"`, `"validation"` or `"test"`. Raises ValueError for another."""
        return self.view(split_rows(self.columns, name))

    def where(self, condition: Condition) -> "Collection":
        """A view of the networks for which a condition on the common columns holds, as in `WeightDataset.where`."""
        return self.view(rows_where(self.columns, condition))

    def groups(self, column: str) -> Iterator[tuple[int | float, "Collection"]]:
        """Each value of a common column with a view of its networks, as in `WeightDataset.groups`."""
        return ((value, self.view(rows)) for value, rows in group_rows(self.columns, column).items())


def _loaded(member: Member) -> WeightDataset:
    return member.in_memory() if isinstance(member, StoredDataset) else member


def _view(member: Member, rows: np.ndarray) -> Member:
    return member.view(rows) if isinstance(member, StoredDataset) else member.take(rows)


def collect(members: Mapping[str, Member], order: Sequence[str] | None = None) -> Collection:
    """Join data sets of several architectures under one index.

    Args:
        members: a data set for each architecture, by name, in memory or stored.
        order: the member's name for each network of the index, whose networks stand there in their own order; None
            puts one member after the other.

    Raises:
        ValueError: no members, or a name in `order` that is none.
        DataError: members whose labels mean different things, or an order that is not all networks once.

    Example:
        >>> import jax, numpy as np
        >>> from wsjax import data, networks, symmetry
        >>> def few(*widths):
        ...     many = [networks.siren_init(jax.random.key(i), widths) for i in range(2)]
        ...     return data.WeightDataset.from_networks(many, [0, 1], symmetry=symmetry.siren(widths))
        >>> both = collect({"narrow": few(2, 3, 1), "wide": few(2, 5, 1)}, ["wide", "narrow", "narrow", "wide"])
        >>> both
        Collection(4 networks; narrow: 2, wide: 2)
        >>> both.network(3)[0], both.label
        ('wide', array([0, 0, 1, 1], dtype=int32))
    """
    names = list(members)
    if order is None:
        return Collection(dict(members), np.repeat(np.arange(len(names)), [len(members[name]) for name in names]))
    for name in dict.fromkeys(order):
        check_choice("member", name, names)
    number = {name: i for i, name in enumerate(names)}
    return Collection(dict(members), np.array([number[name] for name in order], np.int64))


def _labels(dataset: Member) -> dict[str, Any]:
    """What a label is; must be the same for all members."""
    described = {"label": dataset.metadata.label, "classes": list(dataset.metadata.classes)}
    return {**described, "dtype": str(dataset.label.dtype), "shape": list(dataset.label.shape[1:])}
