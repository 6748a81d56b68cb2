"""The data sets of the suites, each fitted in a directory, or opened where it is fitted already."""

from dataclasses import replace
from pathlib import Path

from wsjax import data


def digits(out: Path, limit: int | None, count: int = 1, files: Path | None = None) -> data.WeightDataset:
    """The INRs of `digits`, by the source's own recipe, so many of each image.

    Raises:
        ValueError: a directory, as no file is needed.
    """
    recipe = replace(data.default_recipe("digits"), views=count)
    return data.fit_dataset(data.limit(data.load_images("digits", files), limit), recipe, out)


def fashion(out: Path, limit: int | None, recipe: data.Recipe, files: Path | None = None) -> data.WeightDataset:
    """INRs of Fashion-MNIST."""
    return data.fit_dataset(data.limit(data.load_images("fashion-mnist", files), limit), recipe, out)


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
