"""Fit images or signals into a directory, shard by shard; a fit that was stopped goes on where it was."""

import contextlib
import hashlib
from collections.abc import Generator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import PyTree

from wsjax.data.card import Card
from wsjax.data.dataset import WeightDataset
from wsjax.data.fitting.fit import Fitted
from wsjax.data.fitting.jobs import fit_jobs, fit_weights
from wsjax.data.fitting.recipes import name_on_card
from wsjax.data.optimisers import is_registered, state_sha256
from wsjax.data.recipe import NAMED, Recipe, optimiser_of
from wsjax.data.sources.images import Images, check_images
from wsjax.data.sources.provenance import source_of
from wsjax.data.sources.signal_checks import check_recipe, check_signals, refuse_pixel_settings
from wsjax.data.sources.signals import Signals, as_signals
from wsjax.data.store import shards
from wsjax.data.store.fill import fill, fill_part, with_statistics
from wsjax.data.store.missing import Make, Missing, Networks
from wsjax.data.store.parts import Part


def fit_dataset(
    found: Images | Signals,
    recipe: Recipe,
    path: str | Path,
    *,
    workers: int | None = None,
    progress: bool = True,
    given: PyTree = None,
) -> WeightDataset:
    """Fit every image or signal (and view) into a directory, shard by shard; a fit that was stopped there goes on.

    The result is the same, bit for bit, however often it was stopped. A kill loses the shard being fitted, no more.
    A directory that holds the whole fit is read, not fitted again. Several processes that JAX knows of
    (`devices.start_processes`) share the work, and all return the same data set.

    Args:
        found: images or signals.
        recipe: how.
        path: the directory.
        workers: host threads; None takes one a core on a CPU, one a device on accelerators.
        progress: show a bar with the mean PSNR so far.
        given: the weights that all networks start from, for a recipe with the start "given".

    Raises:
        ValueError: a recipe that does not fit the signals; or the directory holds a data set with other settings
            (each is named), or something else.
        DataError: images or signals that are not as they should be, a network that ended in NaN or infinity, or a
            damaged shard.
        OSError: the directory cannot be written, another process writes it, or the disk is full.
        KeyboardInterrupt: after Ctrl-C, once a line has said how many networks are safe.

    Example:
        >>> import tempfile
        >>> from wsjax.data import Recipe, limit, load_images
        >>> from wsjax.networks import Network
        >>> recipe = Recipe(Network("siren", (2, 4, 1)), steps=2, lanes=4)
        >>> fit_dataset(limit(load_images("digits"), 4), recipe, tempfile.mkdtemp(), progress=False)
        WeightDataset('digits', 4 networks: 2 train, 1 validation, 1 test)
    """
    return fill(path, *_whole_fit(found, recipe, workers, progress, given))


def fit_part(
    found: Images | Signals,
    recipe: Recipe,
    path: str | Path,
    part: Part,
    *,
    workers: int | None = None,
    progress: bool = True,
    given: PyTree = None,
) -> WeightDataset | None:
    """Fit one part of a data set into a directory; other processes, on this machine or others, fit the other parts.

    All name one directory, on a disk they share. The process that ends last joins the parts, and the data set is the
    one that `fit_dataset` makes, bit for bit. A part that was stopped goes on where it was.

    Args:
        found, recipe, path, workers, progress, given: as `fit_dataset` takes them, the same for all parts.
        part: which one, such as `Part(1, 4)`, the first of four.

    Returns:
        The whole data set where this part was the last; None where others are missing, which a line names.

    Raises:
        OSError: the directory cannot be written, another process fits this part, or the disk is full.
        ValueError, DataError, KeyboardInterrupt: as `fit_dataset` does.

    Example:
        >>> import tempfile
        >>> from wsjax.data import Recipe, limit, load_images
        >>> from wsjax.networks import Network
        >>> images, recipe = limit(load_images("digits"), 4), Recipe(Network("siren", (2, 4, 1)), steps=2, lanes=4)
        >>> out = tempfile.mkdtemp()
        >>> fit_part(images, recipe, out, Part(1, 2), progress=False)  # doctest: +ELLIPSIS
        part 1 of 2 is whole in ...; part 2 of 2 is missing, and the last to end joins them
        >>> fit_part(images, recipe, out, Part(2, 2), progress=False)
        WeightDataset('digits', 4 networks: 2 train, 1 validation, 1 test)
    """
    return fill_part(path, *_whole_fit(found, recipe, workers, progress, given), part)


def _whole_fit(
    found: Images | Signals, recipe: Recipe, workers: int | None, progress: bool, given: PyTree
) -> tuple[Card, int, int, Make]:
    """What `fill` is to make: the card, the number of networks, of those in a shard, and how they are made."""
    card, signals = _card(found, recipe, given), as_signals(found, recipe)
    check_recipe(recipe, signals)
    # The lanes of one group belong to one shard.
    shard_networks = recipe.lanes * max(1, shards.SHARD_NETWORKS // recipe.lanes)

    def make(missing: Missing) -> Generator[Networks]:
        jobs = [
            np.stack(np.divmod(numbers[i : i + recipe.lanes], recipe.views), axis=1)
            for numbers in missing.shards
            for i in range(0, len(numbers), recipe.lanes)
        ]
        fitted = fit_jobs(signals, recipe, jobs, workers=workers, progress=progress, done=missing.done, given=given)
        with contextlib.closing(fitted):
            for some in fitted:
                number = some.row * recipe.views + some.view
                yield Networks(number, some.weights, *_label_and_columns(signals, some))

    return card, len(signals.values) * recipe.views, shard_networks, make


def fit_dataset_in_memory(
    found: Images | Signals,
    recipe: Recipe,
    *,
    workers: int | None = None,
    progress: bool = True,
    given: PyTree = None,
) -> WeightDataset:
    """What `fit_dataset` gives, without a directory.

    Args:
        found, recipe, workers, progress, given: as `fit_dataset` takes them.

    Example:
        >>> from wsjax.data import Recipe, limit, load_images
        >>> from wsjax.networks import Network
        >>> recipe = Recipe(Network("siren", (2, 4, 1)), steps=2, lanes=4)
        >>> fitted = fit_dataset_in_memory(limit(load_images("digits"), 4), recipe, progress=False)
        >>> sorted(fitted.columns)
        ['image', 'psnr', 'split', 'steps', 'view']
    """
    card, signals = _card(found, recipe, given), as_signals(found, recipe)
    fitted = fit_weights(signals, recipe, workers=workers, progress=progress, given=given)
    return with_statistics(WeightDataset(fitted.weights, *_label_and_columns(signals, fitted), card))


def _card(found: Images | Signals, recipe: Recipe, given: PyTree) -> Card:
    """The card of a fit, without statistics: they come last. Signals and given weights are known by their SHA-256."""
    own: dict[str, Any]
    if isinstance(found, Images):
        own = {"image_shape": check_images(found).pixels.shape[1:], "value_range": recipe.value_range}
    else:
        refuse_pixel_settings(recipe, check_signals(found))
        kind = "class" if found.classes else "target"
        own = {"value_range": found.value_range, "coordinate_range": found.coordinate_range, "label": kind}
    return Card(
        found.name,
        recipe.network,
        recipe.network.symmetry,
        coordinate_order=recipe.coordinate_order,
        classes=found.classes,
        source=source_of(found),
        recipe={**recipe.to_json(), NAMED: name_on_card(recipe), **_given(recipe, given), **_own_optimiser(recipe)},
        **own,
    )


def _given(recipe: Recipe, given: PyTree) -> dict[str, str]:
    """The SHA-256 of the weights that all networks start from.

    Raises:
        ValueError: weights without a recipe that asks for them, the other way round, or those of another network.
    """
    if (given is not None) != (recipe.start == "given"):
        what = "weights are given" if given is not None else "no weights are given"
        raise ValueError(
            f"{what} and the recipe's start is {recipe.start!r}; expected weights for 'given', and only there"
        )
    if given is None:
        return {}
    leaves = recipe.network.symmetry.leaves(given)
    return {"given_sha256": hashlib.sha256(" ".join(shards.digest(np.asarray(x)) for x in leaves).encode()).hexdigest()}


def _own_optimiser(recipe: Recipe) -> dict[str, str]:
    """The SHA-256 of what a user's own optimiser remembers of a network; what one of optax's does its name tells."""
    if not is_registered(recipe.optimiser):
        return {}
    weights = jax.eval_shape(recipe.network.init, jax.random.key(0))
    return {"optimiser_state_sha256": state_sha256(optimiser_of(recipe), weights)}


def _label_and_columns(signals: Signals, fitted: Fitted) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    image, split = signals.index[fitted.row], signals.split[fitted.row]
    columns = {"image": image, "view": fitted.view.astype(np.int32), "split": split}
    columns |= {"psnr": fitted.psnr, "steps": fitted.steps.astype(np.int32)}
    return signals.label[fitted.row], columns
