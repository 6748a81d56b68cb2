"""What the sets of DWSNets share: paths that say where a file belongs, a splits JSON, labels in up to three places."""

import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from wsjax.data.dataset import WeightDataset
from wsjax.data.formats.contents import read_contents
from wsjax.data.formats.dense import layers_of
from wsjax.data.formats.dws_splits import Splits, find_splits, integer_label, read_splits, warn_of_leaks
from wsjax.data.formats.gather import finish, gather, one_value, split_image_wise, split_index
from wsjax.data.formats.paths import natural
from wsjax.data.metadata import Metadata
from wsjax.errors import DataError
from wsjax.networks import Network
from wsjax.typing import Layer


class Place(NamedTuple):
    """What a file's path states: the part it lies in, the number of its image, its label and its view."""

    part: str
    image: int
    label: int | None = None
    view: str = ""


def read_layers(path: Path) -> tuple[tuple[Layer, ...], dict[str, Any]]:
    """A state dict's layers, and what it holds beside them."""
    contents = read_contents(path)
    return layers_of(contents, str(path)), contents.extras


def match_path(pattern: re.Pattern[str], name: str) -> tuple[str, ...]:
    """The groups of a pattern in a path, empty text for one that took no part."""
    found = pattern.search(name)
    if found is None:
        raise DataError(f"{name} does not match {pattern.pattern}")
    return found.groups("")


def read_set(
    name: str,
    directory: str | Path,
    files: Mapping[str, Path],
    place: Callable[[str], Place],
    parts: int,
    splits: str | Path | None,
    classes: tuple[str, ...],
    network: Network,
    leave_out: Sequence[str],
    progress: bool,
) -> WeightDataset:
    """The data set of some files, which `place` puts where their paths say, and a splits JSON where the rest says."""
    path = find_splits(directory, splits)
    listed = Splits({}, {}) if path is None else read_splits(path, [*files, *leave_out], parts)
    outside = [file for file in files if path is not None and file not in listed.split]
    if outside:
        warnings.warn(f"{path} lists none of {len(outside)} files, {outside[0]} first; they are left out", stacklevel=3)
    kept = {file: found for file, found in files.items() if file not in set(outside)}
    places = [place(file) for file in kept]
    weights, notes = gather(kept, read_layers, network.symmetry, name=name, progress=progress)
    label = [_label(file, spot, note, listed, path) for file, spot, note in zip(kept, places, notes, strict=True)]
    image = np.array([spot.image for spot in places])
    views = sorted({spot.view for spot in places}, key=natural)
    folder = np.array([split_index(spot.part, name) for spot in places], np.int8)
    split = np.array([listed.split[file] for file in kept]) if path else split_image_wise(folder, image)
    warn_of_leaks(split, image, name)
    source = {
        "format": name,
        "files": len(kept),
        "left_out": [*leave_out, *outside],
        "splits": path.name if path else "a twelfth of the training images made validation",
        "views": views,
    }
    metadata = Metadata(name, network, network.symmetry, image_shape=(28, 28, 1), classes=classes, source=source)
    columns = {"image": image, "view": [views.index(spot.view) for spot in places], "split": split}
    return finish(metadata, weights, label, columns)


def _label(file: str, spot: Place, extras: Mapping[str, Any], listed: Splits, path: Path | None) -> int:
    inside = integer_label(extras["label"], f"{file}: label") if "label" in extras else None
    where = f"{file} (its folder, its own entry, {path.name if path else 'no splits JSON'})"
    return one_value([spot.label, inside, listed.label.get(file)], "label", where)
