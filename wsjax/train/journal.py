"""What a training writes as it goes: metrics after every evaluation, as JSON lines, and a checkpoint now and then."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from wsjax.errors import DataError, writing
from wsjax.interrupts import interrupts_held_back
from wsjax.storage.files import write_text
from wsjax.train import checkpoint, record
from wsjax.train.config import TrainConfig
from wsjax.train.state import Packing, TrainState
from wsjax.train.step import Metrics
from wsjax.train.task import Metric


@dataclass
class Journal:
    """A run's directory while its training goes on."""

    directory: Path
    every_seconds: float
    packing: Packing
    epoch_on_disk: int = 0
    saved_at: float = field(default_factory=time.monotonic)
    latest: tuple[int, TrainState] | None = None

    def resume(self, state: TrainState) -> tuple[TrainState, int, list[dict[str, Any]]]:
        """The newest checkpoint with its epoch and the metrics up to it; the given state where there is none."""
        state, self.epoch_on_disk = checkpoint.restore(self.directory, state)
        return state, self.epoch_on_disk, rewind(self.directory / record.METRICS, self.epoch_on_disk)

    def write(self, epoch: int, state: TrainState, records: list[dict[str, Any]], *, last: bool) -> None:
        """Add an evaluation; save the state, which is packed, when it is the last, or the time has come."""
        append(self.directory / record.METRICS, records)
        # After the metrics: a state on the disk always has its lines, and lines without a state are cut off again.
        self.latest = (epoch, state)
        if last or time.monotonic() - self.saved_at >= self.every_seconds:
            self.save()

    def save(self) -> None:
        """Save the latest state, unless it is saved."""
        if self.latest is not None and self.latest[0] > self.epoch_on_disk:
            with interrupts_held_back():
                epoch, state = self.latest
                checkpoint.save(self.directory, epoch, self.packing.unpack(state))
                self.epoch_on_disk, self.saved_at = epoch, time.monotonic()


@contextmanager
def open_journal(directory: Path, every_seconds: float, packing: Packing) -> Iterator[Journal]:
    """Open a run's directory. On Ctrl-C the latest state is saved, and a line says how to go on."""
    checkpoint.clean(directory)
    journal = Journal(directory, every_seconds, packing)
    try:
        yield journal
    except KeyboardInterrupt:
        journal.save()
        safe = f"epoch {journal.epoch_on_disk} is safe in {directory}; the same command goes on from it"
        print("interrupted:", safe if journal.epoch_on_disk else "nothing was saved yet; the same command begins anew")
        raise


def lines_of(metrics: Metrics, metric: Metric, epoch: int, seconds: float, seeds: list[int]) -> list[dict[str, Any]]:
    """One record a run: the loss, the scores under the metric's key, seconds since the training began or went on."""
    names = ("loss", f"train_{metric.key}", f"validation_{metric.key}")
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
    """The records of a file, oldest first; a last line that a kill cut off is left out, other damage is named."""
    if not path.exists():
        return []
    lines = path.read_bytes().rstrip(b"\n").split(b"\n")
    records = [_record(line) for line in lines]
    for number, (found, line) in enumerate(zip(records[:-1], lines, strict=False), 1):
        if found is None:
            raise DataError(
                f"{path} is damaged at line {number}: {line[:60]!r}; expected the JSON of one evaluation. "
                f"Restore it from a copy, or train again into another directory"
            )
    return [r for r in records if r is not None and (up_to_epoch is None or r["epoch"] <= up_to_epoch)]


def check_whole(path: Path, records: list[dict[str, Any]], config: TrainConfig, runs: int, epoch: int) -> None:
    """Raise DataError unless the records of a file are those of every evaluation up to an epoch, one for each run."""
    evaluated = range(config.evaluation_interval, epoch + 1, config.evaluation_interval)
    if [(r["epoch"], r.get("run")) for r in records] != [(at, run) for at in evaluated for run in range(runs)]:
        raise DataError(
            f"{path} has {len(records)} records up to epoch {epoch}; expected {runs * len(evaluated)}, one for each "
            f"evaluation and run before that checkpoint. Restore it from a copy, or train again into another directory"
        )


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
