"""Data sets that stay on the disk: labels and columns are in memory, and networks are read by `take`."""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int, PyTree, Shaped

from wsjax.data.dataset import WeightDataset
from wsjax.data.metadata import Metadata
from wsjax.data.sources.images import split_counts
from wsjax.data.store import shards
from wsjax.data.store.index import Index
from wsjax.data.store.save_load import COLUMN, absolute_path, check_metadata, from_arrays, read_metadata
from wsjax.data.views import Selectable
from wsjax.errors import check_index, check_number, check_rows
from wsjax.symmetry import Symmetry

CACHE_SHARDS = 8


class ShardCache:
    """The shards read last, checked, of several directories; at most `size` of them in memory. Threads may share it.

    places: the directories, each with its index; their networks and their shards are numbered through, in that order.
    """

    def __init__(self, places: Sequence[tuple[Path, Index]], size: int):
        self.places, self.size = tuple(places), size
        self.reads = 0
        self._networks = np.cumsum([0, *(index.networks for _, index in self.places)])
        self._shards = np.cumsum([0, *(index.shard_count for _, index in self.places)])
        self._lock = threading.Lock()
        self._held: OrderedDict[int, dict[str, np.ndarray]] = OrderedDict()

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies and pickles, which workers get, begin with an empty cache and a lock of their own."""
        return ShardCache, (self.places, self.size)

    @property
    def index(self) -> Index:
        """That of the first directory: all hold the same kinds of arrays."""
        return self.places[0][1]

    @property
    def name(self) -> str:
        """The directories, in words."""
        more = len(self.places) - 1
        return f"{self.places[0][0]}{f' and {more} more' * bool(more)}"

    def start_of(self, path: Path) -> int:
        """The number of a directory's first network."""
        return int(self._networks[[place for place, _ in self.places].index(path)])

    def find(self, rows: Int[np.ndarray, " rows"]) -> tuple[Int[np.ndarray, " rows"], Int[np.ndarray, " rows"]]:
        """The shard of each network, and its row there."""
        place = np.searchsorted(self._networks, rows, "right") - 1
        each = np.array([index.shard_networks for _, index in self.places])[place]
        shard, within = np.divmod(rows - self._networks[place], each)
        return self._shards[place] + shard, within

    def holds(self, number: int) -> bool:
        return number in self._held

    def shard(self, number: int) -> dict[str, np.ndarray]:
        """A shard's arrays; raises as `read_shard` does."""
        with self._lock:
            if number not in self._held:
                # Room is made first, so that no more than `size` are ever held.
                while len(self._held) >= self.size:
                    self._held.popitem(last=False)
                place = int(np.searchsorted(self._shards, number, "right")) - 1
                self._held[number] = shards.read_shard(*self.places[place], number - int(self._shards[place]))
                self.reads += 1
            self._held.move_to_end(number)
            return self._held[number]


@dataclass(frozen=True, eq=False, repr=False)
class StoredDataset(Selectable):
    """A data set on disk, or a view of some of its networks. `open_dataset` makes one; `concatenate` lays several end
    to end.

    rows: of the networks in all that the cache reads; label and columns: of those networks, in memory; metadata: what
    they are. The weights come with `take`.
    """

    metadata: Metadata
    rows: Int[np.ndarray, " networks"]
    label: Shaped[np.ndarray, " networks *target"]
    columns: dict[str, Shaped[np.ndarray, " networks"]]
    cache: ShardCache

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        counts = split_counts(self.columns["split"])
        return f"StoredDataset({self.metadata.name!r} in {self.cache.name}, {len(self)} networks: {counts})"

    @property
    def symmetry(self) -> Symmetry:
        return self.metadata.symmetry

    def take(self, rows: np.ndarray) -> WeightDataset:
        """Read the networks of some rows of this view, in that order: only the shards that hold them, each checked.

        Raises:
            DataError: a shard is missing or altered, or a number is not finite; shard and array are named.
        """
        picked = self.view(rows)
        parts = {name: np.empty(*kind) for name, kind in self.cache.index.kinds(len(picked)).items()}
        shard, within = self.cache.find(picked.rows)
        # Those in memory first, as the others may take their place; then in order, so that the last asked for stay.
        for number in sorted(dict.fromkeys(shard.tolist()), key=lambda number: not self.cache.holds(number)):
            here = shard == number
            for name, array in self.cache.shard(number).items():
                parts[name][here] = array[within[here]]
        return from_arrays(self.cache.name, self.metadata, parts)

    def network(self, row: int) -> PyTree:
        """Read one network's weights; raises as `take` does, and IndexError for a row that there is not."""
        check_index("network", row, len(self))
        return self.take(np.array([row])).network(0)

    def in_memory(self) -> WeightDataset:
        """Read all networks of this view; raises as `take` does."""
        return self.take(np.arange(len(self)))

    def view(self, rows: np.ndarray) -> "StoredDataset":
        """The networks of some rows, in that order; nothing is read. Raises IndexError for a row that there is not."""
        rows = check_rows("network", rows, len(self))
        columns = {name: column[rows] for name, column in self.columns.items()}
        return StoredDataset(self.metadata, self.rows[rows], self.label[rows], columns, self.cache)

    def with_cache(self, size: int) -> "StoredDataset":
        """The same networks with a memory of their own for as many shards. Raises ValueError for less than one."""
        check_number("cache", size, low=1, integer=True)
        return replace(self, cache=ShardCache(self.cache.places, size))


def open_dataset(path: str | Path, *, cache: int = CACHE_SHARDS) -> StoredDataset:
    """A data set that stays on the disk. Metadata, labels and columns are read; networks when they are asked for.

    Args:
        path: the directory that `save` or `fit` wrote.
        cache: shards kept in memory.

    Raises:
        ValueError, DataError: a cache of less than one shard; no whole data set, or an altered one.

    Example:
        `networks` is a data set of 40 SIRENs.

        >>> import tempfile
        >>> from wsjax.data import save
        >>> save(networks, path := tempfile.mkdtemp())
        >>> open_dataset(path).split("train").take(np.array([4, 0]))
        WeightDataset('digits', 2 networks: 2 train, 0 validation, 0 test)
    """
    check_number("cache", cache, low=1, integer=True)
    target = absolute_path(path)
    index, metadata = read_metadata(target)
    check_metadata(target, index, metadata)
    names = [name for name in index.arrays if name == "label" or name.startswith(COLUMN)]
    parts = [shards.read_shard(target, index, number, names) for number in range(len(index.shards))]
    whole = {name: np.concatenate([part[name] for part in parts]) for name in names}
    columns = {name.removeprefix(COLUMN): whole[name] for name in names if name != "label"}
    return StoredDataset(
        metadata, np.arange(index.networks), whole["label"], columns, ShardCache([(target, index)], cache)
    )
