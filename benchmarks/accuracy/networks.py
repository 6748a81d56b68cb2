"""The data sets of the suites, each fitted in a directory, or loaded where it is fitted already."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import jax
import numpy as np

from wsjax import data
from wsjax.data.recipe import Initialization
from wsjax.data.sources.images import Divided
from wsjax.errors import check_choice
from wsjax.networks import Network

T = TypeVar("T", bound=Divided)

SOLIDS = 5000
"""Solids from which those of each split are taken; one in ten is for validation, and one for the test."""


def digits(
    out: Path,
    limit: int | None,
    count: int = 1,
    files: Path | None = None,
    initialization: Initialization = "independent",
    published: bool = False,
) -> data.WeightDataset:
    """The INRs of `digits`, by the source's own recipe, so many of each image; initialized as told.

    published: from the initialization of the published files, w0 = 30, and 600 steps at 4e-3, 57 dB, for the networks'
    arrays to deviate about as much as theirs.

    Raises:
        ValueError: a directory, as no file is needed.
    """
    recipe = replace(data.recipe_named("digits"), views=count, initialization=initialization)
    if published:
        network = replace(recipe.network, family="dws", w0=(30.0,))
        recipe = replace(recipe, network=network, steps=600, learning_rate=4e-3)
    return data.fit(data.limit(data.load_images("digits", files), limit), recipe=recipe, out=out)


def fashion(
    out: Path, limit: int | Sequence[int] | None, recipe: data.Recipe, files: Path | None = None
) -> data.WeightDataset:
    """INRs of Fashion-MNIST: of so many images, in its own proportions or of each split, or of all."""
    images = data.load_images("fashion-mnist", files)
    chosen = limit_splits(images, limit) if isinstance(limit, Sequence) else data.limit(images, limit)
    return data.fit(chosen, recipe=recipe, out=out)


def fashion_views(out: Path, counts: Sequence[int], views: int, files: Path | None = None) -> data.WeightDataset:
    """INRs from a zero output of so many images of each split: several of each to train on, one of the others."""
    images = limit_splits(data.load_images("fashion-mnist", files), counts)
    training = images.split == 0
    recipe = replace(from_zero(), views=views)
    several = data.fit(images.take(np.flatnonzero(training)), recipe=recipe, out=out / "train")
    one = data.fit(images.take(np.flatnonzero(~training)), recipe=from_zero(), out=out / "others")
    # The metadata differ in the number of views alone; of each image one network is the same, whatever that is.
    return data.concatenate([several, replace(one, metadata=several.metadata)])


def fashion_within_training(
    out: Path, counts: Sequence[int], files: Path | None = None, recipe: data.Recipe | None = None
) -> data.WeightDataset:
    """INRs of Fashion-MNIST's training images alone, so many for each split; None fits from a zero output."""
    images = within_training(data.load_images("fashion-mnist", files), counts)
    return data.fit(images, recipe=recipe or from_zero(), out=out)


def limit_splits(found: T, counts: Sequence[int]) -> T:
    """The first so many images or signals of each split, of a fixed shuffle.

    Raises:
        ValueError: more than a split has.

    Example:
        >>> chosen = limit_splits(data.load_images("digits"), (5, 3, 4))
        >>> np.bincount(chosen.split).tolist()
        [5, 3, 4]
        >>> limit_splits(data.load_images("digits"), (5, 3, 4000))
        Traceback (most recent call last):
        ValueError: digits has 400 in the split 'test'; 4000 were asked for: ask for fewer
    """
    rng, rows = np.random.default_rng(0), []
    for number, count in enumerate(counts):
        held = rng.permutation(np.flatnonzero(found.split == number))
        if count > len(held):
            raise ValueError(
                f"{found.name} has {len(held)} in the split {data.sources.SPLITS[number]!r}; {count} were asked for: "
                f"ask for fewer"
            )
        rows.append(held[:count])
    return found.take(np.sort(np.concatenate(rows)))


def within_training(images: data.Images, counts: Sequence[int]) -> data.Images:
    """So many images for each split, all of them from the training split, in a fixed shuffle.

    What is chosen by the scores of such a data set does not depend on the images that results are given for.

    Raises:
        ValueError: more than the training split has.

    Example:
        >>> chosen = within_training(data.load_images("digits"), (5, 3, 4))
        >>> chosen.name, np.bincount(chosen.split).tolist()
        ('digits-training', [5, 3, 4])
        >>> within_training(data.load_images("digits"), (500, 300, 400))
        Traceback (most recent call last):
        ValueError: digits has 1100 images to train on; 500 + 300 + 400 were asked for: ask for fewer
    """
    held = np.flatnonzero(images.split == 0)
    if sum(counts) > len(held):
        raise ValueError(
            f"{images.name} has {len(held)} images to train on; {' + '.join(map(str, counts))} were asked for: ask "
            f"for fewer"
        )
    chosen = images.take(np.random.default_rng(0).permutation(held)[: sum(counts)])
    split = np.repeat(np.arange(len(counts), dtype=np.int8), counts)
    return chosen._replace(name=f"{images.name}-training", split=split)


def from_zero(recipe: data.Recipe | None = None) -> data.Recipe:
    """A recipe, `fast` for None, from networks that start with a zero output."""
    recipe = recipe or data.recipe_named("fast")
    return replace(recipe, network=replace(recipe.network, family="zero_output"))


def derive(networks: data.WeightDataset, name: str) -> data.WeightDataset:
    """What is made of a data set: itself for "", `aligned`, or with "first_500" the first 500 of the networks to train
    on beside all others.

    Raises:
        ValueError: another name.
    """
    kind, _, count = name.partition("_")
    if kind == "first" and count.isdigit():
        training = networks.columns["split"] == 0
        return networks.where(~training | (np.cumsum(training) <= int(count))).with_statistics()
    check_choice("derived data set", name, ("", "aligned", "first_N"))
    return aligned(networks) if name else networks


def aligned(networks: data.WeightDataset) -> data.WeightDataset:
    """Each network brought near to one that was never trained."""
    return data.align(networks, to=network_of(networks).init(jax.random.key(0)))


def network_of(networks: data.WeightDataset) -> Network:
    assert networks.metadata.network is not None  # of fitted networks it is known
    return networks.metadata.network


def fields(
    out: Path, limit: int | Sequence[int] | None, files: Path | None = None, steps: int | None = None
) -> data.WeightDataset:
    """INRs of signed distances: of so many solids, or meshes in a directory; of each split, or of all for None.

    The source's own recipe, from networks that start with a zero output; steps: other than its own.
    """
    name = "solids" if files is None else "meshes"
    recipe = from_zero(data.recipe_named(name))
    if files is not None:
        signals = data.sources.load_source(name, files)
    else:
        count = limit if isinstance(limit, int) else SOLIDS
        signals = data.sources.load_source(name, options={"count": count})
    chosen = limit_splits(signals, limit) if isinstance(limit, Sequence) else data.limit(signals, limit)
    return data.fit(chosen, recipe=recipe if steps is None else replace(recipe, steps=steps), out=out)


def curves(out: Path, count: int, steps: int | None = None) -> data.WeightDataset:
    """INRs of so many sine curves, by the source's own recipe, or with other steps than its own."""
    recipe = data.recipe_named("sines")
    signals = data.sources.load_source("sines", options={"count": count})
    return data.fit(signals, recipe=recipe if steps is None else replace(recipe, steps=steps), out=out)
