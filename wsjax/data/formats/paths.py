"""Directories of others' formats: a new one to write to; files in one to read, found, ordered, never left."""

import json
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from wsjax.errors import DataError, listing

MAX_JSON = 1 << 28
Parts = tuple[str, ...]


def natural(text: str) -> tuple[tuple[int, str], ...]:
    """A sort key by which model_2 comes before model_10.

    Example:
        >>> sorted(["model_10.pth", "model_2.pth"], key=natural)
        ['model_2.pth', 'model_10.pth']
    """
    parts = re.findall(r"[0-9]+|[^0-9]+", text)  # other scripts have digits that int does not read
    return tuple((int(part), "") if part[0] in "0123456789" else (-1, part) for part in parts)


def check_new(path: Path) -> None:
    """Raise ValueError where a path is taken by anything but an empty directory."""
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise ValueError(f"{path} is not empty; expected a new directory: name another one, or remove it")


def inside(path: Path, root: Path) -> Path:
    """A path in a directory, which it must not leave: a data set from elsewhere may hold links to files of ours.

    Raises:
        DataError: a link that leads out of the directory.
    """
    # Path.resolve raises RuntimeError for a link to itself, which whoever opens it names.
    if path.is_symlink() and not (end := Path(os.path.realpath(path))).is_relative_to(root.resolve()):
        raise DataError(f"{path} links to {end}; expected files inside {root}: refused")
    return path


def find_files(directory: str | Path, pattern: str, leave_out: Sequence[str] = ()) -> dict[str, Path]:
    """The files under a directory whose path in it matches a regular expression, by that path, in natural order.

    Hidden files and folders are no part of a data set, nor is `__MACOSX`: archives made on a Mac have a `._NAME` of
    the system's beside each file.

    Raises:
        DataError: no directory, no such file, a link that leads out of the directory, or a name in `leave_out` that
            is not there.
    """
    root = Path(directory)
    if not root.is_dir():
        raise DataError(f"{root} is no directory; expected the unpacked data set")
    found = {}
    for place, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name != "__MACOSX" and not name.startswith(".")]
        for name in names:
            if name.startswith("."):
                continue
            path = Path(place, name)
            # In a locale without UTF-8 a name of another script is no text yet, and would equal none in a JSON file.
            relative = os.fsencode(path.relative_to(root).as_posix()).decode("utf-8", "surrogateescape")
            if re.search(pattern, relative):
                found[relative] = path
    if not found:
        raise DataError(f"{root} holds no file whose path matches {pattern}; expected the unpacked data set")
    for path in found.values():
        inside(path, root)
    absent = sorted(set(leave_out) - set(found))
    if absent:
        raise DataError(f"leave_out names {listing(absent[:5])}; expected paths inside {root}, as messages give them")
    return {name: found[name] for name in sorted(found, key=natural) if name not in leave_out}


def by_last_parts(found: Iterable[str], count: int) -> dict[Parts, str]:
    """Paths by their last parts, which are the same on every machine.

    Raises:
        DataError: two that share them.
    """
    table: dict[Parts, str] = {}
    for name in found:
        parts = PurePosixPath(name).parts[-count:]
        if parts in table:
            raise DataError(f"{name} and {table[parts]} both end in {'/'.join(parts)}; name one of their directories")
        table[parts] = name
    return table


def listed_file(listed: object, table: dict[Parts, str], count: int, where: str) -> str:
    """The file that a path from another machine stands for: the one that ends in the same parts.

    Raises:
        DataError: no text, a path with `..`, or a file that is not there.
    """
    parts = PurePosixPath(listed.replace("\\", "/")).parts if isinstance(listed, str) else ()
    if not parts or ".." in parts:
        raise DataError(f"{where} lists {listed!r}; expected the path of a network, without '..': refused")
    if parts[-count:] not in table:
        raise DataError(f"{where} lists {listed!r}; no file here ends in {'/'.join(parts[-count:])}: complete the set")
    return table[parts[-count:]]


def read_json_file(path: str | Path) -> Any:
    """The content of a JSON file.

    Raises:
        DataError: it is missing, too large, or no JSON.
    """
    path = Path(path)
    try:
        if path.stat().st_size > MAX_JSON:
            raise DataError(f"{path} holds {path.stat().st_size} bytes; expected at most {MAX_JSON}: refused")
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise DataError(f"{path} cannot be read as JSON ({error}). Put a whole copy in its place.") from None
