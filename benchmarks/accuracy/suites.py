"""The suites by name: which data sets and which cells, at each tier.

smoke    a toy size that only shows that all works; never for publication
small    for two CPU cores
full     for an accelerator
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from benchmarks.accuracy.augmentations import (
    AUGMENTATIONS,
    CURVE_VIEWS,
    FEW,
    FEW_OF_SHAPES,
    IMAGE_VIEWS,
    OF_SHAPES,
    OF_VIEWS,
)
from benchmarks.accuracy.cell import Cell
from benchmarks.accuracy.contrastive import PretrainCell
from benchmarks.accuracy.networks import curves, digits, fashion, fashion_views, fields, from_zero
from benchmarks.accuracy.suite import Suite
from benchmarks.accuracy.suites_dws import fitting, search, strengths
from benchmarks.accuracy.suites_full import full
from benchmarks.accuracy.suites_phases import phases
from wsjax import data, models
from wsjax.train import Run


def readers(tier: str, files: Path | None = None) -> Suite:
    """Every reader on the INRs of `digits`, without augmentation, and again with a trunk that does not train.

    Two come with sign flips as well: without, their test accuracy is near chance. At `small` all have 30
    epochs at one learning rate, so that the slowest readers fit into an hour too.
    """
    size = {"smoke": "small", "small": "small", "full": "base"}[tier]
    names = ("mlp", "probe") if tier == "smoke" else tuple(models.READERS)
    epochs = {"smoke": 2, "small": 30, "full": 60}[tier]
    rates = (2e-3, 8e-3) if tier == "full" else (4e-3,)
    whole = [
        Cell(
            "digits",
            name,
            size,
            epochs=epochs,
            evaluate_every=min(epochs, 5),
            tried=tuple(Run(learning_rate=rate) for rate in rates),
            seeds=(1, 2) if tier == "smoke" else (1, 2, 3),
        )
        for name in names
    ]
    whole += [
        replace(cell, configuration="flip_signs", augment="flip_signs") for cell in whole if cell.reader in OVERFITTING
    ]
    frozen = [replace(cell, freeze="trunk") for cell in whole if cell.reader not in TRUNKLESS]
    limit = 120 if tier == "smoke" else None
    flat = next(cell for cell in whole if cell.reader == "mlp")
    return Suite(
        {"digits": lambda out: digits(out, limit, files=files)}, (*whole, *frozen), against=lambda cell: flat.title
    )


TRUNKLESS = ("mlp", "statistics")
"""Readers that consist of a head alone."""

OVERFITTING = ("neural_graph", "relational")
"""Readers that overfit so few networks, and are measured with sign flips as well."""


def augmentations(tier: str, files: Path | None = None) -> Suite:
    """Readers of Fashion-MNIST's INRs under each augmentation, each against the same reader without one.

    Every configuration has the same runs, the same epochs and its own best validation epoch. At `small` there are 2,000
    training networks, fitted from a zero output, as far more are needed of those that are initialized as SIRENs; 1,000
    validate and 2,000 test, so that a point is more than chance. At `full` all 70,000 by the recipe of the published
    files. `smoke` takes the digits, and the MLP.
    """
    name = "digits" if tier == "smoke" else "fashion-mnist"
    made = {
        "smoke": lambda out: digits(out, 120, files=files),
        "small": lambda out: fashion(out, (2000, 1000, 2000), from_zero(), files),
        "full": lambda out: fashion(out, None, data.recipe_named("dws"), files),
    }[tier]
    settings = {"scale_gmn": {"channels": 8, "layers": 2, "head": 32}} if tier == "small" else {}
    size = "base" if tier == "full" else "small"
    readers_of = {
        "smoke": {"mlp": ("none", "recommended")},
        "small": {"dws": FEW, "probe": FEW, "scale_gmn": FEW[:2], "weight_gcn": FEW[:2]},
        "full": dict.fromkeys(("dws", "probe", "scale_gmn", "weight_gcn"), tuple(AUGMENTATIONS)),
    }[tier]
    both = (2e-3, 8e-3)
    rates = {reader: both if tier == "full" else (8e-3 if reader == "dws" else 4e-3,) for reader in readers_of}
    epochs = {"smoke": 2, "small": 80, "full": 60}[tier]
    cells = tuple(
        Cell(
            name,
            reader,
            settings.get(reader, size),
            configuration=configuration,
            augment=AUGMENTATIONS[configuration],
            epochs=epochs,
            evaluate_every=min(epochs, 5),
            tried=tuple(Run(learning_rate=rate) for rate in rates[reader]),
            seeds=(1, 2) if tier == "smoke" else (1, 2, 3),
        )
        for reader, configurations in readers_of.items()
        for configuration in configurations
    )
    return Suite({name: made}, cells, against=lambda cell: replace(cell, configuration="none", augment="").title)


def views(tier: str, files: Path | None = None) -> Suite:
    """One to ten networks of each image of Fashion-MNIST, with and without augmentation, in equally many steps.

    With v views each of them is used a v-th as often; the images to train on fill whole batches, so that all cells take
    as many steps. Validation and test are the first views alone. Each cell is compared with the same reader,
    unaugmented, that has all views: one view augmented is to be as good. DWS of all views mixes them with one another
    as well, as they are and aligned within each image, and is trained on the aligned ones unmixed. `smoke` takes the
    digits, and the MLP.
    """
    name = "digits" if tier == "smoke" else "fashion-mnist"
    aligned = f"{name}-aligned"
    counts = (2, 1) if tier == "smoke" else (10, 1, 2, 5)  # what the claim rests on comes first
    made = {
        "smoke": lambda out: digits(out, 60, counts[0], files=files),
        "small": lambda out: fashion_views(out, (896, 1000, 2000), counts[0], files),
        "full": lambda out: fashion_views(out, (10_240, 2_000, 10_000), counts[0], files),
    }[tier]
    epochs = {"smoke": 4, "small": 160, "full": 200}[tier]
    both, mixed = ("none", "recommended"), ("mixup_views", "mixup_views_recommended")  # the latter with one another
    every = [(name, "dws", configuration, count) for count in counts for configuration in both]
    every += [(place, "dws", configuration, counts[0]) for place in (name, aligned) for configuration in mixed]
    every += [(aligned, "dws", "none", counts[0])]
    every += [(name, "weight_gcn", configuration, count) for count in counts[:2] for configuration in both]
    toys = [(name, "mlp", configuration, count) for count in counts for configuration in both]
    cells = tuple(
        Cell(
            place,
            reader,
            "base" if tier == "full" else "small",
            configuration=configuration,
            augment=OF_VIEWS[configuration],
            views=count,
            epochs=epochs // count,
            evaluate_every=max(1, epochs // count // 20),
            tried=(Run(learning_rate=4e-3 if reader == "weight_gcn" else 8e-3),),
            seeds=(1, 2) if tier == "smoke" else (1, 2, 3),
        )
        for place, reader, configuration, count in (toys if tier == "smoke" else every)
    )
    near = lambda out: data.align(made(out.with_name(name)), within="image")
    made_of = {name: made} if tier == "smoke" else {name: made, aligned: near}
    return Suite(made_of, cells, against=lambda cell: f"{name}/{cell.reader}/none/{counts[0]}")


def shapes(tier: str, files: Path | None = None) -> Suite:
    """Readers of INRs of shapes in space, under each augmentation, each against the same reader without one.

    The solids of ten classes that need no file; or, of a directory as ModelNet's, its meshes, all of them at `full`.
    All start from a zero output: of solids that start as SIRENs do, DWS learns those that it trains on, and no other.
    `smoke` takes the MLP.
    """
    name = "solids" if files is None else "meshes"
    few = 2000 if files else (2000, 500, 500)
    limit = {"smoke": 80, "small": few, "full": None if files else 20_000}[tier]
    size = "base" if tier == "full" else "small"
    configurations = {"smoke": ("none", "turned"), "small": FEW_OF_SHAPES, "full": tuple(OF_SHAPES)}[tier]
    epochs = {"smoke": 2, "small": 48, "full": 60}[tier]
    cells = tuple(
        Cell(
            name,
            reader,
            size,
            configuration=configuration,
            augment=OF_SHAPES[configuration],
            epochs=epochs,
            evaluate_every=min(epochs, 4),
            tried=(Run(learning_rate=8e-3 if reader == "dws" else 4e-3),),
            seeds=(1, 2) if tier == "smoke" else (1, 2, 3),
        )
        for reader in (("mlp",) if tier == "smoke" else ("dws", "probe"))
        for configuration in configurations
    )
    steps = 50 if tier == "smoke" else None
    made = {name: lambda out: fields(out, limit, files, steps)}
    return Suite(made, cells, against=lambda cell: replace(cell, configuration="none", augment="").title)


def contrastive(tier: str, files: Path | None = None) -> Suite:
    """DWS pre-trained without labels on Fashion-MNIST's INRs and on sine curves, against the same trunk as drawn.

    The curves' labels are their amplitude and frequency, so that scores are R2 there. At `small` the images are those
    of the suite `augmentations`, whose `dws` is the whole reader trained with as many labels. `smoke` takes the digits,
    and the probe, which compiles in a fraction of the time.
    """
    images = "digits" if tier == "smoke" else "fashion-mnist"
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
            configuration=configuration,
            augment=augment,
            epochs=epochs,
            evaluate_every=min(epochs, 4),
            run_settings=Run(learning_rate=4e-3),
            seeds=(1, 2) if tier == "smoke" else (1, 2, 3),
        )
        for dataset, configurations in ((images, IMAGE_VIEWS), ("sines", CURVE_VIEWS))
        for configuration, augment in configurations.items()
        if tier != "smoke" or configuration in ("random", "flip_signs")
    )
    return Suite(
        {images: made, "sines": lambda out: curves(out, count, steps)},
        cells,
        against=lambda cell: replace(cell, configuration="random", augment="").title,
    )


SUITES: dict[str, Callable[[str, Path | None], Suite]] = {
    "readers": readers,
    "augmentations": augmentations,
    "views": views,
    "shapes": shapes,
    "contrastive": contrastive,
    "search": search,
    "fitting": fitting,
    "strengths": strengths,
    "phases": phases,
    "full": full,
}
"""Each makes its suite for a tier, and where its files are."""
