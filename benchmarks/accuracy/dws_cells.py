"""What the suites have in common that change one thing about DWS on networks of training images alone."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks.accuracy.cell import Cell
from benchmarks.accuracy.networks import digits, fashion_within_training
from wsjax import data
from wsjax.train import Trial

PLAIN = Trial(learning_rate=8e-3)
"""The settings that DWS is trained with where nothing is tried."""


def dws_cell(tier: str, dataset: str, arm: str, augment: str, trials: tuple[Trial, ...] = (PLAIN,)) -> Cell:
    """DWS under an augmentation, in as many epochs and seeds as every such cell of a tier; at `smoke` the MLP."""
    epochs = {"smoke": 2, "small": 40, "full": 60}[tier]
    return Cell(
        dataset,
        "mlp" if tier == "smoke" else "dws",
        "base" if tier == "full" else "small",
        arm=arm,
        augment=augment,
        epochs=epochs,
        evaluate_every=min(epochs, 5),
        trials=trials,
        seeds=(1, 2) if tier == "smoke" else (1, 2, 3),
    )


def of_training_images(
    tier: str, few: int, counts: Mapping[str, Sequence[int]], files: Path | None
) -> tuple[str, Callable[[Path], data.WeightDataset]]:
    """A data set's name and how it is made: so many Fashion-MNIST training images by tier; at `smoke` a few digits."""
    if tier == "smoke":
        return "digits", lambda out: digits(out, few, files=files)
    return "fashion-mnist", lambda out: fashion_within_training(out, counts[tier], files)
