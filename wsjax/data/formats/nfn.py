"""NFN's SIREN sets: MNIST, Fashion-MNIST and CIFAR-10, each image fitted several times.

SIRENs 2-32-32-C with w0 = 30, sin(w0 (x W + b)) without an offset, against pixels in [-1, 1] at coordinates (row,
column) in [-1, 1].
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from wsjax.data.dataset import WeightDataset
from wsjax.data.formats.dws_set import match_path, read_layers
from wsjax.data.formats.gather import finish, gather
from wsjax.data.formats.paths import find_files
from wsjax.data.metadata import Metadata
from wsjax.data.sources.registry import DIGITS, GARMENTS
from wsjax.errors import DataError, check_choice, listing
from wsjax.networks import Network

CIFAR = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


class ImageKind(NamedTuple):
    """What the networks of a set were fitted to."""

    shape: tuple[int, int, int]
    classes: tuple[str, ...]


KINDS = {
    "mnist": ImageKind((28, 28, 1), DIGITS),
    "fashion": ImageKind((28, 28, 1), GARMENTS),
    "cifar": ImageKind((32, 32, 3), CIFAR),
}


def read_nfn_sirens(
    directory: str | Path,
    images: str | None = None,
    *,
    views: int | None = 1,
    cuts: tuple[int, int] = (45_000, 50_000),
    prefix: str = "randinit_smaller",
    leave_out: Sequence[str] = (),
    progress: bool = True,
) -> WeightDataset:
    """NFN's SIRENs: `{prefix}_{label}s/net{number}.pth`, and `{prefix}_aug{copy}_{label}s/` for further fits.

    The number is the image's in torchvision's order, training before test. View 0 is the first fit, view n + 1 is copy
    n; the prefix is matched whole, so that a copy is never taken for the first fit.

    Args:
        directory: `siren_{mnist|fashion|cifar}_wts`.
        images: `"mnist"`, `"fashion"` or `"cifar"`; None takes it from the directory's name.
        views: how many fits of each image to read, the first included; None reads all.
        cuts: the numbers at which validation and test begin; INR2Array on Fashion-MNIST used (55000, 60000).
        prefix: of the folders.
        leave_out: files to leave out, by their path in the directory.
        progress: show a bar.

    Raises:
        ValueError: unknown images.
        DataError: a file of another architecture, an image that is missing, there twice or labeled in two ways, or a
            file that is not safe to read; each is named.

    Source: arXiv 2302.14040 and 2305.13546, and their code.

    Example:
        >>> read_nfn_sirens("/nowhere", "mnist")
        Traceback (most recent call last):
        wsjax.errors.DataError: /nowhere is no directory; expected the unpacked data set
    """
    kind = KINDS[_images(directory, images)]
    pattern = rf"(?:^|/){re.escape(prefix)}(?:_aug(\d+))?_(\d)s/net(\d+)\.pth$"
    found = find_files(directory, pattern, leave_out)
    places = {name: _place(pattern, name) for name in found}
    there = len({view for view, _, _ in places.values()})
    if views is not None and not 1 <= views <= there:
        raise ValueError(f"views is {views}; {directory} has {there}: give a number from 1 to it")
    kept = {name: path for name, path in found.items() if views is None or places[name][0] < views}
    view, label, number = np.array([places[name] for name in kept]).T
    _check_numbers(list(kept), view, label, number, {_place(pattern, name)[2] for name in leave_out})
    network = Network("siren", (2, 32, 32, kind.shape[2]), w0=(30.0,), family="nfn")
    name = f"nfn-{_images(directory, images)}"
    weights, _ = gather(kept, read_layers, network.symmetry, name=name, progress=progress)
    metadata = Metadata(
        name,
        network,
        network.symmetry,
        image_shape=kind.shape,
        coordinate_order="ij",
        value_range=(-1.0, 1.0),
        classes=kind.classes,
        source={"format": "nfn", "prefix": prefix, "cuts": cuts, "views_there": there, "left_out": [*leave_out]},
    )
    split = np.digitize(number, cuts)
    return finish(metadata, weights, label, {"image": number, "view": view, "split": split})


def _images(directory: str | Path, images: str | None) -> str:
    if images is None:
        named = [kind for kind in KINDS if kind in Path(directory).name]
        if not named:
            raise ValueError(f"{directory} does not say what its networks show; pass images=, one of {listing(KINDS)}")
        return named[0]
    check_choice("images", images, tuple(KINDS))
    return images


def _place(pattern: str, name: str) -> tuple[int, int, int]:
    copy, label, number = match_path(re.compile(pattern), name)
    return int(copy) + 1 if copy else 0, int(label), int(number)


def _check_numbers(
    names: list[str], view: np.ndarray, label: np.ndarray, number: np.ndarray, excused: set[int]
) -> None:
    first: dict[tuple[int, int], str] = {}
    labels: dict[int, int] = {}
    for name, v, y, n in zip(names, view.tolist(), label.tolist(), number.tolist(), strict=True):
        if (v, n) in first:
            raise DataError(f"{name} and {first[v, n]} both hold image {n}; expected one file for an image and copy")
        if labels.setdefault(n, y) != y:
            raise DataError(f"{name} gives image {n} the label {y}; another copy has {labels[n]}")
        first[v, n] = name
    missing = sorted(set(range(max(labels) + 1)) - {n for v, n in first if v == 0} - excused)
    if missing:
        raise DataError(
            f"no file holds image {listing(missing[:5])} ({len(missing)} of {max(labels) + 1} are missing); expected "
            f"every number from 0 on: complete the set, or name in leave_out what you leave out"
        )
