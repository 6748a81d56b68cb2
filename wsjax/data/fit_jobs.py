"""Fit jobs, (image row, view) pairs, by whichever program the recipe calls for, with a progress bar."""

from collections.abc import Generator

import numpy as np
from jaxtyping import PyTree
from tqdm import tqdm

from wsjax.data.fit import Fitted, concatenate, fit_groups, groups
from wsjax.data.images import Images
from wsjax.data.recipe import Recipe
from wsjax.data.refill import fit_refilled


def fit_jobs(
    images: Images,
    recipe: Recipe,
    jobs: list[np.ndarray],
    *,
    workers: int | None,
    progress: bool,
    done: int = 0,
    given: PyTree = None,
) -> Generator[Fitted]:
    """Fitted networks in parts: in order where every network makes all steps, in any where each stops at its target.

    Args:
        images: what to fit.
        recipe: how.
        jobs: groups of (image row, view) pairs.
        workers: host threads; None takes one a core on a CPU, one a device on accelerators.
        progress: show a bar with the mean PSNR so far.
        done: how many networks were fitted before; the bar begins there.
        given: the weights that all start from, where the recipe says so.
    """
    total, quality, count = done + sum(map(len, jobs)), 0.0, 0
    if recipe.target_psnr is None or not jobs:
        parts = fit_groups(images, recipe, jobs, workers=workers, given=given)
    else:
        parts = fit_refilled(images, recipe, np.concatenate(jobs), workers=workers, given=given)
    with tqdm(total=total, initial=done, unit="net", desc=f"fit {images.name}", disable=not progress) as bar:
        for fitted in parts:
            quality, count = quality + float(fitted.psnr.sum()), count + len(fitted.row)
            bar.set_postfix(psnr=f"{quality / count:.1f} dB", refresh=False)
            bar.update(len(fitted.row))
            yield fitted


def fit_weights(
    images: Images, recipe: Recipe, *, workers: int | None = None, progress: bool = True, given: PyTree = None
) -> Fitted:
    """Fit every image (and view), in memory, with a progress bar that shows the mean PSNR so far.

    Args:
        images: what to fit.
        recipe: how.
        workers: host threads; None takes one a core on a CPU, one a device on accelerators.
        progress: show the bar.
        given: the weights that all start from, where the recipe says so.

    Example:
        >>> from wsjax.data import limit, load_images
        >>> from wsjax.networks import Network
        >>> recipe = Recipe(Network("siren", (2, 8, 1), w0=(10.0,)), steps=5, lanes=4)
        >>> fit_weights(limit(load_images("digits"), 6), recipe, progress=False).psnr.shape
        (6,)
    """
    jobs = groups(recipe, len(images.pixels))
    return in_order(list(fit_jobs(images, recipe, jobs, workers=workers, progress=progress, given=given)))


def in_order(parts: list[Fitted]) -> Fitted:
    """Networks that ended in any order, by image row and view.

    Example:
        >>> one = lambda row: Fitted((), np.array([row]), np.zeros(1), np.zeros(1), np.zeros(1))
        >>> in_order([one(2), one(0)]).row.tolist()
        [0, 2]
    """
    whole = concatenate(parts)
    return whole.take(np.lexsort((whole.view, whole.row)))
