"""Fit thousands of small classifiers, each with settings of its own, many at once.

Groups of slots go to host threads, one a core, as in `fit`; short groups are padded. What becomes of a network does not
depend on its slot, its neighbors, the order, or on how many are fitted. A thread calls for few steps at a time, so
that Ctrl-C ends it soon.
"""

from collections.abc import Generator
from concurrent.futures import CancelledError
from dataclasses import replace
from threading import Event
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import PyTree

from wsjax.data.dataset import as_integers
from wsjax.data.fitting.grouped import fit_devices
from wsjax.data.pool import in_turn, workers_of
from wsjax.data.sources.images import SPLITS, Images
from wsjax.data.zoo.recipe import Drawn, ZooRecipe
from wsjax.data.zoo.step import Labeled, Measured, begin, make_steps, measure
from wsjax.errors import check_number
from wsjax.networks import CNN

STEPS_AT_ONCE = 25
CHUNK = 64
"""Images that a network is measured on at the same time."""


class Grown(NamedTuple):
    """Stacked networks on the host: one row for each stop of each run, and what is known of them."""

    run: np.ndarray
    view: np.ndarray
    weights: PyTree
    measured: Measured
    drawn: Drawn
    diverged: np.ndarray


def fit_zoo_groups(
    images: Images, recipe: ZooRecipe, groups: list[np.ndarray], *, workers: int | None = None
) -> Generator[Grown]:
    """Fit groups of numbers of networks, at most `slots` in each, yielding each group on the host, in order.

    Closing the generator, or an exception in the loop that reads it (Ctrl-C), abandons the groups that are not done.

    Args:
        images: the source; networks are fitted to its training split and tested on its test split.
        recipe: how.
        groups: the numbers of the networks.
        workers: host threads; None takes one a core on a CPU, one a device on accelerators.

    Raises:
        ValueError: a network that does not fit the images, images without a training or a test split, a group that is
            empty or larger than the slots, or a number that is none of the recipe's.

    Example:
        >>> from wsjax.data import limit, load_images
        >>> from wsjax.networks import Network
        >>> few = limit(load_images("digits"), 20)
        >>> recipe = ZooRecipe(Network("mlp", (64, 4, 10), "relu"), steps=2, slots=2, snapshots=(1,))
        >>> [grown.run.tolist() for grown in fit_zoo_groups(few, recipe, [np.array([0, 1]), np.array([2])])]
        [[0, 0, 1, 1], [2, 2]]
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

    def work(group: np.ndarray, device: Any, stopped: Event) -> Grown:
        train, test = given[device]
        return _fit_group(recipe, train, test, group, device, stopped)

    return in_turn(work, groups, devices, threads)


def labeled(images: Images, split: str) -> Labeled:
    """The images of one split, in chunks. Raises ValueError where there are none.

    Example:
        >>> from wsjax.data import load_images
        >>> labeled(load_images("digits"), "test").images.shape
        (7, 64, 8, 8, 1)
    """
    rows = np.flatnonzero(images.split == SPLITS.index(split))
    if not len(rows):
        raise ValueError(f"{images.name} has no {split} images; a zoo needs some to train on and some to test on")
    chunk = min(CHUNK, len(rows))
    padded = np.zeros((-(-len(rows) // chunk) * chunk, *images.pixels.shape[1:]), np.float32)
    padded[: len(rows)] = images.pixels[rows]
    chunks = padded.reshape(-1, chunk, *images.pixels.shape[1:])
    return Labeled(jax.device_put(chunks), jax.device_put(images.label[rows]))


def check_network(recipe: ZooRecipe, images: Images) -> None:
    """Raise ValueError where a recipe's network does not take the images, or gives not as many logits as classes."""
    shape, classes, network = images.pixels.shape[1:], len(images.classes), recipe.network
    if isinstance(network, CNN):
        found, expected = (network.image_shape, recipe.classes), (shape, classes)
    else:
        found, expected = (network.widths[0], recipe.classes), (int(np.prod(shape)), classes)
    if found != expected:
        raise ValueError(
            f"the recipe's network takes {found[0]} and gives {found[1]} logits; the images of {images.name} need "
            f"{expected[0]} and {expected[1]}: use data.zoo.zoo_network"
        )


def _fit_group(
    recipe: ZooRecipe, train: Labeled, test: Labeled, group: np.ndarray, device: Any, stopped: Event
) -> Grown:
    padded = group[np.arange(recipe.slots) % len(group)].astype(np.int32)
    # Without these settings the same programs serve zoos of any number, steps and snapshots.
    seen = replace(recipe, count=1, steps=1, snapshots=())
    slots, kept, start = begin(seen, train, jax.device_put(padded, device)), [], 0
    for stop in recipe.stops:
        while start < stop:
            if stopped.is_set():
                raise CancelledError
            end = min(start + STEPS_AT_ONCE, stop)
            slots, start = make_steps(seen, train, slots, np.int32(start), np.int32(end)), end
            jax.block_until_ready(slots.diverged)
        kept.append((slots.weights, measure(seen, train, test, slots), slots.drawn, slots.diverged))
    rows = lambda *stops: np.stack([np.asarray(x)[: len(group)] for x in stops], 1).reshape(-1, *stops[0].shape[1:])
    run, view = np.repeat(group, len(kept)), np.tile(np.arange(len(kept)), len(group))
    weights, measured, drawn, diverged = jax.tree.map(rows, *kept)
    return Grown(run, view, weights, measured, drawn, diverged)
