"""The accuracies of a zoo's stored classifiers, compared with those that their columns record."""

from pathlib import Path

import jax
import numpy as np

from wsjax.data.dataset import WeightDataset
from wsjax.data.fidelity import CHECKS, Fidelity, half_types
from wsjax.data.sources.images import SPLITS, Images
from wsjax.data.sources.provenance import content_sha256, find_source
from wsjax.data.sources.signals import Signals
from wsjax.data.zoo.recipe import ZooRecipe, check_network
from wsjax.data.zoo.step import Metrics, begin, evaluate, labeled
from wsjax.errors import DataError

APPLY = "ZooRecipe.from_json(metadata.recipe).apply(weights, images)"
"""The metadata of a zoo states this text, by which a zoo is recognized: how its networks are run."""
TOLERANCE = 0.002
"""The fraction of the images, or one of them, by which an accuracy may be off: another machine rounds otherwise."""


def zoo_fidelity(sample: WeightDataset, found: Images | Signals | None, directory: str | Path | None) -> Fidelity:
    """Run some classifiers on their training images, which follow from their numbers and the recipe, and on the test
    images; compare with the recorded accuracies. Nothing is downloaded."""
    metadata = sample.metadata
    try:
        recipe = ZooRecipe.from_json(metadata.recipe or {})
        images = find_source(metadata, directory) if found is None else found
        if not isinstance(images, Images) or content_sha256(images) != metadata.source.get("sha256"):
            raise DataError(
                f"the {images.name} given are not the images that {metadata.name} was fitted to; pass those"
            )
        check_network(recipe, images)
        metrics, trained_on = evaluated_again(images, recipe, sample)
    except (KeyError, TypeError, ValueError) as error:
        return Fidelity(0, notes=(f"no network was run: {error}",))
    means = (float(metrics.test_accuracy.mean()), float(np.mean(sample.columns["test_accuracy"])))
    lines = []
    for what, count in (("train", trained_on), ("test", int((images.split == SPLITS.index("test")).sum()))):
        now, recorded = getattr(metrics, f"{what}_accuracy"), sample.columns[f"{what}_accuracy"]
        off = np.flatnonzero(~(np.abs(now - recorded) <= np.maximum(TOLERANCE, 1.01 / count)))
        if len(off):
            worst = off[np.argmax(np.abs(now - recorded)[off])]
            lines.append(
                f"{len(off)} of {len(sample)} networks do not reach the recorded {what} accuracy within one image or "
                f"{TOLERANCE:.1%}; network {sample.columns['run'][worst]} of {metadata.name}, after "
                f"{sample.columns['steps'][worst]} steps, has {now[worst]:.1%}, recorded {recorded[worst]:.1%}"
            )
    excuses = " and ".join(half_types(sample))
    damage, notes = ((), tuple(f"{line}: {excuses}" for line in lines)) if excuses else (tuple(lines), ())
    return Fidelity(len(sample), None, None, damage, notes, *means)


def evaluated_again(images: Images, recipe: ZooRecipe, sample: WeightDataset) -> tuple[Metrics, np.ndarray]:
    """What some networks of a zoo reach, and how many images each was trained on, by the programs that fitted them."""
    train, test = labeled(images, "train"), labeled(images, "test")
    parts = []
    for start in range(0, len(sample), recipe.slots):
        rows = np.arange(start, min(start + recipe.slots, len(sample)))
        padded = rows[np.arange(recipe.slots) % len(rows)]
        slots = begin(recipe.program, train, sample.columns["run"][padded].astype(np.int32))
        weights = jax.tree.map(lambda leaf, rows=padded: np.asarray(leaf)[rows].astype(np.float32), sample.weights)
        part = (evaluate(recipe.program, train, test, slots._replace(weights=weights)), slots.drawn.train_fraction)
        parts.append(jax.tree.map(lambda x, rows=rows: np.asarray(x)[: len(rows)], part))
    metrics, fraction = jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)
    return metrics, np.maximum(1, np.round(fraction * len(train.label)))


CHECKS[APPLY] = zoo_fidelity
