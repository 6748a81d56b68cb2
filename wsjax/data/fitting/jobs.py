"""Fit jobs, (signal row, view) pairs, by whichever program the recipe calls for, with a progress bar."""

from collections.abc import Generator

import numpy as np
from jaxtyping import PyTree

from wsjax.data.fitting.fit import Fitted, concatenate, fit_groups, groups
from wsjax.data.fitting.refill import fit_refilled
from wsjax.data.recipe import Recipe
from wsjax.data.sources.images import Images
from wsjax.data.sources.signals import Signals, as_signals
from wsjax.progress import progress_of


def fit_jobs(
    found: Images | Signals,
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
        found: images or signals.
        recipe: how.
        jobs: groups of (signal row, view) pairs.
        workers: host threads; None takes one a core on a CPU, one a device on accelerators.
        progress: show a bar with the mean PSNR so far.
        done: how many networks were fitted before; the bar begins there.
        given: the weights that all start from, where the recipe says so.
    """
    signals = as_signals(found, recipe)
    total, quality, count = done + sum(map(len, jobs)), 0.0, 0
    if recipe.target_psnr is None or not jobs:
        parts = fit_groups(signals, recipe, jobs, workers=workers, given=given)
    else:
        parts = fit_refilled(signals, recipe, np.concatenate(jobs), workers=workers, given=given)
    with progress_of(
        total=total, initial=done, unit="networks", desc=f"fit {signals.name}", disable=not progress
    ) as bar:
        for fitted in parts:
            quality, count = quality + float(fitted.psnr.sum()), count + len(fitted.row)
            bar.set_postfix(psnr=f"{quality / count:.1f} dB", refresh=False)
            bar.update(len(fitted.row))
            yield fitted


def fit_weights(
    found: Images | Signals,
    recipe: Recipe,
    *,
    workers: int | None = None,
    progress: bool = True,
    given: PyTree = None,
) -> Fitted:
    """Fit every image or signal (and view), in memory, with a progress bar that shows the mean PSNR so far.

    Args:
        found: images or signals.
        recipe: how.
        workers: host threads; None takes one a core on a CPU, one a device on accelerators.
        progress: show the bar.
        given: the weights that all start from, where the recipe says so.

    Example:
        >>> from wsjax.data import limit, load_images
        >>> from wsjax.networks import Network
        >>> recipe = Recipe(Network("siren", (2, 4, 1)), steps=2, lanes=4)
        >>> fit_weights(limit(load_images("digits"), 6), recipe, progress=False).psnr.shape
        (6,)
    """
    jobs = groups(recipe, len(found.split))
    return in_order(list(fit_jobs(found, recipe, jobs, workers=workers, progress=progress, given=given)))


def in_order(parts: list[Fitted]) -> Fitted:
    """Networks that ended in any order, by signal row and view.

    Example:
        >>> one = lambda row: Fitted((), np.array([row]), np.zeros(1), np.zeros(1), np.zeros(1))
        >>> in_order([one(2), one(0)]).row.tolist()
        [0, 2]
    """
    whole = concatenate(parts)
    return whole.take(np.lexsort((whole.view, whole.row)))
