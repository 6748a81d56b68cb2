"""The suite of contrastive pre-training."""

from dataclasses import replace
from pathlib import Path

from benchmarks.accuracy.arms import CURVE_VIEWS, PICTURE_VIEWS
from benchmarks.accuracy.contrastive import PretrainCell
from benchmarks.accuracy.networks import curves, digits, fashion, from_zero
from benchmarks.accuracy.suite import Suite
from wsjax import data
from wsjax.train import Trial


def contrastive(tier: str, files: Path | None = None) -> Suite:
    """DWS pre-trained without labels on Fashion-MNIST's INRs and on sine curves, against the same trunk as drawn.

    The curves' labels are their amplitude and frequency, so that scores are R2 there. At `small` the pictures are those
    of the suite `augmentations`, whose `dws` says what as many labels give a whole reader. `smoke` takes the digits,
    and the probe, which compiles in a fraction of the time.
    """
    pictures = "digits" if tier == "smoke" else "fashion-mnist"
    made = {
        "smoke": lambda out: digits(out, 120, files=files),
        "small": lambda out: fashion(out, (2000, 1000, 2000), from_zero(), files),
        "full": lambda out: fashion(out, None, data.recipe_named("dws"), files),
    }[tier]
    count, steps = {"smoke": (60, 50), "small": (3000, None), "full": (10_000, None)}[tier]
    epochs = {"smoke": 2, "small": 24, "full": 100}[tier]
    cells = tuple(
        PretrainCell(
            dataset,
            "probe" if tier == "smoke" else "dws",
            "base" if tier == "full" else "small",
            arm=arm,
            augment=augment,
            epochs=epochs,
            evaluate_every=min(epochs, 4),
            trial=Trial(learning_rate=4e-3),
            seeds=(1, 2) if tier == "smoke" else (1, 2, 3),
        )
        for dataset, arms in ((pictures, PICTURE_VIEWS), ("sines", CURVE_VIEWS))
        for arm, augment in arms.items()
        if tier != "smoke" or arm in ("random", "flip_signs")
    )
    return Suite(
        {pictures: made, "sines": lambda out: curves(out, count, steps)},
        cells,
        against=lambda cell: replace(cell, arm="random", augment="").title,
    )
