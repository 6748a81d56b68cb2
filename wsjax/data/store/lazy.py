"""Data sets that stay on the disk: labels and columns are in memory, and networks are read by `take`."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Int, PyTree, Shaped

from wsjax.data.dataset import WeightDataset
from wsjax.data.metadata import Metadata
from wsjax.data.sources.images import split_counts
from wsjax.data.store import shards
from wsjax.data.store.save_load import COLUMN, absolute_path, check_metadata, empty, from_arrays, read_metadata
from wsjax.data.store.shard_cache import ShardCache
from wsjax.data.views import Condition, group_rows, rows_where, split_rows
from wsjax.errors import check_index, check_number, check_rows
from wsjax.symmetry import Symmetry

CACHE_SHARDS = 8


@dataclass(frozen=True, eq=False, repr=False)
class StoredDataset:
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
        """Read the networks of some rows of this view, in that order: only the shards that hold them.

        Every shard is checked against its checksums when it is read, and the last few are kept.

        Raises:
            DataError: a shard is missing or altered, or a number is not finite; shard and array are named.
        """
        picked = self.view(rows)
        parts = empty(self.cache.index, len(picked))
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
        """The networks of some rows, in that order. Nothing is read.

        Raises:
            IndexError: a row that there is not.
        """
        rows = check_rows("network", rows, len(self))
        columns = {name: column[rows] for name, column in self.columns.items()}
        return StoredDataset(self.metadata, self.rows[rows], self.label[rows], columns, self.cache)

    def split(self, name: str) -> "StoredDataset":
        """A view of a split: `"train"`, `"validation"` or `"test"`. Raises ValueError for another."""
        return self.view(split_rows(self.columns, name))

    def where(self, condition: Condition) -> "StoredDataset":
        """A view of the networks for which a condition holds, as in `WeightDataset.where`."""
        return self.view(rows_where(self.columns, condition))

    def groups(self, column: str) -> Iterator[tuple[int | float, "StoredDataset"]]:
        """Each value of a column with a view of its networks, as in `WeightDataset.groups`."""
        return ((value, self.view(rows)) for value, rows in group_rows(self.columns, column).items())

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
        ValueError: a cache of less than one shard.
        DataError: the directory holds no whole data set, or what was read of it is missing or altered.

    Example:
        `networks` is a data set of 40 SIRENs.

        >>> import tempfile
        >>> import numpy as np
        >>> from wsjax.data import save
        >>> save(networks, path := tempfile.mkdtemp())
        >>> stored = open_dataset(path)
        >>> len(stored.split("train")), stored.take(np.array([4, 0]))
        (24, WeightDataset('digits', 2 networks: 2 train, 0 validation, 0 test))
    """
    check_number("cache", cache, low=1, integer=True)
    target = absolute_path(path)
    index, metadata = read_metadata(target)
    check_metadata(target, index, metadata)
    names = [name for name in index.arrays if name == "label" or name.startswith(COLUMN)]
    parts = [shards.read_part(target, index, number, names) for number in range(len(index.shards))]
    whole = {name: np.concatenate([part[name] for part in parts]) for name in names}
    columns = {name.removeprefix(COLUMN): whole[name] for name in names if name != "label"}
    return StoredDataset(
        metadata, np.arange(index.networks), whole["label"], columns, ShardCache([(target, index)], cache)
    )
