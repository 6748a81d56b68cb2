"""A run's directory: what was asked for, and what came of it.

run.json           plan, trials and the data set's card: everything needed to build the reader again
metrics.jsonl      one line an evaluation of a run
checkpoints/       the newest two states
result.json        scores, once the training is over and the test split was read
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from wsjax.data import Card
from wsjax.errors import DataError, json_differences, listing
from wsjax.train.config import Plan, Trial

RECORD, METRICS, RESULT = "run.json", "metrics.jsonl", "result.json"


def write_json(path: Path, content: Any) -> None:
    """Write a file whole or not at all."""
    draft = path.with_name(path.name + ".tmp")
    draft.write_text(json.dumps(content, indent=2) + "\n")
    os.replace(draft, path)


def read_json(path: Path) -> Any:
    """Read a file of a run.

    Raises:
        DataError: the file is missing or is not JSON; it is named.
    """
    if not path.exists():
        raise DataError(f"{path} does not exist; expected the directory of a run that `wsjax train` made")
    try:
        return json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise DataError(
            f"{path} is damaged at line {error.lineno}; expected JSON. Train again into another directory"
        ) from None


def claim(directory: Path, plan: Plan, trials: Sequence[Trial], card: Card) -> None:
    """Make a directory this run's own, or find that it already is.

    Raises:
        ValueError: it holds a run with other settings; every field that differs is named.
    """
    asked = {"plan": plan.to_json(), "trials": [t.to_json() for t in trials], "card": card.to_json()}
    asked = json.loads(json.dumps(asked))
    path = directory / RECORD
    if path.exists():
        differences = json_differences(read_json(path), asked)
        if differences:
            raise ValueError(
                f"{directory} holds a training with other settings: {listing(differences[:6])}. "
                f"Choose another directory, or the same settings to go on with that one"
            )
        return
    directory.mkdir(parents=True, exist_ok=True)
    write_json(path, asked)
