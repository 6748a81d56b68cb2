"""Fit images into a directory, shard by shard; a fit that was stopped goes on where it was."""

import contextlib
import hashlib
import itertools
from pathlib import Path

import numpy as np

from wsjax.data import shards
from wsjax.data.card import Card
from wsjax.data.dataset import WeightDataset, training_rows
from wsjax.data.fit import Fitted, Recipe, concatenate, fit_jobs, fit_weights, groups
from wsjax.data.images import Images, check_images
from wsjax.data.shards import CARD, INDEX, Index, read_index, read_json, write_json
from wsjax.data.store import absolute, flat, is_free, load, new_index, read
from wsjax.errors import json_differences, listing


def fit_dataset(
    images: Images, recipe: Recipe, path: str | Path, *, workers: int | None = None, progress: bool = True
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
    card, target = _card(images, recipe), absolute(path)
    if _is_whole(target, card):
        print(f"{target} holds all {len(images.pixels) * recipe.views} networks of this fit: nothing to do")
        return load(target)
    with shards.locked(target):
        index = _claim(target, card, images, recipe)
        try:
            index = _fit_unfinished(images, recipe, target, index, workers, progress)
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
    images: Images, recipe: Recipe, *, workers: int | None = None, progress: bool = True
) -> WeightDataset:
    """What `fit_dataset` gives, without a directory.

    Example:
        >>> from wsjax.data import Recipe, limit, load_images
        >>> from wsjax.networks import Network
        >>> recipe = Recipe(Network("siren", (2, 4, 1)), steps=2, lanes=4)
        >>> fitted = fit_dataset_in_memory(limit(load_images("digits"), 4), recipe, progress=False)
        >>> sorted(fitted.columns)
        ['image', 'psnr', 'split', 'view']
    """
    card = _card(images, recipe)
    fitted = fit_weights(images, recipe, workers=workers, progress=progress)
    return _with_statistics(WeightDataset(fitted.weights, *_label_and_columns(images, fitted), card))


def _card(images: Images, recipe: Recipe) -> Card:
    """The card of a fit, without statistics: they come last. The images are known by their SHA-256."""
    arrays = check_images(images)[1:5]
    content = hashlib.sha256(" ".join(shards.digest(a) for a in arrays).encode()).hexdigest()
    shape = images.pixels.shape[1:]
    source = {"name": images.name, "images": len(images.pixels), "sha256": content}
    network = recipe.network
    facts = {"classes": images.classes, "source": source, "recipe": recipe.to_json()}
    return Card(images.name, network, network.symmetry, image_shape=(shape[0], shape[1], shape[2]), **facts)


def _with_statistics(dataset: WeightDataset) -> WeightDataset:
    card = dataset.card.with_statistics(dataset.weights, training_rows(dataset.columns["split"]))
    return WeightDataset(dataset.weights, dataset.label, dataset.columns, card)


def _label_and_columns(images: Images, fitted: Fitted) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    image, split = images.index[fitted.row], images.split[fitted.row]
    columns = {"image": image, "view": fitted.view.astype(np.int32), "split": split, "psnr": fitted.psnr}
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
    images: Images, recipe: Recipe, path: Path, index: Index, workers: int | None, progress: bool
) -> Index:
    all_groups, each = groups(recipe, len(images.pixels)), index.shard_networks // recipe.lanes
    jobs = {number: all_groups[number * each : (number + 1) * each] for number in index.unfinished}
    chain = list(itertools.chain.from_iterable(jobs.values()))
    done = index.finished_networks
    with contextlib.closing(fit_jobs(images, recipe, chain, workers=workers, progress=progress, done=done)) as fitted:
        for number, own in jobs.items():
            part = concatenate(list(itertools.islice(fitted, len(own))))
            index = shards.write_shard(path, index, number, flat(part.weights, *_label_and_columns(images, part)))
    return index
