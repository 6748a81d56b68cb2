"""How well a zoo's stored classifiers still do, beside what their columns say."""

from dataclasses import replace
from pathlib import Path

import jax
import numpy as np

from wsjax.data.dataset import WeightDataset
from wsjax.data.fidelity import CHECKS, Fidelity, half_types
from wsjax.data.sources.images import SPLITS, Images
from wsjax.data.sources.provenance import content_sha256, find_source
from wsjax.data.sources.signals import Signals
from wsjax.data.zoo.fit import check_network, labelled
from wsjax.data.zoo.recipe import ZooRecipe
from wsjax.data.zoo.step import Measured, begin, measure
from wsjax.errors import DataError

APPLY = "ZooRecipe.from_json(card.recipe).apply(weights, images)"
"""A zoo's card says so how its networks are run, and is known by it."""
TOLERANCE = 0.002
"""The share of the images, or one of them, by which an accuracy may be off: another machine rounds otherwise."""


def zoo_fidelity(sample: WeightDataset, found: Images | Signals | None, directory: str | Path | None) -> Fidelity:
    """Run some classifiers on the images they saw and on the test images; compare with the recorded accuracies.

    Nothing is downloaded. What a network saw, and with which labels, follows from its number and the recipe.
    """
    card = sample.card
    try:
        recipe = ZooRecipe.from_json(card.recipe or {})
        images = find_source(card, directory) if found is None else found
        if not isinstance(images, Images) or content_sha256(images) != card.source.get("sha256"):
            raise DataError(f"the {images.name} given are not the images that {card.name} was fitted to; pass those")
        check_network(recipe, images)
        measured, seen = remeasured(images, recipe, sample)
    except (KeyError, TypeError, ValueError) as error:
        return Fidelity(0, notes=(f"no network was run: {error}",))
    means = (float(measured.test_accuracy.mean()), float(np.mean(sample.columns["test_accuracy"])))
    lines = []
    for what, count in (("train", seen), ("test", int((images.split == SPLITS.index("test")).sum()))):
        now, recorded = getattr(measured, f"{what}_accuracy"), sample.columns[f"{what}_accuracy"]
        off = np.flatnonzero(~(np.abs(now - recorded) <= np.maximum(TOLERANCE, 1.01 / count)))
        if len(off):
            worst = off[np.argmax(np.abs(now - recorded)[off])]
            lines.append(
                f"{len(off)} of {len(sample)} networks do not reach the recorded {what} accuracy within one image or "
                f"{TOLERANCE:.1%}; network {sample.columns['run'][worst]} of {card.name}, after "
                f"{sample.columns['steps'][worst]} steps, has {now[worst]:.1%}, recorded {recorded[worst]:.1%}"
            )
    excuses = half_types(sample)
    damage = () if excuses else tuple(lines)
    notes = tuple(f"{line}: {' and '.join(excuses)}" for line in lines) if excuses else ()
    return Fidelity(len(sample), None, None, damage, notes, *means)


def remeasured(images: Images, recipe: ZooRecipe, sample: WeightDataset) -> tuple[Measured, np.ndarray]:
    """What some networks of a zoo reach, and how many images each saw, by the programs that fitted them."""
    train, test = labelled(images, "train"), labelled(images, "test")
    seen = replace(recipe, count=1, steps=1, snapshots=())
    parts, shares = [], []
    for start in range(0, len(sample), recipe.lanes):
        rows = np.arange(start, min(start + recipe.lanes, len(sample)))
        padded = rows[np.arange(recipe.lanes) % len(rows)]
        lanes = begin(seen, train, sample.columns["run"][padded].astype(np.int32))
        weights = jax.tree.map(lambda leaf, rows=padded: np.asarray(leaf)[rows].astype(np.float32), sample.weights)
        found = (measure(seen, train, test, lanes._replace(weights=weights)), lanes.drawn.share)
        measured, share = jax.tree.map(lambda x, rows=rows: np.asarray(x)[: len(rows)], found)
        parts.append(measured)
        shares.append(share)
    count = np.maximum(1, np.round(np.concatenate(shares) * len(train.label)))
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts), count


CHECKS[APPLY] = zoo_fidelity
