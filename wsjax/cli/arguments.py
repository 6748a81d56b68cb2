"""The arguments of the commands as the help names them, settings as text, and modules of the user's own.

An option takes one value, or as many as its help shows, so that any order of options and directories is read alike.
"""

import importlib
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, UseAppendAction, arg
from tyro.constructors import PrimitiveConstructorSpec

if TYPE_CHECKING:
    from wsjax.train import Result


def listed(kind: Callable[[str], Any], metavar: str) -> PrimitiveConstructorSpec:
    """A tuple as one value, its entries joined by commas."""
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar=metavar,
        instance_from_str=lambda words: tuple(map(kind, words[0].split(","))),
        is_instance=lambda value: value is None or isinstance(value, tuple),
        str_from_instance=lambda value: [",".join(map(str, value or ()))],
    )


Spec = Annotated[str, arg(metavar="SPEC")]
Json = Annotated[str, arg(metavar="JSON")]
Source = Annotated[Positional[str], arg(metavar="SOURCE")]
Format = Annotated[Positional[str], arg(metavar="FORMAT")]
Directory = Annotated[Positional[Path], arg(metavar="PATH")]
Dataset = Annotated[Positional[Path], arg(metavar="DATASET")]
Run = Annotated[Positional[Path], arg(metavar="RUN")]
Out = Annotated[Positional[Path], arg(metavar="OUT")]
# Options whose default is decided elsewhere, as the help says: none is shown.
MaybeWhole = Annotated[int | None, arg(metavar="INT", help_behavior_hint="")]
MaybeNumber = Annotated[float | None, arg(metavar="FLOAT", help_behavior_hint="")]
MaybeText = Annotated[str | None, arg(metavar="TEXT", help_behavior_hint="")]
MaybePath = Annotated[Path | None, arg(metavar="PATH", help_behavior_hint="")]
Hidden = Annotated[tuple[int, ...] | None, listed(int, "INT,..."), arg(help_behavior_hint="")]
Stops = Annotated[tuple[int, ...], listed(int, "INT,..."), arg(help_behavior_hint="(default: none)")]
Names = Annotated[tuple[str, ...], listed(str, "NAME,...")]
Imports = Annotated[
    UseAppendAction[tuple[str, ...]], arg(name="import", metavar="MODULE", help_behavior_hint="(repeatable)")
]


def parse_settings(text: str, name: str = "settings") -> dict:
    """Settings by name from JSON. Raises ValueError where the text is no JSON object."""
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
    """Import modules, those of the current directory too, before a SPEC is read that names what they register."""
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
