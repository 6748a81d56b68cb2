"""A zoo as a weight data set, in memory or in a directory, shard by shard; one that was stopped goes on."""

import contextlib
from collections.abc import Generator
from pathlib import Path

import jax
import numpy as np

from wsjax.data.card import Card
from wsjax.data.dataset import WeightDataset
from wsjax.data.sources.images import SPLITS, Images, check_images
from wsjax.data.sources.provenance import source_of
from wsjax.data.store import shards
from wsjax.data.store.fill import fill, fill_part, with_statistics
from wsjax.data.store.missing import Make, Missing, Networks
from wsjax.data.store.parts import Part
from wsjax.data.zoo.check import APPLY
from wsjax.data.zoo.fit import Grown, check_network, fit_zoo_groups
from wsjax.data.zoo.recipe import OPTIMISERS, Drawn, ZooRecipe
from wsjax.progress import progress_of

OF_FIVE = tuple(SPLITS.index(name) for name in ("train", "train", "train", "validation", "test"))
"""The splits of five runs one after the other. Settings are drawn independently, so any five do."""


def fit_zoo(
    images: Images, recipe: ZooRecipe, path: str | Path, *, workers: int | None = None, progress: bool = True
) -> WeightDataset:
    """Fit the classifiers of a zoo into a directory, shard by shard; a zoo that was stopped there goes on.

    Each network is fitted to a share of the source's training images, with settings drawn for it. Its label is its
    accuracy on the source's test images. The data set's own split is over networks: of every five numbers the first
    three are training, the fourth validation, the fifth test, with all snapshots of a network in one.

    Columns: `run`, the network's number, also called `image`; `view`, which of its snapshots; `steps`, the snapshot's;
    `split`; `train_accuracy` and `train_loss`, on the images that it sees with the labels that it was told, and
    `test_accuracy` and `test_loss`, losses being mean cross-entropies in nats; every setting drawn (`Drawn`); and
    `diverged`: 1 for a network whose next step would have made a weight larger than 10,000, or no number. It stays at
    its last weights, which later snapshots repeat: a zoo that dropped it would hide what large learning rates do.

    The result is the same, bit for bit, however often it was stopped. A kill loses the shard being fitted, no more.

    Args:
        images: the source.
        recipe: how.
        path: the directory.
        workers: host threads; None takes one a core on a CPU, one a device on accelerators.
        progress: show a bar with the mean test accuracy so far.

    Raises:
        ValueError: a network that does not fit the images, images without a training or a test split; or the directory
            holds a data set with other settings (each is named), or something else.
        DataError: images that are not as they should be, or a damaged shard.
        OSError: the directory cannot be written, another process writes it, or the disk is full.
        KeyboardInterrupt: after Ctrl-C, once a line has said how many networks are safe.

    Source: arXiv 2002.11448.

    Example:
        >>> import tempfile
        >>> from wsjax.data import ZooRecipe, limit, load_images, zoo_network
        >>> digits = limit(load_images("digits"), 20)
        >>> recipe = ZooRecipe(zoo_network("mlp", digits, (4,)), count=5, steps=2, lanes=2)
        >>> fit_zoo(digits, recipe, tempfile.mkdtemp(), progress=False)
        WeightDataset('digits-zoo', 5 networks: 3 train, 1 validation, 1 test)
    """
    return fill(path, *_whole_zoo(images, recipe, workers, progress))


def fit_zoo_part(
    images: Images,
    recipe: ZooRecipe,
    path: str | Path,
    part: Part,
    *,
    workers: int | None = None,
    progress: bool = True,
) -> WeightDataset | None:
    """Fit one part of a zoo into a directory; other processes, on this machine or others, fit the other parts.

    Args:
        images, recipe, path, workers, progress: as `fit_zoo` takes them, the same for all parts.
        part: which one, such as `Part(1, 4)`, the first of four.

    Returns:
        The whole zoo where this part was the last; None where others are missing, which a line names.

    Raises:
        OSError: the directory cannot be written, another process fits this part, or the disk is full.
        ValueError, DataError, KeyboardInterrupt: as `fit_zoo` does.

    Example:
        >>> import tempfile
        >>> from wsjax.data import Part, ZooRecipe, limit, load_images, zoo_network
        >>> digits = limit(load_images("digits"), 20)
        >>> recipe = ZooRecipe(zoo_network("mlp", digits, (4,)), count=5, steps=2, lanes=2)
        >>> fit_zoo_part(digits, recipe, tempfile.mkdtemp(), Part(1, 1), progress=False)
        WeightDataset('digits-zoo', 5 networks: 3 train, 1 validation, 1 test)
    """
    return fill_part(path, *_whole_zoo(images, recipe, workers, progress), part)


def fit_zoo_in_memory(
    images: Images, recipe: ZooRecipe, *, workers: int | None = None, progress: bool = True
) -> WeightDataset:
    """What `fit_zoo` gives, without a directory.

    Args:
        images, recipe, workers, progress: as `fit_zoo` takes them.

    Example:
        >>> from wsjax.data import ZooRecipe, limit, load_images, zoo_network
        >>> digits = limit(load_images("digits"), 20)
        >>> recipe = ZooRecipe(zoo_network("mlp", digits, (4,)), count=2, steps=2, lanes=2, snapshots=(0,))
        >>> zoo = fit_zoo_in_memory(digits, recipe, progress=False)
        >>> zoo.columns["run"].tolist(), zoo.columns["steps"].tolist()
        ([0, 0, 1, 1], [0, 2, 0, 2])
    """
    card, numbers = _card(images, recipe), np.arange(recipe.count)
    groups = [numbers[i : i + recipe.lanes] for i in range(0, recipe.count, recipe.lanes)]
    parts = list(_grown(images, recipe, groups, workers, progress, 0))
    whole: Grown = jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)
    return with_statistics(WeightDataset(whole.weights, whole.measured.test_accuracy, _columns(recipe, whole), card))


def _whole_zoo(images: Images, recipe: ZooRecipe, workers: int | None, progress: bool) -> tuple[Card, int, int, Make]:
    """What `fill` is to make: the card, the number of networks, of those in a shard, and how they are made."""
    card, stops, rows = _card(images, recipe), len(recipe.stops), recipe.lanes * len(recipe.stops)

    def make(missing: Missing) -> Generator[Networks]:
        groups = [
            numbers[i : i + rows : stops] // stops for numbers in missing.shards for i in range(0, len(numbers), rows)
        ]
        with contextlib.closing(_grown(images, recipe, groups, workers, progress, missing.done)) as parts:
            for grown in parts:
                number = grown.run * stops + grown.view
                yield Networks(number, grown.weights, grown.measured.test_accuracy, _columns(recipe, grown))

    # The lanes of one group, with their snapshots, belong to one shard.
    return card, recipe.count * stops, rows * max(1, shards.SHARD_NETWORKS // rows), make


def _grown(
    images: Images, recipe: ZooRecipe, groups: list[np.ndarray], workers: int | None, progress: bool, done: int
) -> Generator[Grown]:
    """Fitted groups, with a bar that counts stored networks and shows the mean accuracy at the last step."""
    total = done + sum(map(len, groups)) * len(recipe.stops)
    accuracy = []
    parts = fit_zoo_groups(images, recipe, groups, workers=workers)
    with (
        contextlib.closing(parts),
        progress_of(total=total, initial=done, unit="networks", desc=f"zoo {images.name}", disable=not progress) as bar,
    ):
        for grown in parts:
            last = grown.view == len(recipe.stops) - 1
            accuracy.extend(grown.measured.test_accuracy[last].tolist())
            bar.set_postfix(accuracy=f"{np.mean(accuracy):.1%}", refresh=False)
            bar.update(len(grown.run))
            yield grown


def _columns(recipe: ZooRecipe, grown: Grown) -> dict[str, np.ndarray]:
    run = grown.run.astype(np.int32)
    drawn: Drawn = grown.drawn._replace(optimiser=grown.drawn.optimiser.astype(np.int8))
    return {
        "run": run,
        "image": run,
        "view": grown.view.astype(np.int32),
        "steps": np.asarray(recipe.stops, np.int32)[grown.view],
        "split": np.asarray(OF_FIVE, np.int8)[run % len(OF_FIVE)],
        **grown.measured._asdict(),
        **drawn._asdict(),
        "diverged": grown.diverged.astype(np.int8),
    }


def _card(images: Images, recipe: ZooRecipe) -> Card:
    check_network(recipe, check_images(images))
    source = {
        **source_of(images),
        "label": "accuracy on the test images",
        "apply": APPLY,
        "optimisers": OPTIMISERS,
    }
    # A card's network decodes coordinates; a zoo's takes pictures, and its recipe runs it.
    name, symmetry = f"{images.name}-zoo", recipe.network.symmetry
    return Card(name, None, symmetry, label="target", source=source, recipe=recipe.to_json())
