"""The names of the splits in other data sets; and the splits JSON of the DWSNets family, with absolute paths."""

from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from wsjax.data.formats.paths import inside, read_json_file
from wsjax.errors import DataError, listing

SPLIT_NAMES = {"train": 0, "training": 0, "val": 1, "valid": 1, "validation": 1, "test": 2, "testing": 2}
"""Our index of each."""


class Splits(NamedTuple):
    """By file name: the index of its split, and its label where the JSON has one."""

    split: dict[str, int]
    label: dict[str, int]


def find_splits(directory: str | Path, splits: str | Path | None) -> Path | None:
    """The splits JSON named, else the one `*splits.json` in the directory; None where there is none.

    One in the directory must not link out of it; a link that is named is the user's own.
    """
    if splits is not None:
        return Path(splits)
    root = Path(directory)
    found = sorted(root.glob("*splits.json"))
    if len(found) > 1:
        raise DataError(f"{directory} holds {listing(p.name for p in found)}; expected one: pass splits=")
    return inside(found[0], root) if found else None


def read_splits(path: Path, files: Iterable[str], parts: int) -> Splits:
    """What a splits JSON says of the files that are there, each known by its last `parts` parts.

    It is `{split: [paths]}`, or `{split: {"path": [...], "label": [...]}}` with labels as numbers or as text.
    """
    table: dict[tuple[str, ...], str] = {}
    for name in files:
        last = PurePosixPath(name).parts[-parts:]
        if last in table:
            raise DataError(f"{name} and {table[last]} both end in {'/'.join(last)}; name one of their directories")
        table[last] = name
    content = read_json_file(path)
    if not isinstance(content, dict):
        raise DataError(f"{path} holds a {type(content).__name__}; expected {{split: paths}}")
    found = Splits({}, {})
    for name, entry in content.items():
        if name not in SPLIT_NAMES:
            raise DataError(f"{path} names a split {name!r}; expected one of {listing(SPLIT_NAMES)}")
        paths, labels = (entry.get("path"), entry.get("label")) if isinstance(entry, dict) else (entry, None)
        labeled = isinstance(paths, list) and isinstance(labels, list) and len(labels) == len(paths)
        if not isinstance(paths, list) or not (labels is None or labeled):
            expected = "[path, ...] or {path, label}"
            raise DataError(f"{path}: {name} is no list of paths with as many labels; expected {expected}")
        for position, listed in enumerate(paths):
            file = _listed_file(listed, table, parts, f"{path}: {name}")
            if file in found.split:
                raise DataError(f"{path} lists {file} twice; expected every network in one split")
            found.split[file] = SPLIT_NAMES[name]
            if labels is not None:
                found.label[file] = integer_label(labels[position], f"{path}: label of {file}")
    return found


def _listed_file(listed: object, table: dict[tuple[str, ...], str], count: int, where: str) -> str:
    """The file that a path from another machine stands for: the one that ends in the same parts."""
    parts = PurePosixPath(listed.replace("\\", "/")).parts if isinstance(listed, str) else ()
    if not parts or ".." in parts:
        raise DataError(f"{where} lists {listed!r}; expected the path of a network, without '..': refused")
    if parts[-count:] not in table:
        raise DataError(f"{where} lists {listed!r}; no file here ends in {'/'.join(parts[-count:])}: complete the set")
    return table[parts[-count:]]


def integer_label(value: Any, where: str) -> int:
    """A label as an int, whether it is stored as a number, a text or an array of one."""
    try:
        array = np.asarray(value)
        number = int(str(value)) if array.dtype.kind == "U" else int(array.item())
        if array.dtype.kind not in "iuU" or number < 0:
            raise ValueError
    except (TypeError, ValueError):
        raise DataError(f"{where} is {value!r}; expected an integer from 0") from None
    return number
