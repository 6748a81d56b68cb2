"""The images that can be fitted, by name."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

from wsjax.data.download import locate
from wsjax.data.idx import read_idx
from wsjax.data.images import SPLITS, Images, check_images
from wsjax.data.recipe import Recipe
from wsjax.errors import DataError, check_choice
from wsjax.networks import Network

SPLIT_SEED = 0
"""Every source's split is drawn once, by NumPy's default generator with this seed."""

PHOTOGRAPHS = Recipe(Network("siren", (2, 32, 32, 1), w0=(30.0,), offset=0.5, family="nfn"), 300, learning_rate=1e-3)
"""The architecture of the published data sets from SIREN's own start: 300 steps from the `dws` start are too few."""

DIGITS = tuple("0123456789")
GARMENTS = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")


@dataclass(frozen=True)
class Source:
    """How a source's images are read (from a directory, or None for the usual places), and its default recipe."""

    load: Callable[[str | Path | None], Images]
    recipe: Recipe


def load_images(source: str, directory: str | Path | None = None) -> Images:
    """The images of a source, with labels and a fixed split.

    `digits` comes with scikit-learn: 1797 images of 8 x 8, 1100 for training, 297 for validation, 400 for the test,
    each with its share of every class. `mnist` and `fashion-mnist` are read from their four IDX files: 60000 images
    of 28 x 28, of which 55000 for training and 5000 for validation, and 10000 for the test.

    Args:
        source: a name in `SOURCES`.
        directory: where the IDX files are. None looks in `$WSJAX_DATA/SOURCE`, in Debian's package, in
            `~/.cache/wsjax/SOURCE`, and downloads them to the last where no place has them.

    Raises:
        ValueError: an unknown source, or a directory for `digits`, which needs none.
        DataError: no place has the files, or one is damaged.

    Example:
        >>> load_images("digits").pixels.shape
        (1797, 8, 8, 1)
    """
    check_choice("source", source, tuple(SOURCES))
    return check_images(SOURCES[source].load(directory))


def default_recipe(source: str) -> Recipe:
    """How a source's images are fitted unless told otherwise.

    Example:
        >>> default_recipe("digits").network.widths
        (2, 16, 16, 1)
    """
    check_choice("source", source, tuple(SOURCES))
    return SOURCES[source].recipe


def _digits(directory: str | Path | None) -> Images:
    if directory is not None:
        raise ValueError(f"directory is {directory}; 'digits' comes with scikit-learn: leave the directory out")
    grey, target = load_digits(return_X_y=True)
    pixels = (np.asarray(grey).reshape(-1, 8, 8, 1) / 16).astype(np.float32)
    label = np.asarray(target).astype(np.int32)
    split = np.empty(len(label), np.int8)
    split[_stratified_order(label)] = np.repeat(np.arange(len(SPLITS), dtype=np.int8), (1100, 297, 400))
    return Images("digits", pixels, label, split, np.arange(len(label), dtype=np.int32), DIGITS)


def _stratified_order(label: np.ndarray) -> np.ndarray:
    """A random order of which every part has its share of each class: each class is spread evenly over it."""
    shuffled = np.random.default_rng(SPLIT_SEED).permutation(len(label))
    place = np.empty(len(label))
    for value in np.unique(label):
        rows = shuffled[label[shuffled] == value]
        place[rows] = (np.arange(len(rows)) + 0.5) / len(rows)
    return shuffled[np.argsort(place[shuffled], kind="stable")]


def _idx_source(name: str, classes: tuple[str, ...]) -> Callable[[str | Path | None], Images]:
    def load(directory: str | Path | None) -> Images:
        files = locate(name, directory)
        train, test = (_idx_pair(files, part) for part in ("train", "t10k"))
        if train[0].shape[1:] != test[0].shape[1:]:
            raise DataError(
                f"{files['t10k-images-idx3-ubyte']} has images of {test[0].shape[1:]}; "
                f"expected {train[0].shape[1:]} as in {files['train-images-idx3-ubyte']}"
            )
        pixels = np.concatenate([train[0], test[0]])[..., None] / np.float32(255)
        label = np.concatenate([train[1], test[1]]).astype(np.int32)
        split = np.full(len(label), SPLITS.index("test"), np.int8)
        split[: len(train[1])] = SPLITS.index("train")
        # A twelfth of the training file, 5000 of 60000.
        order = np.random.default_rng(SPLIT_SEED).permutation(len(train[1]))
        split[order[: len(order) // 12]] = SPLITS.index("validation")
        return Images(name, pixels, label, split, np.arange(len(label), dtype=np.int32), classes)

    return load


def _idx_pair(files: dict[str, Path], part: str) -> tuple[np.ndarray, np.ndarray]:
    images, labels = files[f"{part}-images-idx3-ubyte"], files[f"{part}-labels-idx1-ubyte"]
    pixels, label = read_idx(images, 3), read_idx(labels, 1)
    if len(pixels) != len(label):
        raise DataError(f"{labels} holds {len(label)} labels; expected {len(pixels)}, one for each image of {images}")
    return pixels, label


SOURCES: dict[str, Source] = {
    "digits": Source(
        _digits,
        Recipe(Network("siren", (2, 16, 16, 1), w0=(3.0,), offset=0.5, family="zero_output"), 300, learning_rate=2e-2),
    ),
    "mnist": Source(_idx_source("mnist", DIGITS), PHOTOGRAPHS),
    "fashion-mnist": Source(_idx_source("fashion-mnist", GARMENTS), PHOTOGRAPHS),
}
"""Every source by name."""
