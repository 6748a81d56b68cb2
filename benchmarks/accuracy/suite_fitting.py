"""The suite that asks what readers make of networks that were fitted in other ways."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from benchmarks.accuracy.arms import ARMS
from benchmarks.accuracy.dws_cells import dws_cell
from benchmarks.accuracy.networks import digits, fashion_within_training, from_zero
from benchmarks.accuracy.suite import Suite
from wsjax import data

FAST, ZERO = data.recipe_named("fast"), from_zero()
RECIPES: Mapping[str, data.Recipe] = {
    "zero": ZERO,
    "zero_shared": replace(ZERO, start="shared"),
    "siren": FAST,
    "siren_shared": replace(FAST, start="shared"),
    "zero_steps_150": replace(ZERO, steps=150),
    "zero_w0_10": replace(ZERO, network=replace(ZERO.network, w0=(10.0, 10.0))),
}
"""From a zero output or as SIRENs start, each from its own weights or all from the same, fewer steps, a lower w0."""

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
            return lambda out: digits(out, 60, files=files, start=recipe.start)
        return lambda out: fashion_within_training(out, counts[tier], files, recipe)

    source = "digits" if tier == "smoke" else "fashion-mnist"
    cells = [dws_cell(tier, f"{source}-{name}", arm, ARMS[arm]) for name in recipes for arm in ("none", "recommended")]
    return Suite(
        {f"{source}-{name}": made(recipe) for name, recipe in recipes.items()},
        tuple(cells),
        against=lambda cell: replace(cell, dataset=f"{source}-zero").title,
    )
