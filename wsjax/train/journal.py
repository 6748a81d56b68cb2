"""What a training writes down as it goes: metrics after every evaluation, a checkpoint now and then."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wsjax.interrupts import interrupts_held_back
from wsjax.train import checkpoint, metrics, record
from wsjax.train.state import Packing, TrainState


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
        return state, self.epoch_on_disk, metrics.rewind(self.directory / record.METRICS, self.epoch_on_disk)

    def write(self, epoch: int, state: TrainState, records: list[dict[str, Any]], *, last: bool) -> None:
        """Add an evaluation; save the state, which is packed, when it is the last, or the time has come."""
        metrics.append(self.directory / record.METRICS, records)
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
        print(
            f"interrupted: {safe if journal.epoch_on_disk else 'nothing was saved yet; the same command begins anew'}"
        )
        raise
