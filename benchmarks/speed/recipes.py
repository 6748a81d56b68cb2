"""Suite `recipes`: networks by named recipes beside the published ones, and the time that refilled slots save.

dws, nfn     the recipes of `data.recipes` on Fashion-MNIST; each array's deviation beside that of the published files
refilled     the recipe `fast`: each network stops at its target, and its slot goes to the next image
all steps    the same without a target: every network makes as many steps as the slowest needed
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from benchmarks.speed import harness
from benchmarks.speed.harness import Contestant, Outcome, Row
from wsjax.data.fitting.grouped import Fitted
from wsjax.data.fitting.job import fit_weights
from wsjax.data.fitting.recipes import recipe_named
from wsjax.data.recipe import Recipe
from wsjax.data.sources.images import Images
from wsjax.data.sources.registry import load_images

ARRAYS = ("kernel0", "kernel1", "kernel2", "bias0", "bias1", "bias2")
PUBLISHED = {
    "dws": ("DWSNets Fashion-MNIST", (0.0782, 0.0324, 0.1345, 0.0286, 0.0167, 0.0960)),
    "nfn": ("NFN MNIST", (0.2868, 0.0171, 0.0639, 0.4090, 0.1041, 0.0970)),
}
"""Deviations of the published networks' arrays, from the configurations of arXiv 2403.12143; of NFN's sets those have
MNIST's and CIFAR's only."""


@dataclass(frozen=True)
class Size:
    """How much is measured: images to each recipe, groups of images that give the spread, rounds, most steps.

    refilled: images to the comparison of refilled slots, enough that the last networks, beside which slots stand idle,
    count for little.
    """

    images: int = 64
    refilled: int = 1024
    folds: int = 4
    rounds: int = 5
    most_steps: int | None = None
    source: str = "fashion-mnist"


QUICK = Size(images=16, refilled=64, folds=2, rounds=2, most_steps=200)


def run(*, quick: bool) -> dict[str, Any]:
    """Measure on two cores, or on an accelerator, and report."""
    return harness.run("recipes", lambda _: contest(QUICK if quick else Size()), quick=quick)


def contest(size: Size) -> Outcome:
    """Rows, every contestant's times, and notes."""
    everything = load_images(size.source)
    images = _some(everything, size.images)
    likeness = [_contestant(name, images, _shortened(recipe_named(name), size)) for name in PUBLISHED]
    timings = harness.measure(likeness, rounds=1)
    fitted = {name: timings[name].made[0] for name in PUBLISHED}
    rows = [row for name in PUBLISHED for row in deviation_rows(name, fitted[name], size.folds)]
    notes = [said(name, fitted[name]) for name in PUBLISHED]

    fast = _shortened(recipe_named("fast"), size)
    images = _some(everything, size.refilled)
    slowest = int(fit_weights(images, fast, progress=False).steps.max())
    whole = replace(fast, target_psnr=None, steps=slowest)
    contestants = [_contestant("refilled", images, fast), _contestant("all steps", images, whole)]
    timings |= harness.measure(contestants, size.rounds)
    rows.append(harness.versus("recipes/fast/vs_all_steps", timings, "refilled", "all steps"))
    stopped = timings["refilled"].made[0]
    notes += [said("refilled", stopped), said("all steps", timings["all steps"].made[0])]
    return rows, timings, notes


def _some(images: Images, count: int) -> Images:
    """Training images from all over the set."""
    training = np.flatnonzero(images.split == 0)
    return images.take(training[:: len(training) // count][:count])


def _shortened(recipe: Recipe, size: Size) -> Recipe:
    """The recipe itself, or with fewer steps where the run is to be quick."""
    return recipe if size.most_steps is None else replace(recipe, steps=min(recipe.steps, size.most_steps))


def _contestant(name: str, images: Images, recipe: Recipe) -> Contestant:
    return Contestant(name, lambda number: fit_weights(images, recipe, progress=False), len(images.pixels))


def deviation_rows(name: str, fitted: Fitted, folds: int) -> list[Row]:
    """Each array's deviation, over parts of the images, against the published one."""
    against, published = PUBLISHED[name]
    arrays = [layer.kernel for layer in fitted.weights] + [layer.bias for layer in fitted.weights]
    return [
        harness.compare(
            f"recipes/{name}_{array}/vs_published",
            np.array([part.std() for part in np.array_split(leaf, folds)]),
            against,
            value,
            "deviation",
        )
        for array, leaf, value in zip(ARRAYS, arrays, published, strict=True)
    ]


def said(name: str, fitted: Fitted) -> str:
    """A sentence on how well and how long networks were fitted."""
    return (
        f"{name}: PSNR mean {fitted.psnr.mean():.1f} dB, lowest {fitted.psnr.min():.1f} dB; steps mean "
        f"{fitted.steps.mean():.0f}, most {fitted.steps.max()}."
    )
