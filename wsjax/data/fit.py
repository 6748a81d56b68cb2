"""`fit`: from a source or arrays to a data set of fitted networks, in memory or in a directory."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias, overload

import numpy as np
from jaxtyping import ArrayLike

from wsjax.data.dataset import WeightDataset
from wsjax.data.fitting.job import fit_job
from wsjax.data.fitting.recipes import recipe_named
from wsjax.data.recipe import InitializedRecipe, Recipe
from wsjax.data.sources.images import Images, images
from wsjax.data.sources.registry import load_source
from wsjax.data.sources.signals import Signals
from wsjax.data.store.parts import Part
from wsjax.data.store.write_shards import in_memory, write_part, write_shards
from wsjax.data.zoo.fit import zoo_job
from wsjax.data.zoo.recipe import ZooRecipe

AnyRecipe: TypeAlias = Recipe | InitializedRecipe | ZooRecipe


@overload
def fit(
    source: str | Images | Signals | ArrayLike,
    labels: ArrayLike | Sequence[int] | None = None,
    *,
    recipe: AnyRecipe | str | None = None,
    out: str | Path | None = None,
    part: None = None,
    workers: int | None = None,
    progress: bool = True,
) -> WeightDataset: ...
@overload
def fit(
    source: str | Images | Signals | ArrayLike,
    labels: ArrayLike | Sequence[int] | None = None,
    *,
    recipe: AnyRecipe | str | None = None,
    out: str | Path,
    part: str,
    workers: int | None = None,
    progress: bool = True,
) -> WeightDataset | None: ...
def fit(
    source: str | Images | Signals | ArrayLike,
    labels: ArrayLike | Sequence[int] | None = None,
    *,
    recipe: AnyRecipe | str | None = None,
    out: str | Path | None = None,
    part: str | None = None,
    workers: int | None = None,
    progress: bool = True,
) -> WeightDataset | None:
    """Fit a network to every image or signal (and view), or, with a `ZooRecipe`, a zoo of classifiers to all images.

    With a directory the networks are stored there shard by shard: a fit that was stopped goes on, and the result is the
    same, bit for bit, however often it was stopped; a kill loses the shard being fitted, no more. A directory that
    holds the whole fit is read, not fitted again. Several processes of JAX (`devices.start_processes`) share
    the work, and all return the same data set.

    Args:
        source: a name in `sources.SOURCES`; images or signals; or pixels, as `images` takes them, all for training.
        labels: of pixels, one for each.
        recipe: how, also `recipe.starting_from(weights)`; or the name of a recipe for images, `"dws"`, `"nfn"`,
            `"fast"` or `"siren"`; None takes the source's own, and `"fast"` for images of your own.
        out: a directory; None keeps the data set in memory.
        part: one part of the work, such as `"1/4"`, the first of four; other processes, on this machine or others, fit
            the other parts into the same directory. The last to end joins them; the others return None and say which
            parts are missing.
        workers: host threads; None takes one a core on a CPU, one a device on accelerators.
        progress: show a bar.

    Raises:
        ValueError: a recipe that does not fit the source; `labels` of a source that has its own; a part without a
            directory; or the directory holds a data set with other settings (each is named), or something else.
        DataError: images or signals that are not as they should be, a network that ended in NaN or infinity, or a
            damaged shard.
        OSError: the directory cannot be written, another process writes it, or the disk is full.
        KeyboardInterrupt: after Ctrl-C, once a line has said how many networks are safe.

    Example:
        >>> import numpy as np
        >>> from wsjax.data import Recipe
        >>> from wsjax.networks import Network
        >>> pixels, recipe = np.zeros((4, 8, 8), np.uint8), Recipe(Network("siren", (2, 4, 1)), steps=2, slots=4)
        >>> fit(pixels, [0, 1, 0, 1], recipe=recipe, progress=False)
        WeightDataset('images', 4 networks: 4 train, 0 validation, 0 test)
    """
    own = None if part is None else Part.parse(part)
    if own is not None and out is None:
        raise ValueError(f"part is {part} and out is None; expected a directory that the parts share: give out")
    found = _found(source, labels)
    recipe = _recipe(recipe, source, found)
    settings = {"workers": workers, "progress": progress}
    if not isinstance(recipe, ZooRecipe):
        job = fit_job(found, recipe, **settings)
    elif isinstance(found, Images):
        job = zoo_job(found, recipe, **settings)
    else:
        raise ValueError(f"a zoo is of classifiers of images; {found.name} gives other signals: expected images")
    if out is None:
        return in_memory(job)
    return write_shards(out, job) if own is None else write_part(out, job, own)


def _found(source: str | Images | Signals | ArrayLike, labels: ArrayLike | Sequence[int] | None) -> Images | Signals:
    if isinstance(source, str | Images | Signals):
        if labels is not None:
            name = source if isinstance(source, str) else source.name
            raise ValueError(
                f"labels are given, and {name!r} has its own; expected labels of pixels alone: leave them out"
            )
        return load_source(source) if isinstance(source, str) else source
    return images(np.asarray(source), labels)


def _recipe(
    recipe: AnyRecipe | str | None, source: str | Images | Signals | ArrayLike, found: Images | Signals
) -> AnyRecipe:
    if isinstance(recipe, AnyRecipe):
        return recipe
    if recipe is None and isinstance(source, str):
        return recipe_named(source)
    if not isinstance(found, Images):
        raise ValueError(
            f"recipe is {recipe!r}; expected a Recipe for the signals of {found.name}, as "
            f"those with names are for images"
        )
    return recipe_named("fast" if recipe is None else recipe, found.pixels.shape[-1])
