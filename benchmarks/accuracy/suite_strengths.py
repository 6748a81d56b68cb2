"""The suite that searches at random: the settings of a training, and the strengths of an augmentation."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.accuracy.dws_cells import PLAIN, dws_cell, of_training_images
from benchmarks.accuracy.suite import Suite
from wsjax.train import Trial

STEPS = "flip_signs(probability={}) | rotate(max_degrees={}) | scale(max_log={}) | translate(max_shift={})"
RECOMMENDED, LEAST, MOST = (0.5, 15, 0.1, 0.1), (0.05, 3, 0.02, 0.02), (0.5, 60, 0.4, 0.4)
"""The numbers of `recommended`, and between which others are drawn, log-uniformly."""
MIXED, LEAST_SHAPE, MOST_SHAPE = " | mixup(alpha={}, beta={})", 0.1, 4.0
"""MixUp on top, and the same for both parameters of the Beta distribution of its shares."""


def strengths(tier: str, files: Path | None = None) -> Suite:
    """DWS without augmentation, under `recommended`, and under its steps with numbers drawn at random.

    Each has as many trials, side by side in one program, of which validation chooses one. The first two draw learning
    rate, weight decay and dropout, `drawn` the numbers of the augmentation; the first trial of each is what the other
    suites take. `mixup_drawn` mixes after `recommended` and draws the shape of Beta(alpha, beta), uniform in its first
    trial. Images are those of `fitting`, all of the training split. Every cell is compared with `recommended`. `smoke`
    takes the digits, and the MLP, and mixes none.
    """
    counts = {"small": (1024, 400, 1000), "full": (20_000, 5_000, 20_000)}
    name, made = of_training_images(tier, 60, counts, files)
    tries = {"smoke": 2, "small": 8, "full": 32}[tier]
    recommended = STEPS.format(*RECOMMENDED)
    cells = [
        dws_cell(tier, name, "none", "", settings_drawn(tries)),
        dws_cell(tier, name, "recommended", recommended, settings_drawn(tries)),
        dws_cell(tier, name, "drawn", recommended, strengths_drawn(tries)),
    ]
    if tier != "smoke":
        cells.append(dws_cell(tier, name, "mixup_drawn", recommended + MIXED.format(1, 1), shapes_drawn(tries)))
    return Suite({name: made}, tuple(cells), against=lambda _: cells[1].title)


def settings_drawn(count: int) -> tuple[Trial, ...]:
    """So many trials: the plain one, and others whose settings are drawn, the same at every call.

    Example:
        >>> [round(trial.learning_rate, 4) for trial in settings_drawn(3)]
        [0.008, 0.0087, 0.0021]
    """
    rng = np.random.default_rng(0)
    drawn = [
        Trial(
            learning_rate=float(np.exp(rng.uniform(np.log(2e-3), np.log(2e-2)))),
            weight_decay=float(np.exp(rng.uniform(np.log(0.01), np.log(1.0)))),
            dropout=float(rng.uniform(0, 0.3)),
        )
        for _ in range(count - 1)
    ]
    return PLAIN, *drawn


def strengths_drawn(count: int) -> tuple[Trial, ...]:
    """So many trials: the plain one, and others whose augmentation has drawn numbers, the same at every call.

    Example:
        >>> strengths_drawn(2)[1].augment
        'flip_signs(probability=0.217) | rotate(max_degrees=6.73) | scale(max_log=0.0226) | translate(max_shift=0.021)'
    """
    rng, low, high = np.random.default_rng(0), np.log(LEAST), np.log(MOST)
    drawn = [np.exp(rng.uniform(low, high)) for _ in range(count - 1)]
    return PLAIN, *(replace(PLAIN, augment=STEPS.format(*(f"{x:.3g}" for x in numbers))) for numbers in drawn)


def shapes_drawn(count: int) -> tuple[Trial, ...]:
    """So many trials: the plain one, and others whose MixUp has a drawn shape, the same at every call.

    Example:
        >>> shapes_drawn(2)[1].augment.rpartition(" | ")[2]
        'mixup(alpha=1.05, beta=0.271)'
    """
    rng, recommended = np.random.default_rng(0), STEPS.format(*RECOMMENDED)
    drawn = [np.exp(rng.uniform(np.log(LEAST_SHAPE), np.log(MOST_SHAPE), 2)) for _ in range(count - 1)]
    mixes = [recommended + MIXED.format(*(f"{x:.3g}" for x in shape)) for shape in drawn]
    return PLAIN, *(replace(PLAIN, augment=augment) for augment in mixes)
