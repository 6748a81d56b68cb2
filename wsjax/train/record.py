"""A run's directory: what was asked for, and what came of it.

run.json           plan, trials, the data set's card, the units of its targets where it has some, the SHA-256 of what
                   was trained on, and JAX's precision and generator of keys; with its own checksum
metrics.jsonl      one line an evaluation of a run
checkpoints/       the newest two states; checkpoints.json proves them
result.json        scores, once the training is over and the test split was read; plain JSON
lock               held by the process that trains
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

from wsjax.data import Card
from wsjax.data.store import directory as proved
from wsjax.errors import DataError, json_differences, listing, writing
from wsjax.train.config import Plan, Trial
from wsjax.train.targets import Targets

RECORD, METRICS, RESULT = "run.json", "metrics.jsonl", "result.json"
CHECKPOINTS, PROOFS = "checkpoints", "checkpoints.json"


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all, and onto the disk before this returns. Raises OSError naming it."""
    draft = path.with_name(path.name + ".tmp")
    with writing(path):
        with draft.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)


def write_json(path: Path, content: Any) -> None:
    """Write results for others to read: plain JSON without a checksum, whole or not at all."""
    write_text(path, json.dumps(content, indent=2) + "\n")


def read_json(path: Path) -> Any:
    """Read what `write_json` wrote.

    Raises:
        DataError: the file is missing or is not JSON; it is named.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}; expected JSON that wsjax wrote") from None
    except ValueError as error:
        raise DataError(
            f"{path} is damaged: {error}; expected JSON. Remove it: the same command makes it anew"
        ) from None


def read_proved(path: Path) -> dict[str, Any]:
    """Read a file of a run that carries its own checksum.

    Raises:
        DataError: the file is missing, is not JSON, was changed, or was written by a wsjax without checksums.
    """
    if not path.exists():
        raise DataError(f"{path} does not exist; expected the directory of a run that `wsjax train` made")
    try:
        return proved.read_json(path)
    except DataError as error:
        raise DataError(
            f"{str(error).removesuffix(proved.WAY_OUT)}Restore it from a copy, or train again into another directory; "
            f"so too where a wsjax that wrote no checksum made it"
        ) from None


def claim(
    directory: Path, plan: Plan, trials: Sequence[Trial], card: Card, data_sha256: str, targets: Targets | None = None
) -> None:
    """Make a directory this run's own, or find that it already is.

    Raises:
        ValueError: it holds a run with other settings or data, every field that differs is named; or a run's files
            without its record.
    """
    asked = {"plan": plan.to_json(), "trials": [t.to_json() for t in trials], "card": card.to_json()}
    units = {} if targets is None else {"targets": targets.to_json()}
    # Under other ones the same seeds draw other numbers, or states have other dtypes.
    settings = {name: getattr(jax.config, f"jax_{name}") for name in ("enable_x64", "default_prng_impl")}
    asked = json.loads(json.dumps({**asked, "data_sha256": data_sha256, **units, "jax": settings}))
    path = directory / RECORD
    if path.exists():
        known = read_proved(path)
        for name in ("trains", "compute", "microbatches", "average", "strength"):  # which plans of before did not name
            known["plan"].setdefault(name, getattr(Plan, name))
        known.setdefault("jax", settings)
        differences = json_differences(known, asked)
        # What a user chose stands before what follows from it, of which a card has much.
        differences.sort(key=lambda line: not line.startswith(("card.name", "plan", "trials")))
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
    directory.mkdir(parents=True, exist_ok=True)
    proved.write_json(path, asked)
