"""A run's directory: its configuration and its results.

run.json           configuration, runs, task, the model's name, arguments, parameters' shapes and constants, the data
                   set's metadata, the SHA-256 of what was trained on, and JAX's precision and generator of keys; with
                   its own checksum
metrics.jsonl      one line an evaluation of a run
checkpoints/       the newest two states; checkpoints.json proves them
result.json        scores, once the training is over and the test split was read; plain JSON
seconds.json       what it took, where a stopwatch ran
lock               held by the process that trains
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

from wsjax.data import Metadata
from wsjax.errors import DataError, json_differences, listing
from wsjax.storage.files import LOCK, read_checked_json, write_checked_json
from wsjax.train.config import Run, TrainConfig
from wsjax.train.task import Task

RECORD, METRICS, RESULT = "run.json", "metrics.jsonl", "result.json"
CHECKPOINTS, PROOFS, SPENT = "checkpoints", "checkpoints.json", "seconds.json"
WAY_OUT = (
    "Restore it from a copy, or train again into another directory; so too where a wsjax that wrote no checksum made it"
)


def read_proved(path: Path) -> dict[str, Any]:
    """Read a file of a run that carries its own checksum; raises DataError where that does not hold."""
    if not path.exists():
        raise DataError(f"{path} does not exist; expected the directory of a run that `wsjax train` made")
    return read_checked_json(path, expected="a file of a run that `wsjax train` made", way_out=WAY_OUT)


def claim(
    directory: Path,
    config: TrainConfig,
    runs: Sequence[Run],
    task: Task,
    model: Mapping[str, Any],
    contents: Mapping[str, Any],
    metadata: Metadata,
    data_sha256: str,
) -> None:
    """Make a directory this run's own, or find that it already is.

    Raises ValueError where it holds a run with other settings, model or data (every field that differs is named), a
    run's files without its record, or files of anything else. `contents` are the model's, as `contents_of` gives them.
    """
    asked = {
        "config": config.to_json(),
        "runs": [run.to_json() for run in runs],
        "task": task.to_json(),
        "model": model,
        **contents,
        "metadata": metadata.to_json(),
        "data_sha256": data_sha256,
    }
    # Under other ones the same seeds draw other numbers, or states have other dtypes.
    settings = {name: getattr(jax.config, f"jax_{name}") for name in ("enable_x64", "default_prng_impl")}
    asked = json.loads(json.dumps({**asked, "jax": settings}))
    path = directory / RECORD
    if path.exists():
        differences = json_differences(read_proved(path), asked)
        # What a user chose stands before what follows from it, of which metadata have much.
        differences.sort(key=lambda line: not line.startswith(("metadata.name", "config", "runs", "task", "model")))
        if differences:
            raise ValueError(
                f"{directory} holds a training with other settings: {listing(differences[:6])}. "
                f"Choose another directory, or the same settings and data to go on with that one"
            )
        return
    leftovers = [name for name in (CHECKPOINTS, PROOFS, METRICS) if (directory / name).exists()]
    if leftovers:
        raise ValueError(
            f"{directory} holds {listing(leftovers)} without {RECORD}, so nothing says of which training; expected "
            f"a new directory. Choose another one, or restore {RECORD} from a copy"
        )
    others = sorted(path.name for path in directory.glob("[!.]*") if path.name not in (LOCK, SPENT, RESULT))
    if others:
        raise ValueError(
            f"{directory} holds {listing(others[:6])} and no run; expected a new directory, or that of this training: "
            f"choose another one"
        )
    directory.mkdir(parents=True, exist_ok=True)
    write_checked_json(path, asked)


def check_contents(directory: Path, stored: Mapping[str, Any], contents: Mapping[str, Any]) -> None:
    """Raise ValueError where a model's parameters or constants (`contents_of`) are not those that a record states."""
    differences = json_differences({name: stored.get(name, {}) for name in contents}, json.loads(json.dumps(contents)))
    if differences:
        raise ValueError(
            f"the model is other than that of the run in {directory}: {listing(differences[:6])}. Pass the make_model "
            f"that it was trained with"
        )
