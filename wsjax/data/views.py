"""Rows of a data set: by split, by a condition on its columns, by groups; and arrays at rows, uncopied where possible.

Data sets in memory, stored ones and collections choose their rows here, so that the words mean the same for all.
"""

from collections.abc import Callable, Mapping
from typing import TypeAlias

import jax
import numpy as np
from jaxtyping import Int, PyTree, Shaped

from wsjax.data.sources.images import SPLITS
from wsjax.errors import check_choice, check_rows

Columns: TypeAlias = Mapping[str, np.ndarray]
Rows: TypeAlias = Int[np.ndarray, " rows"]
Condition: TypeAlias = Shaped[np.ndarray, " networks"] | Callable[[dict[str, np.ndarray]], np.ndarray]
"""A boolean for each network, or a function from the columns to that."""


def split_rows(columns: Columns, name: str) -> Rows:
    """The rows of a split. Raises ValueError where there is no split of that name."""
    check_choice("split", name, SPLITS)
    return np.flatnonzero(columns["split"] == SPLITS.index(name))


def rows_where(columns: Columns, condition: Condition) -> Rows:
    """The rows for which a condition holds.

    Raises:
        ValueError: the condition is not one boolean a network.

    Example:
        >>> import numpy as np
        >>> rows_where({"split": np.zeros(3), "psnr": np.array([30.0, 20.0, 40.0])}, lambda c: c["psnr"] > 25)
        array([0, 2])
    """
    mask = np.asarray(condition(dict(columns)) if callable(condition) else condition)
    count = len(columns["split"])
    if mask.shape != (count,) or mask.dtype != bool:
        raise ValueError(
            f"the condition has shape {mask.shape} and dtype {mask.dtype}; expected ({count},) booleans, one a "
            f"network: compare columns, such as lambda c: c['psnr'] > 30; rows by number are for take()"
        )
    return np.flatnonzero(mask)


def group_rows(columns: Columns, name: str) -> dict[int | float, Rows]:
    """The rows of each value of a column, ascending, in the order of the values.

    Raises:
        ValueError: no column of that name.

    Example:
        >>> import numpy as np
        >>> group_rows({"image": np.array([7, 3, 7])}, "image")
        {3: array([1]), 7: array([0, 2])}
    """
    check_choice("column", name, sorted(columns))
    values, counts = np.unique(columns[name], return_counts=True)
    parts = np.split(np.argsort(columns[name], kind="stable"), np.cumsum(counts)[:-1])
    return dict(zip(values.tolist(), parts, strict=False))


def gather(tree: PyTree, rows: np.ndarray | slice, count: int) -> PyTree:
    """Stacked arrays at some rows of `count`; evenly spaced rows of NumPy arrays share their memory.

    Raises:
        IndexError, TypeError: as `check_rows`.

    Example:
        >>> import numpy as np
        >>> numbers = np.arange(6)
        >>> np.shares_memory(numbers, gather(numbers, np.array([1, 3, 5]), 6))
        True
    """
    rows = check_rows("network", rows, count)
    steps = np.diff(rows)
    if len(steps) and steps[0] > 0 and (steps == steps[0]).all():
        even = slice(int(rows[0]), int(rows[-1]) + 1, int(steps[0]))
        return jax.tree.map(lambda leaf: leaf[even], tree)
    return jax.tree.map(lambda leaf: leaf[rows], tree)
