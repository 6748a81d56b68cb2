"""The suites by name: which data sets and which cells, at each tier.

smoke    a toy size that only shows that all works; never for publication
small    for two CPU cores
full     for an accelerator
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.accuracy.augmentations import (
    AUGMENTATIONS,
    CURVE_VIEWS,
    FEW,
    FEW_OF_SHAPES,
    IMAGE_VIEWS,
    OF_SHAPES,
    OF_VIEWS,
)
from benchmarks.accuracy.contrastive import PretrainCell
from benchmarks.accuracy.networks import curves, digits, fashion, fashion_views, fields, from_zero
from benchmarks.accuracy.suite import AnyCell, Suite, cell_of, seeds_of, size_of
from benchmarks.accuracy.suites_dws import fitting, search, strengths
from benchmarks.accuracy.suites_full import full
from benchmarks.accuracy.suites_phases import phases
from wsjax import data, models
from wsjax.train import Run


def readers(tier: str, files: Path | None = None) -> Suite:
    """Every reader on the INRs of `digits`, without augmentation, and again with a trunk that does not train.

    `digits-dws` are INRs of the same images from the initialization of the published files, for which most readers were
    made. Two readers come with sign flips as well: without, their test accuracy is near chance. Each cell chooses one
    of eight learning rates on validation.
    """
    names = ("mlp", "probe") if tier == "smoke" else tuple(models.READERS)
    epochs = {"smoke": 2, "small": 30, "full": 60}[tier]
    rates = (4e-3,) if tier == "smoke" else tuple(np.geomspace(3e-4, 3e-2, 8).tolist())
    whole = [cell_of(tier, "digits", name, epochs=epochs, rates=rates) for name in names]
    whole += [
        replace(cell, configuration="flip_signs", augment="flip_signs") for cell in whole if cell.reader in OVERFITTING
    ]
    frozen = [replace(cell, freeze="trunk") for cell in whole if cell.reader not in TRUNKLESS]
    limit = 120 if tier == "smoke" else None
    datasets = {"digits": lambda out: digits(out, limit, files=files)}
    if tier == "smoke":
        published = []
    else:
        published = [replace(cell, dataset="digits-dws") for cell in whole]
        datasets["digits-dws"] = lambda out: digits(out, limit, files=files, published=True)
    cells = (*whole, *published, *frozen)
    return Suite(datasets, cells, against=lambda cell: replace(cell, **FLAT).title)


FLAT: dict[str, Any] = {"reader": "mlp", "configuration": "none", "freeze": None}

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
    name, made = images_of(tier, files)
    settings = {"scale_gmn": {"channels": 8, "layers": 2, "head": 32}} if tier == "small" else {}
    readers_of = {
        "smoke": {"mlp": ("none", "recommended")},
        "small": {"dws": FEW, "probe": FEW, "scale_gmn": FEW[:2], "weight_gcn": FEW[:2]},
        "full": dict.fromkeys(("dws", "probe", "scale_gmn", "weight_gcn"), tuple(AUGMENTATIONS)),
    }[tier]
    both = (2e-3, 8e-3)
    rates = {reader: both if tier == "full" else (8e-3 if reader == "dws" else 4e-3,) for reader in readers_of}
    epochs = {"smoke": 2, "small": 80, "full": 60}[tier]
    cells = tuple(
        cell_of(
            tier,
            name,
            reader,
            settings=settings.get(reader, size_of(tier)),
            configuration=configuration,
            augment=AUGMENTATIONS[configuration],
            epochs=epochs,
            rates=rates[reader],
        )
        for reader, configurations in readers_of.items()
        for configuration in configurations
    )
    return Suite({name: made}, cells, against=unaugmented)


def images_of(tier: str, files: Path | None) -> tuple[str, Callable[[Path], data.WeightDataset]]:
    """The name of a tier's data set of images, and how it is made."""
    if tier == "smoke":
        return "digits", lambda out: digits(out, 120, files=files)
    if tier == "small":
        return "fashion-mnist", lambda out: fashion(out, (2000, 1000, 2000), from_zero(), files)
    return "fashion-mnist", lambda out: fashion(out, None, data.recipe_named("dws"), files)


def unaugmented(cell: AnyCell) -> str:
    """The title of the same reader without augmentation."""
    return replace(cell, configuration="none", augment="").title


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
        cell_of(
            tier,
            place,
            reader,
            configuration=configuration,
            augment=OF_VIEWS[configuration],
            views=count,
            epochs=epochs // count,
            evaluate_every=max(1, epochs // count // 20),
            rates=(4e-3 if reader == "weight_gcn" else 8e-3,),
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
    configurations = {"smoke": ("none", "turned"), "small": FEW_OF_SHAPES, "full": tuple(OF_SHAPES)}[tier]
    epochs = {"smoke": 2, "small": 48, "full": 60}[tier]
    cells = tuple(
        cell_of(
            tier,
            name,
            reader,
            configuration=configuration,
            augment=OF_SHAPES[configuration],
            epochs=epochs,
            evaluate_every=min(epochs, 4),
            rates=(8e-3 if reader == "dws" else 4e-3,),
        )
        for reader in (("mlp",) if tier == "smoke" else ("dws", "probe"))
        for configuration in configurations
    )
    steps = 50 if tier == "smoke" else None
    made = {name: lambda out: fields(out, limit, files, steps)}
    return Suite(made, cells, against=unaugmented)


def contrastive(tier: str, files: Path | None = None) -> Suite:
    """DWS pre-trained without labels on Fashion-MNIST's INRs and on sine curves, against the same trunk as drawn.

    The curves' labels are their amplitude and frequency, so that scores are R2 there. At `small` the images are those
    of the suite `augmentations`, whose `dws` is the whole reader trained with as many labels. `smoke` takes the digits,
    and the probe, which compiles in a fraction of the time.
    """
    images, made = images_of(tier, files)
    count, steps = {"smoke": (60, 50), "small": (3000, None), "full": (10_000, None)}[tier]
    epochs = {"smoke": 2, "small": 24, "full": 100}[tier]
    cells = tuple(
        PretrainCell(
            dataset,
            "probe" if tier == "smoke" else "dws",
            size_of(tier),
            configuration=configuration,
            augment=augment,
            epochs=epochs,
            evaluate_every=min(epochs, 4),
            run_settings=Run(learning_rate=4e-3),
            seeds=seeds_of(tier),
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
