"""The INR sets of DWSNets and of its successor: MNIST, Fashion-MNIST, and ten views of Fashion-MNIST.

All hold SIRENs 2-32-32-1 with w0 = 30, trained on sin(w0 (x W + b)) + 0.5 against pixels in [0, 1] at coordinates (x =
column, y = row) in [-1, 1].
"""

import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from wsjax.data.dataset import WeightDataset
from wsjax.data.formats.contents import read_layers
from wsjax.data.formats.gather import finish, gather
from wsjax.data.formats.paths import find_files, natural
from wsjax.data.formats.splits import SPLIT_NAMES, Splits, find_splits, integer_label, read_splits
from wsjax.data.metadata import Metadata
from wsjax.data.sources.mnist import DIGITS, GARMENTS
from wsjax.errors import DataError, check_choice, listing
from wsjax.networks import Network

DWS_NETWORK = Network("siren", (2, 32, 32, 1), w0=(30.0,), offset=0.5, family="dws")
TRAINING_IMAGES = 60_000
"""MNIST and Fashion-MNIST: numbers of test images go on from here, as the two files of each joined."""


class DwsSet(NamedTuple):
    """What the path of a network's file states, how many of its last parts tell it from others, and the classes."""

    pattern: str
    parts: int
    classes: tuple[str, ...]


MODEL = r"(?P<part>train|val|test)/model_(?P<number>\d+)\.pth$"
SETS = {
    "mnist": DwsSet(
        r"(?:^|/)mnist_png_(?P<part>training|testing)_(?P<label>\d+)_(?P<number>\d+)/checkpoints/[^/]+\.pth$", 3, DIGITS
    ),
    "fashion-mnist": DwsSet(rf"(?:^|/){MODEL}", 2, GARMENTS),
    "fashion-multiview": DwsSet(rf"(?:^|/)(?P<view>[^/]+)/{MODEL}", 3, GARMENTS),
}


def read_dws(
    directory: str | Path,
    images: str,
    *,
    splits: str | Path | None = None,
    network: Network = DWS_NETWORK,
    leave_out: Sequence[str] = (),
    progress: bool = True,
) -> WeightDataset:
    """DWSNets' SIRENs.

    - `"mnist"`: `mnist_png_{training|testing}_{label}_{number}/checkpoints/model_final.pth`.
    - `"fashion-mnist"`: `{train|test}/model_{number}.pth`, each with its label among its arrays.
    - `"fashion-multiview"`: `{view}/{train|val|test}/model_{number}.pth`, independent fits of the same images. The
      column `view` numbers the views in the order of their names; `image` is the same for all views of an image.

    Args:
        directory: the unpacked set.
        images: which of the three.
        splits: its splits JSON, as lists of paths or as neural-graphs rewrites it; None takes the one `*splits.json` in
            the directory, and without one makes a twelfth of the training images validation, all their views together
            (DWSNets draws them anew each time). Files that it does not list are left out, with a warning.
        network, leave_out, progress: the architecture; files to leave out, by their path in the directory; show a bar.

    Raises:
        ValueError: unknown images. DataError, naming the file: another architecture, labels that disagree, a splits
            JSON that does not fit the files, or a file that is not safe to read.

    Source: arXiv 2301.12780 and its code; the views' layout is read from the code of arXiv 2402.04081.

    Example:
        >>> read_dws("/nowhere", "mnist")
        Traceback (most recent call last):
        wsjax.errors.DataError: /nowhere is no directory; expected the unpacked data set
    """
    check_choice("images", images, tuple(SETS))
    kind, name = SETS[images], f"dws-{images}"
    files, path = find_files(directory, kind.pattern, leave_out), find_splits(directory, splits)
    listed = Splits({}, {}) if path is None else read_splits(path, [*files, *leave_out], kind.parts)
    outside = [file for file in files if path is not None and file not in listed.split]
    if outside:
        warnings.warn(f"{path} lists none of {len(outside)} files, {outside[0]} first; they are left out", stacklevel=2)
    kept = {file: found for file, found in files.items() if path is None or file in listed.split}
    weights, notes = gather(kept, read_layers, network.symmetry, name=name, progress=progress)
    stated = [next(re.finditer(kind.pattern, file)).groupdict() for file in kept]
    folder = np.array([SPLIT_NAMES[place["part"]] for place in stated])
    image = np.array([int(place["number"]) for place in stated]) + TRAINING_IMAGES * (folder == 2)
    label = []
    for file, place, extras in zip(kept, stated, notes, strict=True):
        known = [int(place["label"])] if "label" in place else []
        known += [integer_label(extras["label"], f"{file}: label")] if "label" in extras else []
        known += [listed.label[file]] if file in listed.label else []
        if len(set(known)) != 1:
            where = f"{file} (its folder, its own entry, {path.name if path else 'no splits JSON'})"
            raise DataError(f"{where}: label is {listing(known) or 'nowhere'}; expected one value")
        label.append(known[0])
    view = [place.get("view", "") for place in stated]
    views = sorted(set(view), key=natural)
    split = np.array([listed.split[file] for file in kept]) if path else _split_image_wise(folder, image)
    _warn_of_leaks(split, image, name)
    source = {
        "format": name,
        "files": len(kept),
        "left_out": [*leave_out, *outside],
        "splits": path.name if path else "a twelfth of the training images made validation",
        "views": views,
    }
    metadata = Metadata(name, network, network.symmetry, image_shape=(28, 28, 1), classes=kind.classes, source=source)
    return finish(metadata, weights, label, image=image, view=[views.index(one) for one in view], split=split)


def _split_image_wise(split: np.ndarray, image: np.ndarray) -> np.ndarray:
    """A twelfth of the training images, all their views together, made validation, as `load_images` does for MNIST."""
    images = np.unique(image[split == 0])
    chosen = np.random.default_rng(0).permutation(len(images))[: len(images) // 12]
    return np.where((split == 0) & np.isin(image, images[chosen]), 1, split)


def _warn_of_leaks(split: np.ndarray, image: np.ndarray, where: str) -> None:
    """Warn where views of one image lie in several splits: a test on such a set is no test."""
    images, counts = np.unique(np.unique(np.stack([image, split]), axis=1)[0], return_counts=True)
    if leaked := len(images[counts > 1]):
        warnings.warn(f"{where}: views of {leaked} images lie in more than one split", stacklevel=3)
