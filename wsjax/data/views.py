"""Rows of a data set: by split, by a condition on its columns, by groups; and arrays at rows, uncopied if possible."""

import abc
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias, TypeVar

import jax
import numpy as np
from jaxtyping import Int, PyTree, Shaped

from wsjax.data.sources.images import SPLITS
from wsjax.errors import check_choice, check_rows

Condition: TypeAlias = Shaped[np.ndarray, " networks"] | Callable[[dict[str, np.ndarray]], np.ndarray]
"""A boolean for each network, or a function from the columns to that."""
S = TypeVar("S", bound="Selectable")


class Selectable(abc.ABC):
    """Networks with columns, of which rows are chosen: data sets in memory, stored ones and collections alike."""

    columns: Any
    label: Any
    network: Any

    @abc.abstractmethod
    def __len__(self) -> int: ...

    def __getitem__(self, row: int) -> tuple[PyTree, np.ndarray | np.generic]:
        """One network and its label; raises IndexError for a row that there is not, TypeError for a slice."""
        if isinstance(row, slice):
            raise TypeError(f"the number of a network is {row}; expected one integer: for several, call take({row})")
        return self.network(row), self.label[row]

    def __iter__(self) -> Iterator[tuple[PyTree, np.ndarray | np.generic]]:
        """Each network with its label."""
        return (self[row] for row in range(len(self)))

    @abc.abstractmethod
    def view(self, rows: np.ndarray) -> Any:
        """The networks of some rows, in that order. Raises IndexError for a row that there is not."""

    def split(self: S, name: str) -> S:
        """The networks of a split: `"train"`, `"validation"` or `"test"`. Raises ValueError for another."""
        return self.view(split_rows(self.columns, name))

    def where(self: S, condition: Condition) -> S:
        """The networks for which a condition holds: `dataset.where(lambda columns: columns["psnr"] > 30)`.

        It is a boolean for each network, or a function from the columns to that; a ValueError for another thing.
        """
        mask = np.asarray(condition(dict(self.columns)) if callable(condition) else condition)
        count = len(self.columns["split"])
        if mask.shape != (count,) or mask.dtype != bool:
            raise ValueError(
                f"the condition has shape {mask.shape} and dtype {mask.dtype}; expected ({count},) booleans, one a "
                f"network: compare columns, such as lambda c: c['psnr'] > 30; rows by number are for take()"
            )
        return self.view(np.flatnonzero(mask))

    def groups(self: S, column: str) -> Iterator[tuple[int | float, S]]:
        """Each value of a column, ascending, with its networks: `groups("image")` gives the views of every image."""
        columns = self.columns
        check_choice("column", column, sorted(columns))
        values, counts = np.unique(columns[column], return_counts=True)
        parts = np.split(np.argsort(columns[column], kind="stable"), np.cumsum(counts)[:-1])
        return ((value, self.view(rows)) for value, rows in zip(values.tolist(), parts, strict=False))


def split_rows(columns: Mapping[str, np.ndarray], name: str) -> Int[np.ndarray, " rows"]:
    """The rows of a split. Raises ValueError where there is no split of that name."""
    check_choice("split", name, SPLITS)
    return np.flatnonzero(columns["split"] == SPLITS.index(name))


def gather(tree: PyTree, rows: np.ndarray | slice, count: int) -> PyTree:
    """Stacked arrays at some rows of `count`; evenly spaced rows of NumPy arrays share their memory."""
    rows = check_rows("network", rows, count)
    steps = np.diff(rows)
    if len(steps) and steps[0] > 0 and (steps == steps[0]).all():
        even = slice(int(rows[0]), int(rows[-1]) + 1, int(steps[0]))
        return jax.tree.map(lambda leaf: leaf[even], tree)
    return jax.tree.map(lambda leaf: leaf[rows], tree)
