"""The INR sets of DWSNets and of its successor: MNIST, Fashion-MNIST, and ten views of Fashion-MNIST.

All hold SIRENs 2-32-32-1 with w0 = 30, trained on sin(w0 (x W + b)) + 0.5 against pixels in [0, 1] at coordinates (x =
column, y = row) in [-1, 1].
"""

import re
from collections.abc import Sequence
from pathlib import Path

from wsjax.data.dataset import WeightDataset
from wsjax.data.formats.dws_set import Place, match_path, read_set
from wsjax.data.formats.paths import find_files
from wsjax.data.sources.registry import DIGITS, GARMENTS
from wsjax.networks import Network

DWS_NETWORK = Network("siren", (2, 32, 32, 1), w0=(30.0,), offset=0.5, family="dws")
TRAINING_IMAGES = 60_000
"""MNIST and Fashion-MNIST: numbers of test images go on from here, as the two files of each joined."""

MNIST_FOLDER = re.compile(r"(?:^|/)mnist_png_(training|testing)_(\d+)_(\d+)/checkpoints/[^/]+\.pth$")
FASHION_FILE = re.compile(r"(?:^|/)(train|val|test)/model_(\d+)\.pth$")
VIEW_FILE = re.compile(r"(?:^|/)([^/]+)/(train|val|test)/model_(\d+)\.pth$")


def read_dws_mnist(
    directory: str | Path,
    *,
    splits: str | Path | None = None,
    network: Network = DWS_NETWORK,
    leave_out: Sequence[str] = (),
    progress: bool = True,
) -> WeightDataset:
    """DWSNets' MNIST: `mnist_png_{training|testing}_{label}_{number}/checkpoints/model_final.pth`.

    Args:
        directory: the unpacked set.
        splits: its splits JSON; None takes the one `*splits.json` in the directory, and without one makes a twelfth of
            the training images validation (DWSNets draws them anew each time).
        network: the architecture.
        leave_out: files to leave out, by their path in the directory.
        progress: show a bar.

    Raises:
        DataError: a file of another architecture, labels that disagree, a splits JSON that does not fit the files, or
            a file that is not safe to read; each is named.

    Source: arXiv 2301.12780 and its code.

    Example:
        >>> read_dws_mnist("/nowhere")
        Traceback (most recent call last):
        wsjax.errors.DataError: /nowhere is no directory; expected the unpacked data set
    """

    def place(name: str) -> Place:
        part, label, number = match_path(MNIST_FOLDER, name)
        return Place(part, int(number) + TRAINING_IMAGES * (part == "testing"), int(label))

    files = find_files(directory, MNIST_FOLDER.pattern, leave_out)
    return read_set("dws-mnist", directory, files, place, 3, splits, DIGITS, network, leave_out, progress)


def read_dws_fashion(
    directory: str | Path,
    *,
    splits: str | Path | None = None,
    network: Network = DWS_NETWORK,
    leave_out: Sequence[str] = (),
    progress: bool = True,
) -> WeightDataset:
    """DWSNets' Fashion-MNIST: `{train|test}/model_{number}.pth`, each with its label among its arrays.

    Args:
        directory: the unpacked set.
        splits: its splits JSON, as lists of paths or as neural-graphs rewrites it; None as in `read_dws_mnist`.
        network: the architecture.
        leave_out: files to leave out, by their path in the directory.
        progress: show a bar.

    Raises:
        DataError: as `read_dws_mnist`.

    Source: arXiv 2301.12780 and its code.

    Example:
        >>> read_dws_fashion("/nowhere")
        Traceback (most recent call last):
        wsjax.errors.DataError: /nowhere is no directory; expected the unpacked data set
    """

    def place(name: str) -> Place:
        part, number = match_path(FASHION_FILE, name)
        return Place(part, int(number) + TRAINING_IMAGES * (part == "test"))

    files = find_files(directory, FASHION_FILE.pattern, leave_out)
    return read_set("dws-fashion-mnist", directory, files, place, 2, splits, GARMENTS, network, leave_out, progress)


def read_dws_multiview(
    directory: str | Path,
    *,
    splits: str | Path | None = None,
    network: Network = DWS_NETWORK,
    leave_out: Sequence[str] = (),
    progress: bool = True,
) -> WeightDataset:
    """Ten views of Fashion-MNIST: `{view}/{train|val|test}/model_{number}.pth`, independent fits of the same images.

    The column `view` numbers the views in the order of their names; `image` is the same for all views of an image.

    Args:
        directory: the unpacked set.
        splits: its splits JSON; None as in `read_dws_mnist`, all views of an image together.
        network: the architecture.
        leave_out: files to leave out, by their path in the directory.
        progress: show a bar.

    Raises:
        DataError: as `read_dws_mnist`.

    Source: arXiv 2402.04081; its layout is read from its code.

    Example:
        >>> read_dws_multiview("/nowhere")
        Traceback (most recent call last):
        wsjax.errors.DataError: /nowhere is no directory; expected the unpacked data set
    """

    def place(name: str) -> Place:
        view, part, number = match_path(VIEW_FILE, name)
        return Place(part, int(number) + TRAINING_IMAGES * (part == "test"), view=view)

    files = find_files(directory, VIEW_FILE.pattern, leave_out)
    return read_set("dws-fashion-multiview", directory, files, place, 3, splits, GARMENTS, network, leave_out, progress)
