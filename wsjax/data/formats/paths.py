"""Directories of other formats: create one to write to; find and order the files of one, none outside it."""

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from wsjax.errors import DataError, check_several, listing

MAX_JSON = 1 << 28


def natural(text: str) -> tuple[tuple[int, str], ...]:
    """A sort key by which model_2 comes before model_10."""
    parts = re.findall(r"[0-9]+|[^0-9]+", text)  # other scripts have digits that int does not read
    return tuple((int(part), "") if part[0] in "0123456789" else (-1, part) for part in parts)


def check_new(path: Path) -> None:
    """Raise ValueError where a path is taken by anything but an empty directory."""
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise ValueError(f"{path} is not empty; expected a new directory: name another one, or remove it")


def inside(path: Path, root: Path) -> Path:
    """A path in a directory. A data set from elsewhere may hold links to files of ours: DataError for one that does."""
    # Path.resolve raises RuntimeError for a link to itself, which whoever opens it names.
    if path.is_symlink() and not (end := Path(os.path.realpath(path))).is_relative_to(root.resolve()):
        raise DataError(f"{path} links to {end}; expected files inside {root}: refused")
    return path


def find_files(directory: str | Path, pattern: str, leave_out: Sequence[str] = ()) -> dict[str, Path]:
    """The files under a directory whose path in it matches a regular expression, by that path, in natural order.

    Hidden files and folders are no part of a data set, nor is `__MACOSX`: archives made on a Mac have a `._NAME` of
    the system's beside each file.
    """
    root = Path(directory)
    if not root.is_dir():
        raise DataError(f"{root} is no directory; expected the unpacked data set")
    found = {}
    for place, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name != "__MACOSX" and not name.startswith(".")]
        for path in (Path(place, name) for name in names if not name.startswith(".")):
            # In a locale without UTF-8 a name of another script is no text yet, and would equal none in a JSON file.
            relative = os.fsencode(path.relative_to(root).as_posix()).decode("utf-8", "surrogateescape")
            if re.search(pattern, relative):
                found[relative] = inside(path, root)
    if not found:
        raise DataError(f"{root} holds no file whose path matches {pattern}; expected the unpacked data set")
    check_left_out(leave_out, found, f"paths inside {root}, as messages give them")
    return {name: found[name] for name in sorted(found, key=natural) if name not in leave_out}


def check_left_out(leave_out: Sequence[Any], there: Sequence[Any] | dict[str, Any], expected: str) -> None:
    """Raise DataError unless `leave_out` names some of what is there, and not all of it; TypeError for one text."""
    check_several("leave_out", leave_out)
    absent = sorted(set(leave_out) - set(there))
    if absent:
        raise DataError(f"leave_out names {listing(absent[:5])}; expected {expected}")
    if len(set(leave_out)) == len(there):
        raise DataError(f"leave_out names all {len(there)} networks; expected to keep one at least")


def read_text_file(path: Path) -> str:
    """The text of a file of at most `MAX_JSON` bytes."""
    if path.stat().st_size > MAX_JSON:
        raise DataError(f"{path} holds {path.stat().st_size} bytes; expected at most {MAX_JSON}: refused")
    return path.read_text(encoding="utf-8")


def read_json_file(path: str | Path) -> Any:
    """The content of a JSON file; raises DataError where it is missing, too large, or no JSON."""
    try:
        return json.loads(read_text_file(Path(path)))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise DataError(f"{path} cannot be read as JSON ({error}). Put a whole copy in its place.") from None
