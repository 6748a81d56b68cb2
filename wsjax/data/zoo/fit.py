"""Fit a zoo: its classifiers many at once, each with settings of its own, their columns and their metadata.

Groups of slots go to host threads, one a core, as in `fit`; short groups are padded. What becomes of a network does not
depend on its slot, its neighbors, the order, or on how many are fitted. A thread calls for few steps at a time, so
that Ctrl-C ends it soon.
"""

import contextlib
from collections.abc import Generator
from concurrent.futures import CancelledError
from threading import Event
from typing import Any

import jax
import numpy as np

from wsjax.data.dataset import as_integers
from wsjax.data.fitting.grouped import fit_devices
from wsjax.data.metadata import Metadata
from wsjax.data.pool import in_turn, workers_of
from wsjax.data.sources.images import SPLITS, Images, check_images
from wsjax.data.sources.provenance import source_of
from wsjax.data.store import shards
from wsjax.data.store.job import Job, Missing, Networks
from wsjax.data.zoo.check import APPLY
from wsjax.data.zoo.recipe import OPTIMIZERS, ZooRecipe, check_network
from wsjax.data.zoo.step import Labeled, begin, evaluate, labeled, make_steps
from wsjax.errors import check_number
from wsjax.progress import progress_of

STEPS_AT_ONCE = 25
OF_FIVE = tuple(SPLITS.index(name) for name in ("train", "train", "train", "validation", "test"))
"""The splits of five runs one after the other. Settings are drawn independently, so any five do."""


def zoo_job(images: Images, recipe: ZooRecipe, *, workers: int | None = None, progress: bool = True) -> Job:
    """The job of fitting the classifiers of a zoo, with a bar that shows the mean accuracy at the last step so far."""
    check_network(recipe, check_images(images))
    stops, rows = len(recipe.stops), recipe.slots * len(recipe.stops)
    own = {"label": "accuracy on the test images", "apply": APPLY, "optimizers": OPTIMIZERS}
    # Metadata's network decodes coordinates; a zoo's takes images, and its recipe runs it.
    name, symmetry, source = f"{images.name}-zoo", recipe.network.symmetry, {**source_of(images), **own}
    metadata = Metadata(name, None, symmetry, label="target", source=source, recipe=recipe.to_json())

    def producer(missing: Missing) -> Generator[Networks]:
        groups = [
            numbers[i : i + rows : stops] // stops for numbers in missing.shards for i in range(0, len(numbers), rows)
        ]
        total, accuracy = missing.done + sum(map(len, groups)) * stops, []
        bar = progress_of(
            total=total, initial=missing.done, unit="networks", desc=f"zoo {images.name}", disable=not progress
        )
        with contextlib.closing(fit_zoo_groups(images, recipe, groups, workers=workers)) as parts, bar:
            for some in parts:
                accuracy.extend(some.label[some.columns["view"] == stops - 1].tolist())
                bar.set_postfix(accuracy=f"{np.mean(accuracy):.1%}", refresh=False)
                bar.update(len(some.number))
                yield some

    # The slots of one group, with their snapshots, belong to one shard.
    return Job(metadata, recipe.count * stops, rows * max(1, shards.SHARD_NETWORKS // rows), producer)


def fit_zoo_groups(
    images: Images, recipe: ZooRecipe, groups: list[np.ndarray], *, workers: int | None = None
) -> Generator[Networks]:
    """Fit groups of numbers of networks, at most `slots` in each, yielding each group with its snapshots, in order.

    Closing the generator, or an exception in the loop that reads it (Ctrl-C), abandons the groups that are not done.
    """
    check_network(recipe, images)
    for group in groups:
        numbers = as_integers("the numbers of networks", group, np.int32)
        check_number("the size of a group", len(numbers), low=1, high=recipe.slots, integer=True)
        for number in (numbers.min(), numbers.max()):
            check_number("the number of a network", number, low=0, high=recipe.count - 1, integer=True)
    threads = workers_of(workers)
    devices = fit_devices()[:threads]
    splits = tuple(labeled(images, split) for split in ("train", "test"))
    given = {device: jax.device_put(splits, device) for device in devices}

    def work(group: np.ndarray, device: Any, stopped: Event) -> Networks:
        train, test = given[device]
        return _fit_group(recipe, train, test, group, device, stopped)

    return in_turn(work, groups, devices, threads)


def _fit_group(
    recipe: ZooRecipe, train: Labeled, test: Labeled, group: np.ndarray, device: Any, stopped: Event
) -> Networks:
    padded = group[np.arange(recipe.slots) % len(group)].astype(np.int32)
    program = recipe.program
    slots, kept, start = begin(program, train, jax.device_put(padded, device)), [], 0
    for stop in recipe.stops:
        while start < stop:
            if stopped.is_set():
                raise CancelledError
            end = min(start + STEPS_AT_ONCE, stop)
            slots, start = make_steps(program, train, slots, np.int32(start), np.int32(end)), end
            jax.block_until_ready(slots.diverged)
        kept.append((slots.weights, evaluate(program, train, test, slots), slots.drawn, slots.diverged))
    rows = lambda *stops: np.stack([np.asarray(x)[: len(group)] for x in stops], 1).reshape(-1, *stops[0].shape[1:])
    weights, metrics, drawn, diverged = jax.tree.map(rows, *kept)
    run, view = np.repeat(group, len(kept)), np.tile(np.arange(len(kept)), len(group))
    columns = {
        "run": run.astype(np.int32),
        "image": run.astype(np.int32),
        "view": view.astype(np.int32),
        "steps": np.asarray(recipe.stops, np.int32)[view],
        "split": np.asarray(OF_FIVE, np.int8)[run % len(OF_FIVE)],
        **metrics._asdict(),
        **drawn._asdict(),
        "optimizer": drawn.optimizer.astype(np.int8),
        "diverged": diverged.astype(np.int8),
    }
    return Networks(run * len(kept) + view, weights, metrics.test_accuracy, columns)
