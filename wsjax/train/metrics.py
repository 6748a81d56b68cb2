"""Metrics as JSON lines: one line an evaluation of a run, plain to read, diff and plot."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from wsjax.errors import DataError, writing
from wsjax.train.measure import Measure
from wsjax.train.record import write_text
from wsjax.train.step import Metrics


def lines_of(metrics: Metrics, measure: Measure, epoch: int, seconds: float, seeds: list[int]) -> list[dict[str, Any]]:
    """One record a run: the loss, the scores under the measure's name, seconds since the training began or went on."""
    names = ("loss", f"train_{measure.key}", f"validation_{measure.key}")
    columns = {name: np.asarray(value) for name, value in zip(names, metrics, strict=True)}
    return [
        {"epoch": epoch, "run": run, "seed": seed, **{n: float(c[run]) for n, c in columns.items()}, "seconds": seconds}
        for run, seed in enumerate(seeds)
    ]


def append(path: Path, records: list[dict[str, Any]]) -> None:
    """Add records to the end of a file. Raises OSError naming it."""
    way_out = "what was saved stays. Make room: the same training goes on from its last checkpoint"
    with writing(path, way_out), path.open("a", encoding="utf-8") as file:
        file.write(_text(records))


def read(path: Path, *, up_to_epoch: int | None = None) -> list[dict[str, Any]]:
    """The records of a file, oldest first; a last line that a kill cut off is left out.

    Raises:
        DataError: an earlier line is damaged; it is named.
    """
    if not path.exists():
        return []
    lines = [(number, line) for number, line in enumerate(path.read_bytes().split(b"\n"), 1) if line]
    records = []
    for number, line in lines:
        record = _record(line)
        if record is not None:
            records.append(record)
        elif number < lines[-1][0]:
            raise DataError(
                f"{path} is damaged at line {number}: {line[:60]!r}; expected the JSON of one evaluation. "
                f"Restore it from a copy, or train again into another directory"
            )
    return [r for r in records if up_to_epoch is None or r["epoch"] <= up_to_epoch]


def rewind(path: Path, epoch: int) -> list[dict[str, Any]]:
    """Cut a file back to an epoch, where a checkpoint is older than the last line; the records kept."""
    kept = read(path, up_to_epoch=epoch)
    if path.exists() and path.read_bytes() != _text(kept).encode():
        write_text(path, _text(kept))
    return kept


def _record(line: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) and isinstance(record.get("epoch"), int) else None


def _text(records: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)
