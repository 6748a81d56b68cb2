"""The suite that looks for what helps, on images that no other suite scores."""

from dataclasses import replace
from pathlib import Path

from benchmarks.accuracy.arms import ALIGNED, ALIGNED_AT_FULL, SEARCHED, SEARCHED_AT_FULL
from benchmarks.accuracy.dws_cells import dws_cell, of_training_images
from benchmarks.accuracy.suite import Suite
from wsjax import data


def search(tier: str, files: Path | None = None) -> Suite:
    """DWS under `recommended`, without each of its parts, in other strengths, and with what might be added to it.

    Beside augmentations: averaged parameters, strengths that rise or fall, and tests on 16 copies of each network with
    other signs, whose outputs are averaged.

    All images are Fashion-MNIST's training images, those of the test split here too, so that choices by these scores
    leave the other suites' test images unseen. `aligned` are the same networks, all brought near to one of them by
    `data.align`. Every cell is compared with `recommended`. `smoke` takes the digits, and the MLP.
    """
    counts = {"small": (2000, 1000, 3000), "full": (20_000, 5_000, 20_000)}
    name, made = of_training_images(tier, 120, counts, files)
    few = {arm: SEARCHED[arm] for arm in ("recommended", "none")}
    searched = {"smoke": few, "small": SEARCHED, "full": SEARCHED | SEARCHED_AT_FULL}[tier]
    aligned = {"smoke": {"none": ""}, "small": ALIGNED, "full": ALIGNED | ALIGNED_AT_FULL}[tier]
    plain = {arm: dws_cell(tier, name, arm, augment) for arm, augment in searched.items()}
    recommended, alone = plain["recommended"], plain["none"]
    averaged = replace(recommended, arm="averaged", average=0.99)
    schedules = [replace(recommended, arm=strength, strength=strength) for strength in ("rising", "falling")]
    copies = replace(recommended, arm="copies", scores="recommended", copies=16, moved="flip_signs")
    alone_copies = replace(alone, arm="none_copies", scores="none", copies=16, moved="flip_signs")
    # Each training that compiles takes seconds, which the toy has few of.
    others = [averaged, alone_copies] if tier == "smoke" else [averaged, *schedules, copies, alone_copies]
    near = [dws_cell(tier, f"{name}-aligned", arm, augment) for arm, augment in aligned.items()]
    return Suite(
        {name: made, f"{name}-aligned": lambda out: data.align(made(out.with_name(name)))},
        (*plain.values(), *others, *near),
        against=lambda _: recommended.title,
    )
