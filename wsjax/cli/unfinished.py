"""What a command says of a training that was stopped."""

from pathlib import Path

from wsjax.train import Trained


def say_if_unfinished(trained: Trained, run: Path) -> None:
    """A line where a training was stopped, as what follows is of its last checkpoint."""
    last = max(row["epoch"] for row in trained.history)
    if last < trained.plan.epochs:
        print(f"{run} was stopped after {last} of {trained.plan.epochs} epochs; the same training command goes on")
