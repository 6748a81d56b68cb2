"""A suite: data sets by name, cells, and the baseline that each cell is compared with."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from benchmarks.accuracy.cell import Cell
from benchmarks.accuracy.contrastive import PretrainCell
from wsjax.data import WeightDataset

TIERS = ("smoke", "small", "full")

AnyCell: TypeAlias = Cell | PretrainCell


@dataclass(frozen=True)
class Suite:
    """Data sets by name, each made or opened in a directory, and the cells in the order in which they run.

    against: the title of the cell that a cell is compared with. The functions that make suites are given a tier, and
    where the files of their images or meshes are; None for the usual places.
    """

    datasets: Mapping[str, Callable[[Path], WeightDataset]]
    cells: tuple[AnyCell, ...]
    against: Callable[[AnyCell], str]
