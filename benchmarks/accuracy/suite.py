"""A suite: data sets by name, cells, and the baseline of each; and what the cells of a tier have in common."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from benchmarks.accuracy.cell import Cell
from benchmarks.accuracy.contrastive import PretrainCell
from wsjax.data import WeightDataset
from wsjax.train import Run

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


def size_of(tier: str) -> str:
    """The size of readers that have no settings of their own."""
    return "base" if tier == "full" else "small"


def seeds_of(tier: str) -> tuple[int, ...]:
    """The seeds of every cell."""
    return (1, 2) if tier == "smoke" else (1, 2, 3)


def cell_of(tier: str, dataset: str, reader: str, *, epochs: int, rates: Sequence[float], **others: Any) -> Cell:
    """A cell with the size and the seeds of a tier, evaluated every five epochs, that tries some learning rates; others
    are fields of `Cell`, in place of these too."""
    fields = {
        "settings": size_of(tier),
        "evaluate_every": min(epochs, 5),
        "tried": tuple(Run(learning_rate=rate) for rate in rates),
        "seeds": seeds_of(tier),
    }
    return Cell(dataset, reader, epochs=epochs, **{**fields, **others})
