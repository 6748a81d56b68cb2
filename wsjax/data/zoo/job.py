"""The job of a zoo: its classifiers, their columns and their metadata."""

import contextlib
from collections.abc import Generator

import numpy as np

from wsjax.data.metadata import Metadata
from wsjax.data.sources.images import SPLITS, Images, check_images
from wsjax.data.sources.provenance import source_of
from wsjax.data.store import shards
from wsjax.data.store.job import Job, Missing, Networks
from wsjax.data.zoo.check import APPLY
from wsjax.data.zoo.fit import Grown, check_network, fit_zoo_groups
from wsjax.data.zoo.recipe import OPTIMIZERS, Drawn, ZooRecipe
from wsjax.progress import progress_of

OF_FIVE = tuple(SPLITS.index(name) for name in ("train", "train", "train", "validation", "test"))
"""The splits of five runs one after the other. Settings are drawn independently, so any five do."""


def zoo_job(images: Images, recipe: ZooRecipe, *, workers: int | None = None, progress: bool = True) -> Job:
    """The job of fitting the classifiers of a zoo; raises as `data.fit` does.

    Args:
        images: the source.
        recipe: how.
        workers: host threads; None takes one a core on a CPU, one a device on accelerators.
        progress: show a bar with the mean test accuracy so far.
    """
    metadata, stops, rows = _metadata(images, recipe), len(recipe.stops), recipe.slots * len(recipe.stops)

    def producer(missing: Missing) -> Generator[Networks]:
        groups = [
            numbers[i : i + rows : stops] // stops for numbers in missing.shards for i in range(0, len(numbers), rows)
        ]
        with contextlib.closing(_grown(images, recipe, groups, workers, progress, missing.done)) as parts:
            for grown in parts:
                number = grown.run * stops + grown.view
                yield Networks(number, grown.weights, grown.measured.test_accuracy, _columns(recipe, grown))

    # The slots of one group, with their snapshots, belong to one shard.
    return Job(metadata, recipe.count * stops, rows * max(1, shards.SHARD_NETWORKS // rows), producer)


def _grown(
    images: Images, recipe: ZooRecipe, groups: list[np.ndarray], workers: int | None, progress: bool, done: int
) -> Generator[Grown]:
    """Fitted groups, with a bar that counts stored networks and shows the mean accuracy at the last step."""
    total = done + sum(map(len, groups)) * len(recipe.stops)
    accuracy = []
    parts = fit_zoo_groups(images, recipe, groups, workers=workers)
    with (
        contextlib.closing(parts),
        progress_of(total=total, initial=done, unit="networks", desc=f"zoo {images.name}", disable=not progress) as bar,
    ):
        for grown in parts:
            last = grown.view == len(recipe.stops) - 1
            accuracy.extend(grown.measured.test_accuracy[last].tolist())
            bar.set_postfix(accuracy=f"{np.mean(accuracy):.1%}", refresh=False)
            bar.update(len(grown.run))
            yield grown


def _columns(recipe: ZooRecipe, grown: Grown) -> dict[str, np.ndarray]:
    run = grown.run.astype(np.int32)
    drawn: Drawn = grown.drawn._replace(optimizer=grown.drawn.optimizer.astype(np.int8))
    return {
        "run": run,
        "image": run,
        "view": grown.view.astype(np.int32),
        "steps": np.asarray(recipe.stops, np.int32)[grown.view],
        "split": np.asarray(OF_FIVE, np.int8)[run % len(OF_FIVE)],
        **grown.measured._asdict(),
        **drawn._asdict(),
        "diverged": grown.diverged.astype(np.int8),
    }


def _metadata(images: Images, recipe: ZooRecipe) -> Metadata:
    check_network(recipe, check_images(images))
    source = {
        **source_of(images),
        "label": "accuracy on the test images",
        "apply": APPLY,
        "optimizers": OPTIMIZERS,
    }
    # Metadata's network decodes coordinates; a zoo's takes images, and its recipe runs it.
    name, symmetry = f"{images.name}-zoo", recipe.network.symmetry
    return Metadata(name, None, symmetry, label="target", source=source, recipe=recipe.to_json())
