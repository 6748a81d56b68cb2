"""What a command was given: settings as text, directories, devices, and modules of the user's own."""

import importlib
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wsjax.train import Result


def parse_settings(text: str, name: str = "settings") -> dict:
    """Settings by name from JSON.

    Raises:
        ValueError: the text is no JSON object.
    """
    try:
        settings = json.loads(text)
    except json.JSONDecodeError:
        settings = None
    if not isinstance(settings, dict):
        raise ValueError(f"{name} is {text!r}; expected a JSON object, such as '{{\"NAME\": 32}}'")
    return settings


def check_dataset(path: Path) -> None:
    """Raise ValueError for a path that cannot be a data set: none at all, or a training run."""
    made = "expected a directory that `wsjax fit`, `wsjax zoo` or `wsjax convert` made"
    if not path.is_dir():
        raise ValueError(f"{path} is no directory; {made}")
    if (path / "run.json").exists():
        raise ValueError(f"{path} is a training run, whose networks are readers; {made}")


def import_modules(names: Sequence[str]) -> None:
    """Import modules, those of the current directory too, before a SPEC is read that names what they register.

    Raises:
        ImportError: there is no such module, or it imports one that there is not.
    """
    sys.path[:0] = [os.getcwd()] * (bool(names) and os.getcwd() not in sys.path)
    for name in names:
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise ImportError(
                f"import is {name!r}: {error}; expected a module that Python finds, such as my_module for "
                f"my_module.py in this directory"
            ) from error


def say_if_unfinished(result: "Result", run: Path) -> None:
    """A line where a training was stopped, as what follows is of its last checkpoint."""
    last = max(row["epoch"] for row in result.history)
    if last < result.config.epochs:
        print(f"{run} was stopped after {last} of {result.config.epochs} epochs; the same training command goes on")
