"""The data sets of the suites, each fitted in a directory, or opened where it is fitted already."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from wsjax import data


def digits(out: Path, limit: int | None, count: int = 1, files: Path | None = None) -> data.WeightDataset:
    """The INRs of `digits`, by the source's own recipe, so many of each image.

    Raises:
        ValueError: a directory, as no file is needed.
    """
    recipe = replace(data.default_recipe("digits"), views=count)
    return data.fit_dataset(data.limit(data.load_images("digits", files), limit), recipe, out)


def fashion(
    out: Path, limit: int | Sequence[int] | None, recipe: data.Recipe, files: Path | None = None
) -> data.WeightDataset:
    """INRs of Fashion-MNIST: of so many images, in its own proportions or of each split, or of all."""
    images = data.load_images("fashion-mnist", files)
    chosen = limit_splits(images, limit) if isinstance(limit, Sequence) else data.limit(images, limit)
    return data.fit_dataset(chosen, recipe, out)


def limit_splits(images: data.Images, counts: Sequence[int]) -> data.Images:
    """The first so many images of each split, of a fixed shuffle.

    Raises:
        ValueError: more than a split has.

    Example:
        >>> chosen = limit_splits(data.load_images("digits"), (5, 3, 4))
        >>> np.bincount(chosen.split).tolist()
        [5, 3, 4]
        >>> limit_splits(data.load_images("digits"), (5, 3, 4000))
        Traceback (most recent call last):
        ValueError: digits has 400 images in the split 'test'; 4000 were asked for: ask for fewer
    """
    rng, rows = np.random.default_rng(0), []
    for number, count in enumerate(counts):
        held = rng.permutation(np.flatnonzero(images.split == number))
        if count > len(held):
            raise ValueError(
                f"{images.name} has {len(held)} images in the split {data.SPLITS[number]!r}; {count} were asked for: "
                f"ask for fewer"
            )
        rows.append(held[:count])
    return images.take(np.sort(np.concatenate(rows)))


def from_zero() -> data.Recipe:
    """The recipe `fast`, from networks that start with a zero output."""
    recipe = data.recipe_named("fast")
    return replace(recipe, network=replace(recipe.network, family="zero_output"))


def fields(out: Path, count: int | None, files: Path | None = None, steps: int | None = None) -> data.WeightDataset:
    """INRs of signed distances: of so many solids, or of so many of the meshes in a directory, None for all of them.

    The source's own recipe; steps: other than its own.
    """
    name = "solids" if files is None else "meshes"
    recipe = data.default_recipe(name)
    if files is None:
        signals = data.load_source(name, options={"count": count})
    else:
        signals = data.limit(data.load_source(name, files), count)
    return data.fit_dataset(signals, recipe if steps is None else replace(recipe, steps=steps), out)
