"""The suites that change one thing about DWS on networks of training images: its augmentation, fits, settings."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.accuracy.augmentations import ALIGNED, ALIGNED_AT_FULL, AUGMENTATIONS, SEARCHED, SEARCHED_AT_FULL
from benchmarks.accuracy.cell import Cell
from benchmarks.accuracy.networks import digits, fashion_within_training, from_zero
from benchmarks.accuracy.suite import Suite, cell_of
from wsjax import data
from wsjax.train import Run

PLAIN = Run(learning_rate=8e-3)
"""The settings of DWS in cells that try no others."""


def dws_cell(tier: str, dataset: str, configuration: str, augment: str, tried: tuple[Run, ...] = (PLAIN,)) -> Cell:
    """DWS under an augmentation, in as many epochs and seeds as every such cell of a tier; at `smoke` the MLP."""
    epochs = {"smoke": 2, "small": 40, "full": 60}[tier]
    reader = "mlp" if tier == "smoke" else "dws"
    return cell_of(
        tier, dataset, reader, configuration=configuration, augment=augment, epochs=epochs, rates=(), tried=tried
    )


def of_training_images(
    tier: str, few: int, counts: Mapping[str, Sequence[int]], files: Path | None
) -> tuple[str, Callable[[Path], data.WeightDataset]]:
    """A data set's name and how it is made: so many Fashion-MNIST training images by tier; at `smoke` a few digits."""
    if tier == "smoke":
        return "digits", lambda out: digits(out, few, files=files)
    return "fashion-mnist", lambda out: fashion_within_training(out, counts[tier], files)


def search(tier: str, files: Path | None = None) -> Suite:
    """DWS under `recommended`, without each of its parts, in other strengths, and with what might be added to it.

    Beside augmentations: averaged parameters, strengths that rise or fall, and test-time augmentation, which averages
    the outputs of 16 copies with flipped signs.

    All images are Fashion-MNIST's training images, those of the test split here too, so that choices by these scores
    do not depend on the other suites' test images. `aligned` are the same networks, all brought near to one of them by
    `data.align`. Every cell is compared with `recommended`. `smoke` takes the digits, and the MLP.
    """
    counts = {"small": (2000, 1000, 3000), "full": (20_000, 5_000, 20_000)}
    name, made = of_training_images(tier, 120, counts, files)
    few = {configuration: SEARCHED[configuration] for configuration in ("recommended", "none")}
    searched = {"smoke": few, "small": SEARCHED, "full": SEARCHED | SEARCHED_AT_FULL}[tier]
    aligned = {"smoke": {"none": ""}, "small": ALIGNED, "full": ALIGNED | ALIGNED_AT_FULL}[tier]
    plain = {configuration: dws_cell(tier, name, configuration, augment) for configuration, augment in searched.items()}
    recommended, alone = plain["recommended"], plain["none"]
    averaged = replace(recommended, configuration="averaged", ema_decay=0.99)
    schedules = [replace(recommended, configuration=schedule, schedule=schedule) for schedule in ("rising", "falling")]
    copies = replace(recommended, configuration="copies", scores="recommended", copies=16, moved="flip_signs")
    alone_copies = replace(alone, configuration="none_copies", scores="none", copies=16, moved="flip_signs")
    # Each training that compiles takes seconds, which the toy has few of.
    others = [averaged, alone_copies] if tier == "smoke" else [averaged, *schedules, copies, alone_copies]
    near = [dws_cell(tier, f"{name}-aligned", configuration, augment) for configuration, augment in aligned.items()]
    return Suite(
        {name: made, f"{name}-aligned": lambda out: data.align(made(out.with_name(name)))},
        (*plain.values(), *others, *near),
        against=lambda _: recommended.title,
    )


FAST, ZERO = data.recipe_named("fast"), from_zero()
RECIPES: Mapping[str, data.Recipe] = {
    "zero": ZERO,
    "zero_shared": replace(ZERO, initialization="shared"),
    "siren": FAST,
    "siren_shared": replace(FAST, initialization="shared"),
    "zero_steps_150": replace(ZERO, steps=150),
    "zero_w0_10": replace(ZERO, network=replace(ZERO.network, w0=(10.0, 10.0))),
}
"""From a zero output or initialized as SIRENs are, with own or shared weights, fewer steps, a lower w0."""

RECIPES_AT_FULL: Mapping[str, data.Recipe] = {
    "zero_db_25": replace(ZERO, target_psnr=25.0),
    "zero_w0_60": replace(ZERO, network=replace(ZERO.network, w0=(60.0, 60.0))),
    "zero_steps_2400": replace(ZERO, steps=2400),
}
"""Until a lower target, with a higher w0, and for more steps."""


def fitting(tier: str, files: Path | None = None) -> Suite:
    """DWS, plain and under `recommended`, on networks of the same images, fitted in several ways.

    All images are Fashion-MNIST's training images, those of the test split here too, as in `search`. Every cell is
    compared with the networks from a zero output under the same augmentation. `smoke` takes the digits, and the MLP.
    """
    counts = {"small": (1024, 400, 1000), "full": (20_000, 5_000, 20_000)}
    recipes = {"smoke": dict(list(RECIPES.items())[:2]), "small": RECIPES, "full": {**RECIPES, **RECIPES_AT_FULL}}[tier]

    def made(recipe: data.Recipe) -> Callable[[Path], data.WeightDataset]:
        if tier == "smoke":
            return lambda out: digits(out, 60, files=files, initialization=recipe.initialization)
        return lambda out: fashion_within_training(out, counts[tier], files, recipe)

    source = "digits" if tier == "smoke" else "fashion-mnist"
    cells = [
        dws_cell(tier, f"{source}-{name}", configuration, AUGMENTATIONS[configuration])
        for name in recipes
        for configuration in ("none", "recommended")
    ]
    return Suite(
        {f"{source}-{name}": made(recipe) for name, recipe in recipes.items()},
        tuple(cells),
        against=lambda cell: replace(cell, dataset=f"{source}-zero").title,
    )


STEPS = "flip_signs(probability={}) | rotate(max_degrees={}) | scale(max_log={}) | translate(max_shift={})"
RECOMMENDED, LEAST, MOST = (0.5, 15, 0.1, 0.1), (0.05, 3, 0.02, 0.02), (0.5, 60, 0.4, 0.4)
"""The numbers of `recommended`, and between which others are drawn, log-uniformly."""
MIXED, LEAST_SHAPE, MOST_SHAPE = " | mixup(alpha={}, beta={})", 0.1, 4.0
"""MixUp on top, and the same for both parameters of the Beta distribution of the mixing coefficient."""


def strengths(tier: str, files: Path | None = None) -> Suite:
    """DWS without augmentation, under `recommended`, and under its steps with numbers drawn at random.

    Each tries as many runs, side by side in one program, of which validation chooses one. The first two draw learning
    rate, weight decay and dropout, `drawn` the numbers of the augmentation; the first run of each is what the other
    suites take. `mixup_drawn` mixes after `recommended` and draws the shape of Beta(alpha, beta), uniform in its first
    run. Images are those of `fitting`, all of the training split. Every cell is compared with `recommended`. `smoke`
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


def settings_drawn(count: int) -> tuple[Run, ...]:
    """So many runs: the plain one, and others whose settings are drawn, the same at every call.

    Example:
        >>> [round(run.learning_rate, 4) for run in settings_drawn(3)]
        [0.008, 0.0087, 0.0021]
    """
    rng = np.random.default_rng(0)
    drawn = [
        Run(
            learning_rate=float(np.exp(rng.uniform(np.log(2e-3), np.log(2e-2)))),
            weight_decay=float(np.exp(rng.uniform(np.log(0.01), np.log(1.0)))),
            dropout_rate=float(rng.uniform(0, 0.3)),
        )
        for _ in range(count - 1)
    ]
    return PLAIN, *drawn


def strengths_drawn(count: int) -> tuple[Run, ...]:
    """So many runs: the plain one, and others whose augmentation has drawn numbers, the same at every call.

    Example:
        >>> strengths_drawn(2)[1].augment
        'flip_signs(probability=0.217) | rotate(max_degrees=6.73) | scale(max_log=0.0226) | translate(max_shift=0.021)'
    """
    rng, low, high = np.random.default_rng(0), np.log(LEAST), np.log(MOST)
    drawn = [np.exp(rng.uniform(low, high)) for _ in range(count - 1)]
    return PLAIN, *(replace(PLAIN, augment=STEPS.format(*(f"{x:.3g}" for x in numbers))) for numbers in drawn)


def shapes_drawn(count: int) -> tuple[Run, ...]:
    """So many runs: the plain one, and others whose MixUp has a drawn shape, the same at every call.

    Example:
        >>> shapes_drawn(2)[1].augment.rpartition(" | ")[2]
        'mixup(alpha=1.05, beta=0.271)'
    """
    rng, recommended = np.random.default_rng(0), STEPS.format(*RECOMMENDED)
    drawn = [np.exp(rng.uniform(np.log(LEAST_SHAPE), np.log(MOST_SHAPE), 2)) for _ in range(count - 1)]
    mixes = [recommended + MIXED.format(*(f"{x:.3g}" for x in shape)) for shape in drawn]
    return PLAIN, *(replace(PLAIN, augment=augment) for augment in mixes)
