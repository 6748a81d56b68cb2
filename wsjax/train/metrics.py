"""Metrics as JSON lines: one line an evaluation of a run, plain to read, diff and plot."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from wsjax.train.step import Metrics


def lines_of(metrics: Metrics, epoch: int, seconds: float, seeds: list[int]) -> list[dict[str, Any]]:
    """One record a run, accuracies as fractions, seconds since the training began or went on."""
    columns = {name: np.asarray(value) for name, value in metrics._asdict().items()}
    return [
        {"epoch": epoch, "run": run, "seed": seed, **{n: float(c[run]) for n, c in columns.items()}, "seconds": seconds}
        for run, seed in enumerate(seeds)
    ]


def append(path: Path, records: list[dict[str, Any]]) -> None:
    """Add records to the end of a file."""
    with path.open("a") as file:
        file.writelines(json.dumps(record) + "\n" for record in records)


def read(path: Path, *, up_to_epoch: int | None = None) -> list[dict[str, Any]]:
    """The records of a file, oldest first; a last line that a kill cut off is left out."""
    if not path.exists():
        return []
    records = []
    for line in path.read_text().splitlines():
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return [r for r in records if up_to_epoch is None or r["epoch"] <= up_to_epoch]


def rewind(path: Path, epoch: int) -> list[dict[str, Any]]:
    """Cut a file back to an epoch, where a checkpoint is older than the last line; the records kept."""
    kept = read(path, up_to_epoch=epoch)
    path.write_text("".join(json.dumps(record) + "\n" for record in kept))
    return kept
