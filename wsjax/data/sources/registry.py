"""What can be fitted, by name: images, and other signals."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import numpy as np

from wsjax.data.recipe import Recipe
from wsjax.data.sources.download import locate
from wsjax.data.sources.idx import read_idx
from wsjax.data.sources.images import SPLITS, Images, check_images
from wsjax.data.sources.meshes import MESHES_RECIPE, meshes
from wsjax.data.sources.signal_checks import check_signals
from wsjax.data.sources.signals import Signals
from wsjax.data.sources.sines import SINES_RECIPE, sines
from wsjax.data.sources.solids import SOLIDS_RECIPE, solids
from wsjax.errors import DataError, check_choice
from wsjax.networks import Network

SPLIT_SEED = 0
"""Every source's split is drawn once, by NumPy's default generator with this seed."""

PHOTOGRAPHS = Recipe(Network("siren", (2, 32, 32, 1), w0=(30.0,), offset=0.5, family="nfn"), 300, learning_rate=1e-3)
"""The published data sets' architecture with SIREN's own initialization: 300 steps from that of `dws` are too few."""

DIGITS = tuple("0123456789")
GARMENTS = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")


@dataclass(frozen=True)
class Source:
    """How a source is loaded, its default recipe, and what it gives.

    load: takes the directory first, where the source reads one, and its options by name; recipe: the default; images:
    whether it gives images, or other signals; directory: whether it reads none, one that may be left out for the usual
    places, or one that must be named.
    """

    load: Callable[..., Images | Signals]
    recipe: Recipe
    images: bool = True
    directory: Literal["none", "usual", "named"] = "none"


def load_source(
    name: str, directory: str | Path | None = None, options: Mapping[str, Any] = MappingProxyType({})
) -> Images | Signals:
    """What a source gives: images, or other signals.

    Args:
        name: in `SOURCES`.
        directory: of the source's files; None for a source without any, and for the places where `load_images` looks.
        options: the source's own settings, as `solids`, `meshes` and `sines` take them.

    Raises:
        ValueError: an unknown source or option, a directory for a source that reads none, or none for one that does.
        DataError: files are missing or damaged.

    Example:
        >>> load_source("digits").pixels.shape
        (1797, 8, 8, 1)
    """
    check_choice("source", name, tuple(SOURCES))
    source = SOURCES[name]
    if directory is not None and source.directory == "none":
        raise ValueError(f"directory is {directory}; {name!r} needs no files: leave the directory out")
    if directory is None and source.directory == "named":
        raise ValueError(f"the source {name!r} reads files and no directory is named; expected theirs: give directory")
    place = () if source.directory == "none" else (directory,)
    settings = list(inspect.signature(source.load).parameters)[len(place) :]
    for option in options:
        if not settings:
            raise ValueError(f"{name!r} takes no options; found {option!r}: leave them out")
        check_choice(f"option of {name}", option, settings)
    found = source.load(*place, **options)
    if isinstance(found, Images):
        return check_images(found)
    return check_signals(found)


def load_images(source: str, directory: str | Path | None = None) -> Images:
    """The images of a source, with labels and a fixed split.

    `digits` comes with scikit-learn: 1797 images of 8 x 8, 1100 for training, 297 for validation, 400 for the test,
    each with its part of every class. `mnist` and `fashion-mnist` are read from their four IDX files: 60000 images
    of 28 x 28, of which 55000 for training and 5000 for validation, and 10000 for the test.

    Args:
        source: a name in `SOURCES`, of images.
        directory: where the IDX files are. None looks in `$WSJAX_DATA/SOURCE`, in Debian's package, in
            `~/.cache/wsjax/SOURCE`, and downloads them to the last where no place has them.

    Raises:
        ValueError: an unknown source, one of other signals, or a directory for `digits`, which needs none.
        DataError: no place has the files, or one is damaged.

    Example:
        >>> load_images("digits").pixels.shape
        (1797, 8, 8, 1)
    """
    check_choice("source", source, tuple(SOURCES))
    if not SOURCES[source].images:
        raise ValueError(f"the source {source!r} gives signals, no images; expected one of images: use load_source")
    found = load_source(source, directory)
    assert isinstance(found, Images)
    return found


def default_recipe(source: str) -> Recipe:
    """How a source is fitted unless told otherwise; the recipe has the source's name.

    Raises:
        ValueError: an unknown source.

    Example:
        >>> default_recipe("digits").network.widths
        (2, 16, 16, 1)
    """
    check_choice("source", source, tuple(SOURCES))
    return replace(SOURCES[source].recipe, name=source)


def _digits() -> Images:
    from sklearn.datasets import load_digits

    gray, target = load_digits(return_X_y=True)
    pixels = (np.asarray(gray).reshape(-1, 8, 8, 1) / 16).astype(np.float32)
    label = np.asarray(target).astype(np.int32)
    split = np.empty(len(label), np.int8)
    split[_stratified_order(label)] = np.repeat(np.arange(len(SPLITS), dtype=np.int8), (1100, 297, 400))
    return Images("digits", pixels, label, split, np.arange(len(label), dtype=np.int32), DIGITS)


def _stratified_order(label: np.ndarray) -> np.ndarray:
    """A random order of which every part has its fraction of each class: each class is spread evenly over it."""
    shuffled = np.random.default_rng(SPLIT_SEED).permutation(len(label))
    place = np.empty(len(label))
    for value in np.unique(label):
        rows = shuffled[label[shuffled] == value]
        place[rows] = (np.arange(len(rows)) + 0.5) / len(rows)
    return shuffled[np.argsort(place[shuffled], kind="stable")]


def _idx_source(name: str, classes: tuple[str, ...]) -> Source:
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

    return Source(load, PHOTOGRAPHS, directory="usual")


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
    "mnist": _idx_source("mnist", DIGITS),
    "fashion-mnist": _idx_source("fashion-mnist", GARMENTS),
    "solids": Source(solids, SOLIDS_RECIPE, images=False),
    "sines": Source(sines, SINES_RECIPE, images=False),
    "meshes": Source(meshes, MESHES_RECIPE, images=False, directory="named"),
}
"""Every source by name."""
