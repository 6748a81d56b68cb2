"""Fit images into a directory, shard by shard; a fit that was stopped goes on where it was."""

import contextlib
import hashlib
from pathlib import Path

import numpy as np
from jaxtyping import PyTree

from wsjax.data import shards
from wsjax.data.card import Card
from wsjax.data.dataset import WeightDataset, training_rows
from wsjax.data.fit import Fitted, groups
from wsjax.data.fit_jobs import fit_jobs, fit_weights, in_order
from wsjax.data.images import Images, check_images
from wsjax.data.recipe import Recipe
from wsjax.data.shards import CARD, INDEX, Index, read_index, read_json, write_json
from wsjax.data.store import absolute, flat, is_free, load, new_index, read
from wsjax.errors import json_differences, listing


def fit_dataset(
    images: Images,
    recipe: Recipe,
    path: str | Path,
    *,
    workers: int | None = None,
    progress: bool = True,
    given: PyTree = None,
) -> WeightDataset:
    """Fit every image (and view) into a directory, shard by shard; a fit that was stopped there goes on.

    The result is the same, bit for bit, however often it was stopped. A kill loses the shard being fitted, no more.
    A directory that holds the whole fit is read, not fitted again.

    Args:
        images: what to fit.
        recipe: how.
        path: the directory.
        workers: host threads; None takes one a core on a CPU, one a device on accelerators.
        progress: show a bar with the mean PSNR so far.
        given: the weights that all networks start from, for a recipe with the start "given".

    Raises:
        ValueError: the directory holds a fit with other settings (each is named), or something else.
        DataError: a network that ended in NaN or infinity, or a damaged shard.
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
    card, target = _card(images, recipe, given), absolute(path)
    if _is_whole(target, card):
        print(f"{target} holds all {len(images.pixels) * recipe.views} networks of this fit: nothing to do")
        return load(target)
    with shards.locked(target):
        index = _claim(target, card, images, recipe)
        try:
            index = _fit_unfinished(images, recipe, target, index, workers, progress, given)
            dataset = _with_statistics(read(target, index, card))
        except KeyboardInterrupt:
            safe = read_index(target)
            print(
                f"interrupted: {safe.finished_networks} of {safe.networks} networks are safe in {target}; "
                f"the same command goes on from there"
            )
            raise
        write_json(target / CARD, dataset.card.to_json())
    return dataset


def fit_dataset_in_memory(
    images: Images, recipe: Recipe, *, workers: int | None = None, progress: bool = True, given: PyTree = None
) -> WeightDataset:
    """What `fit_dataset` gives, without a directory.

    Example:
        >>> from wsjax.data import Recipe, limit, load_images
        >>> from wsjax.networks import Network
        >>> recipe = Recipe(Network("siren", (2, 4, 1)), steps=2, lanes=4)
        >>> fitted = fit_dataset_in_memory(limit(load_images("digits"), 4), recipe, progress=False)
        >>> sorted(fitted.columns)
        ['image', 'psnr', 'split', 'steps', 'view']
    """
    card = _card(images, recipe, given)
    fitted = fit_weights(images, recipe, workers=workers, progress=progress, given=given)
    return _with_statistics(WeightDataset(fitted.weights, *_label_and_columns(images, fitted), card))


def _card(images: Images, recipe: Recipe, given: PyTree) -> Card:
    """The card of a fit, without statistics: they come last. Images and given weights are known by their SHA-256."""
    arrays = check_images(images)[1:5]
    content = hashlib.sha256(" ".join(shards.digest(a) for a in arrays).encode()).hexdigest()
    shape = images.pixels.shape[1:]
    source = {"name": images.name, "images": len(images.pixels), "sha256": content}
    network = recipe.network
    return Card(
        images.name,
        network,
        network.symmetry,
        image_shape=(shape[0], shape[1], shape[2]),
        coordinate_order=recipe.coordinate_order,
        value_range=recipe.value_range,
        classes=images.classes,
        source=source,
        recipe={**recipe.to_json(), **_given(recipe, given)},
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


def _with_statistics(dataset: WeightDataset) -> WeightDataset:
    card = dataset.card.with_statistics(dataset.weights, training_rows(dataset.columns["split"]))
    return WeightDataset(dataset.weights, dataset.label, dataset.columns, card)


def _label_and_columns(images: Images, fitted: Fitted) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    image, split = images.index[fitted.row], images.split[fitted.row]
    columns = {"image": image, "view": fitted.view.astype(np.int32), "split": split}
    columns |= {"psnr": fitted.psnr, "steps": fitted.steps.astype(np.int32)}
    return images.label[fitted.row], columns


def _is_whole(path: Path, card: Card) -> bool:
    if not (path / INDEX).exists():
        return False
    index = read_index(path)
    _refuse_other_settings(path, index, card)
    present = all((path / shards.SHARDS / name).is_dir() for name in index.shards)
    return not index.unfinished and present and bool(Card.from_json(read_json(path / CARD)).statistics)


def _claim(path: Path, card: Card, images: Images, recipe: Recipe) -> Index:
    """The index to go on from: the one found, if its settings are these, or a new one. Its remains are cleaned."""
    if (path / INDEX).exists():
        index = read_index(path)
        _refuse_other_settings(path, index, card)
        index = shards.clean(path, index)
        if index.shards:
            return index
    elif not is_free(path):
        raise ValueError(f"{path} holds files and no data set; expected an empty or new directory: name another one")
    # The lanes of one group belong to one shard.
    each = recipe.lanes * max(1, shards.SHARD_NETWORKS // recipe.lanes)
    return new_index(path, len(images.pixels) * recipe.views, each, card.to_json())


def _refuse_other_settings(path: Path, index: Index, card: Card) -> None:
    """Raise ValueError where finished shards were made with other settings; without any there is nothing to lose."""
    if not index.shards:
        return
    # Statistics come with the last shard; the Symmetry follows from the network, which says it shorter.
    found, asked = ({**c, "statistics": {}, "symmetry": None} for c in (read_json(path / CARD), card.to_json()))
    differences = json_differences(found, asked)
    if differences:
        raise ValueError(
            f"{path} holds a fit with other settings: {listing(differences[:6])}. "
            f"Name another directory, or the same settings to go on with that one"
        )


def _fit_unfinished(
    images: Images, recipe: Recipe, path: Path, index: Index, workers: int | None, progress: bool, given: PyTree
) -> Index:
    """Write each shard once all of its networks are there: they may come in any order."""
    all_groups, each = groups(recipe, len(images.pixels)), index.shard_networks // recipe.lanes
    jobs = [group for number in index.unfinished for group in all_groups[number * each : (number + 1) * each]]
    gathered: dict[int, list[Fitted]] = {}
    fitted = fit_jobs(
        images, recipe, jobs, workers=workers, progress=progress, done=index.finished_networks, given=given
    )
    with contextlib.closing(fitted):
        for part in fitted:
            numbers = (part.row * recipe.views + part.view) // index.shard_networks
            for number in np.unique(numbers).tolist():
                own = gathered.setdefault(number, [])
                own.append(part.take(np.flatnonzero(numbers == number)))
                if sum(len(piece.row) for piece in own) == index.size(number):
                    whole = in_order(gathered.pop(number))
                    arrays = flat(whole.weights, *_label_and_columns(images, whole))
                    index = shards.write_shard(path, index, number, arrays)
    return index
