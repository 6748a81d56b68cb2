"""NFN's SIREN sets: MNIST, Fashion-MNIST and CIFAR-10, each image fitted several times.

SIRENs 2-32-32-C with w0 = 30, sin(w0 (x W + b)) without an offset, against pixels in [-1, 1] at coordinates (row,
column) in [-1, 1].
"""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from wsjax.data.dataset import WeightDataset
from wsjax.data.formats.contents import read_layers
from wsjax.data.formats.gather import finish, gather
from wsjax.data.formats.paths import find_files
from wsjax.data.metadata import Metadata
from wsjax.data.sources.mnist import DIGITS, GARMENTS
from wsjax.errors import DataError, check_choice, check_number, listing
from wsjax.networks import Network

CIFAR = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
IMAGES = {"mnist": ((28, 28, 1), DIGITS), "fashion": ((28, 28, 1), GARMENTS), "cifar": ((32, 32, 3), CIFAR)}
"""What the networks of each set were fitted to: shape and classes."""


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
        prefix, leave_out, progress: of the folders; files to leave out, by their path in the directory; show a bar.

    Raises:
        ValueError: unknown images, more views than there are, or cuts that run backwards. DataError, naming the file:
            another architecture, an image that is missing, there twice or labeled in two ways, or a file that is not
            safe to read.

    Source: arXiv 2302.14040 and 2305.13546, and their code.

    Example:
        >>> read_nfn_sirens("/nowhere", "mnist")
        Traceback (most recent call last):
        wsjax.errors.DataError: /nowhere is no directory; expected the unpacked data set
    """
    named = images or next((kind for kind in IMAGES if kind in Path(directory).name), None)
    if named is None:
        raise ValueError(f"{directory} does not say what its networks show; pass images=, one of {listing(IMAGES)}")
    check_choice("images", named, tuple(IMAGES))
    check_number("the second of cuts", cuts[1], low=cuts[0])
    (shape, classes), name = IMAGES[named], f"nfn-{named}"
    pattern = rf"(?:^|/){re.escape(prefix)}(?:_aug(\d+))?_(\d)s/net(\d+)\.pth$"
    found = find_files(directory, pattern, leave_out)
    places = {file: _place(pattern, file) for file in found}
    there = len({view for view, _, _ in places.values()})
    if views is not None and not 1 <= views <= there:
        raise ValueError(f"views is {views}; {directory} has {there}: give a number from 1 to it")
    kept = {file: path for file, path in found.items() if views is None or places[file][0] < views}
    _check_numbers({file: places[file] for file in kept}, {_place(pattern, file)[2] for file in leave_out})
    view, label, number = np.array([places[file] for file in kept]).T
    network = Network("siren", (2, 32, 32, shape[2]), w0=(30.0,), family="nfn")
    weights, _ = gather(kept, read_layers, network.symmetry, name=name, progress=progress)
    metadata = Metadata(
        name,
        network,
        network.symmetry,
        image_shape=shape,
        coordinate_order="ij",
        value_range=(-1.0, 1.0),
        classes=classes,
        source={"format": "nfn", "prefix": prefix, "cuts": cuts, "views_there": there, "left_out": [*leave_out]},
    )
    return finish(metadata, weights, label, image=number, view=view, split=np.digitize(number, cuts))


def _place(pattern: str, file: str) -> tuple[int, int, int]:
    """View, label and number that a path states."""
    copy, label, number = re.findall(pattern, file)[0]
    return int(copy) + 1 if copy else 0, int(label), int(number)


def _check_numbers(places: dict[str, tuple[int, int, int]], excused: set[int]) -> None:
    first: dict[tuple[int, int], str] = {}
    labels: dict[int, int] = {}
    for name, (view, label, number) in places.items():
        if (view, number) in first:
            both = f"{name} and {first[view, number]} both hold image {number}"
            raise DataError(f"{both}; expected one file for an image and copy")
        if labels.setdefault(number, label) != label:
            raise DataError(f"{name} gives image {number} the label {label}; another copy has {labels[number]}")
        first[view, number] = name
    count = max(labels, default=0) + 1
    missing = sorted(set(range(count)) - {number for view, number in first if view == 0} - excused)
    if missing:
        raise DataError(
            f"no file holds image {listing(missing[:5])} ({len(missing)} of {count} are missing); expected "
            f"every number from 0 on: complete the set, or name in leave_out what you leave out"
        )
