"""The splits JSON of the DWSNets family: which network is for what, in paths of the machine that wrote it."""

import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from wsjax.data.formats.gather import split_index
from wsjax.data.formats.paths import by_last_parts, inside, listed_file, read_json_file
from wsjax.errors import DataError, listing


class Splits(NamedTuple):
    """By file name: the index of its split, and its label where the JSON has one."""

    split: dict[str, int]
    label: dict[str, int]


def find_splits(directory: str | Path, splits: str | Path | None) -> Path | None:
    """The splits JSON: the one given, else the one `*splits.json` in the directory; None where there is none.

    Raises:
        DataError: several, or one that links out of the directory; a link that is given is the user's own.
    """
    if splits is not None:
        return Path(splits)
    root = Path(directory)
    found = sorted(root.glob("*splits.json"))
    if len(found) > 1:
        raise DataError(f"{directory} holds {listing(p.name for p in found)}; expected one: pass splits=")
    return inside(found[0], root) if found else None


def read_splits(path: Path, files: Iterable[str], parts: int) -> Splits:
    """What a splits JSON says of the files that are there.

    Two forms are in use: `{split: [paths]}`, and `{split: {"path": [...], "label": [...]}}` with labels as numbers or
    as text. The paths are those of another machine, so a file is known by the last parts of its path.

    Args:
        path: the JSON.
        files: the files there are, by their path inside the data set.
        parts: how many last parts tell one file from another.

    Raises:
        DataError: another form, a path that leaves the directory, a file that is missing or in two splits.
    """
    names = list(files)
    table = by_last_parts(names, parts)
    content = read_json_file(path)
    if not isinstance(content, dict):
        raise DataError(f"{path} holds a {type(content).__name__}; expected {{split: paths}}")
    split: dict[str, int] = {}
    label: dict[str, int] = {}
    for name, entry in content.items():
        index = split_index(name, str(path))
        paths, labels = _entries(entry, f"{path}: {name}")
        for position, listed in enumerate(paths):
            file = listed_file(listed, table, parts, f"{path}: {name}")
            if file in split:
                raise DataError(f"{path} lists {file} twice; expected every network in one split")
            split[file] = index
            if labels is not None:
                label[file] = integer_label(labels[position], f"{path}: label of {file}")
    return Splits(split, label)


def _entries(entry: Any, where: str) -> tuple[list[Any], list[Any] | None]:
    paths, labels = (entry.get("path"), entry.get("label")) if isinstance(entry, dict) else (entry, None)
    if not isinstance(paths, list) or (
        labels is not None and (not isinstance(labels, list) or len(labels) != len(paths))
    ):
        raise DataError(f"{where} is no list of paths with as many labels; expected [path, ...] or {{path, label}}")
    return paths, labels


def integer_label(value: Any, where: str) -> int:
    """A label as an int, whether it is stored as a number, a text or an array of one; raises DataError otherwise."""
    try:
        array = np.asarray(value)
        number = int(str(value)) if array.dtype.kind == "U" else int(array.item())
        if array.dtype.kind not in "iuU" or number < 0:
            raise ValueError
    except (TypeError, ValueError):
        raise DataError(f"{where} is {value!r}; expected an integer from 0") from None
    return number


def warn_of_leaks(split: np.ndarray, image: np.ndarray, where: str) -> None:
    """Warn where views of one image lie in several splits: a test on such a set is no test."""
    shared = [set(image[split == a]) & set(image[split == b]) for a, b in ((0, 1), (0, 2), (1, 2))]
    count = len(set().union(*shared))
    if count:
        warnings.warn(f"{where}: views of {count} images lie in more than one split", stacklevel=3)
