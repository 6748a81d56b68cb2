"""The job of a fit: its (signal row, view) pairs, by whichever program the recipe calls for, and its metadata."""

import contextlib
from collections.abc import Generator
from typing import Any

import jax
import numpy as np

from wsjax.data.fitting.grouped import Fitted, concatenate, fit_groups, groups
from wsjax.data.fitting.recipes import name_in_metadata
from wsjax.data.fitting.refill import fit_refilled
from wsjax.data.metadata import Metadata
from wsjax.data.optimizers import is_registered, state_sha256
from wsjax.data.recipe import NAMED, InitializedRecipe, Recipe, initialized, optimizer_of
from wsjax.data.sources.images import Images, check_images
from wsjax.data.sources.provenance import arrays_sha256, source_of
from wsjax.data.sources.signals import Signals, as_signals, check_recipe, check_signals, refuse_pixel_settings
from wsjax.data.store import shards
from wsjax.data.store.job import Job, Missing, Networks
from wsjax.progress import progress_of


def fit_job(
    found: Images | Signals, recipe: Recipe | InitializedRecipe, *, workers: int | None = None, progress: bool = True
) -> Job:
    """The job of fitting every image or signal (and view), with a bar that shows the mean PSNR so far."""
    started = initialized(recipe)
    recipe = started.recipe
    metadata, signals = _metadata(found, started), as_signals(found, recipe)
    check_recipe(recipe, signals)
    # The slots of one group belong to one shard.
    shard_networks = recipe.slots * max(1, shards.SHARD_NETWORKS // recipe.slots)

    def producer(missing: Missing) -> Generator[Networks]:
        pairs = [
            np.stack(np.divmod(numbers[i : i + recipe.slots], recipe.views), axis=1)
            for numbers in missing.shards
            for i in range(0, len(numbers), recipe.slots)
        ]
        parts = _fit_pairs(signals, started, pairs, workers=workers, progress=progress, done=missing.done)
        with contextlib.closing(parts):
            for some in parts:
                number = some.row * recipe.views + some.view
                yield Networks(number, some.weights, *_label_and_columns(signals, some))

    return Job(metadata, len(signals.values) * recipe.views, shard_networks, producer)


def fit_weights(
    found: Images | Signals, recipe: Recipe | InitializedRecipe, *, workers: int | None = None, progress: bool = True
) -> Fitted:
    """Fit every image or signal (and view), in memory, without labels and metadata, in order."""
    started = initialized(recipe)
    pairs = groups(started.recipe, len(found.split))
    whole = concatenate(list(_fit_pairs(found, started, pairs, workers=workers, progress=progress)))
    return whole.take(np.lexsort((whole.view, whole.row)))


def _fit_pairs(
    found: Images | Signals,
    started: InitializedRecipe,
    pairs: list[np.ndarray],
    *,
    workers: int | None,
    progress: bool,
    done: int = 0,
) -> Generator[Fitted]:
    """Fitted networks in parts: in order where every network makes all steps, in any where each stops at its target.

    `done` networks were fitted before; the bar begins there.
    """
    signals = as_signals(found, started.recipe)
    total, quality, count = done + sum(map(len, pairs)), 0.0, 0
    if started.recipe.target_psnr is None or not pairs:
        parts = fit_groups(signals, started, pairs, workers=workers)
    else:
        parts = fit_refilled(signals, started, np.concatenate(pairs), workers=workers)
    with progress_of(
        total=total, initial=done, unit="networks", desc=f"fit {signals.name}", disable=not progress
    ) as bar:
        for fitted in parts:
            quality, count = quality + float(fitted.psnr.sum()), count + len(fitted.row)
            bar.set_postfix(psnr=f"{quality / count:.1f} dB", refresh=False)
            bar.update(len(fitted.row))
            yield fitted


def _metadata(found: Images | Signals, started: InitializedRecipe) -> Metadata:
    """The metadata of a fit, without statistics: they come last. Signals and given weights are known by SHA-256."""
    recipe, own = started.recipe, dict[str, Any]()
    if isinstance(found, Images):
        own = {"image_shape": check_images(found).pixels.shape[1:], "value_range": recipe.value_range}
    else:
        refuse_pixel_settings(recipe, check_signals(found))
        kind = "class" if found.classes else "target"
        own = {"value_range": found.value_range, "coordinate_range": found.coordinate_range, "label": kind}
    return Metadata(
        found.name,
        recipe.network,
        recipe.network.symmetry,
        coordinate_order=recipe.coordinate_order,
        classes=found.classes,
        source=source_of(found),
        recipe={**recipe.to_json(), NAMED: name_in_metadata(recipe), **_initial(started), **_own_optimizer(recipe)},
        **own,
    )


def _initial(started: InitializedRecipe) -> dict[str, str]:
    """The SHA-256 of the weights that all networks start from. Raises ValueError for those of another network."""
    if started.weights is None:
        return {}
    leaves = started.recipe.network.symmetry.leaves(started.weights)
    return {"initial_weights_sha256": arrays_sha256(map(np.asarray, leaves))}


def _own_optimizer(recipe: Recipe) -> dict[str, str]:
    """The SHA-256 of the state of a user's own optimizer for a network; that of optax's follows from their names."""
    if not is_registered(recipe.optimizer):
        return {}
    weights = jax.eval_shape(recipe.network.init, jax.random.key(0))
    return {"optimizer_state_sha256": state_sha256(optimizer_of(recipe), weights)}


def _label_and_columns(signals: Signals, fitted: Fitted) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    image, split = signals.index[fitted.row], signals.split[fitted.row]
    columns = {"image": image, "view": fitted.view.astype(np.int32), "split": split}
    columns |= {"psnr": fitted.psnr, "steps": fitted.steps.astype(np.int32)}
    return signals.label[fitted.row], columns
