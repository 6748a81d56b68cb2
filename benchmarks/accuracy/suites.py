"""The suites by name: which data sets and which cells, at each tier.

smoke    a toy size that only shows that all works; never for publication
small    for two CPU cores
full     for an accelerator
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.accuracy.cell import Cell
from wsjax import data, models
from wsjax.train import Trial

TIERS = ("smoke", "small", "full")


@dataclass(frozen=True)
class Suite:
    """Data sets by name, each made or opened in a directory, and the cells in the order in which they run.

    against: the title of the cell that each other is compared with.
    """

    datasets: Mapping[str, Callable[[Path], data.WeightDataset]]
    cells: tuple[Cell, ...]
    against: str


def readers(tier: str) -> Suite:
    """Every reader on the INRs of `digits`, without augmentation, and again with a trunk that does not train.

    At `small` all have 30 epochs at one learning rate, so that the slowest readers fit into an hour too.
    """
    size = {"smoke": "small", "small": "small", "full": "base"}[tier]
    names = ("mlp", "dws") if tier == "smoke" else tuple(models.CONFIGS)
    epochs = {"smoke": 2, "small": 30, "full": 60}[tier]
    rates = (2e-3, 8e-3) if tier == "full" else (4e-3,)
    whole = [
        Cell(
            "digits",
            name,
            size,
            epochs=epochs,
            evaluate_every=min(epochs, 5),
            trials=tuple(Trial(learning_rate=rate) for rate in rates),
            seeds=(1, 2) if tier == "smoke" else (1, 2, 3),
        )
        for name in names
    ]
    frozen = [replace(cell, trains="head") for cell in whole if cell.reader not in TRUNKLESS]
    limit = 120 if tier == "smoke" else None
    flat = next(cell for cell in whole if cell.reader == "mlp")
    return Suite({"digits": lambda out: digits(out, limit)}, (*whole, *frozen), against=flat.title)


TRUNKLESS = ("mlp", "statistics")
"""Readers whose head is all that trains."""


def digits(out: Path, limit: int | None) -> data.WeightDataset:
    """The INRs of `digits`, fitted in `out` by the source's own recipe."""
    return data.fit_dataset(data.limit(data.load_images("digits"), limit), data.default_recipe("digits"), out)


SUITES: dict[str, Callable[[str], Suite]] = {"readers": readers}
"""Each makes its suite for a tier."""
