"""One cell of a grid: a reader and an augmentation on a data set, its trials, its seeds, its one look at the test."""

import json
import subprocess
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import PyTree

from benchmarks.accuracy.views import with_views
from benchmarks.harness import machine
from wsjax.data import SPLITS, WeightDataset
from wsjax.data.store.directory import checksum
from wsjax.data.store.shards import digest
from wsjax.demo import score_row, stopwatch
from wsjax.models import build, head_arrays, trainable
from wsjax.train import Plan, Trained, Trial, evaluate, record, train

TEST_READ = "test_read.json"
CURVE = ("epoch", "run", "train_accuracy", "validation_accuracy")
"""What a row keeps of every evaluation."""


@dataclass(frozen=True)
class Cell:
    """What is trained: reader and settings, augmentation by name and as SPEC, schedule, trials, and the seeds.

    dataset: the name of one of the suite's, of which so many `views` of each training image are read. trains: all of
    the reader, or its head alone. The trials' settings are tried with each of `trial_seeds`; the best mean validation
    accuracy chooses, and `seeds` train side by side with that. average, strength: as the plan has them. On the test
    split each network is read `copies` times, moved by the SPEC `moved`. scores: the arm whose readers this cell scores
    where it differs in the test alone.
    """

    dataset: str
    reader: str
    settings: Any = None
    arm: str = "none"
    augment: str = ""
    views: int = 1
    trains: str = "all"
    epochs: int = 60
    evaluate_every: int = 5
    batch_size: int = 128
    trials: tuple[Trial, ...] = (Trial(),)
    trial_seeds: tuple[int, ...] = (0,)
    seeds: tuple[int, ...] = (1, 2, 3)
    average: float = 0.0
    strength: str = "constant"
    copies: int = 1
    moved: str = ""
    scores: str = ""

    @property
    def title(self) -> str:
        """DATASET/READER/AUGMENTATION/VIEWS."""
        reader = self.reader if self.trains == "all" else f"{self.reader}_{self.trains}_only"
        return f"{self.dataset}/{reader}/{self.arm}/{self.views}"

    @property
    def plan(self) -> Plan:
        return Plan(
            reader=self.reader,
            reader_settings=self.settings,
            augment=self.augment,
            epochs=self.epochs,
            batch_size=self.batch_size,
            evaluate_every=self.evaluate_every,
            trains=self.trains,
            average=self.average,
            strength=self.strength,
        )

    @property
    def identity(self) -> str:
        """SHA-256 of everything that the cell's numbers depend on beside the data."""
        trials = [trial.to_json() for trial in self.trials]
        return checksum({**asdict(self), "settings": asdict(self.plan.reader_settings), "trials": trials})

    def run(self, networks: WeightDataset, out: Path) -> dict[str, Any]:
        """Its row, as `run_cell` gives it."""
        return run_cell(self, networks, out)


def run_cell(cell: Cell, networks: WeightDataset, out: Path) -> dict[str, Any]:
    """Train a cell, or what is left of it, and give its row; a finished one is read from `out`.

    The training sees the training and validation splits alone.

    Raises:
        ValueError: `out` holds another cell.
    """
    path = out / record.RESULT
    if path.exists():
        return same_cell(record.read_json(path), cell.identity, out)
    networks = with_views(networks, cell.views)
    seen = networks.where(lambda columns: columns["split"] != SPLITS.index("test"))
    with stopwatch(out) as spent:
        at = out.parents[1] / cell.scores / out.name if cell.scores else out
        best, tried = choose(cell, seen, at / "trials")
        trained = train(seen, cell.plan, [replace(best, seed=seed) for seed in cell.seeds], at / "seeds")
        test = read_test_once(cell, trained, networks, out)
    row = {
        "cell": cell.title,
        "identity": cell.identity,
        **score_row(trained, test),
        "seeds": list(cell.seeds),
        "settings": asdict(cell.plan.reader_settings),
        "parameters": trained_parameters(cell, networks),
        "networks": {name: len(networks.split(name)) for name in SPLITS},
        "epochs": cell.epochs,
        "trials": tried,
        "history": {key: [record[key] for record in trained.history] for key in CURVE},
        "seconds": spent["seconds"],
        "commit": commit(),
        "machine": machine(),
    }
    record.write_json(path, row)
    return json.loads(json.dumps(row))


def choose(cell: Cell, seen: WeightDataset, out: Path) -> tuple[Trial, list[dict[str, Any]]]:
    """The trial with the best mean validation accuracy, and each training's accuracy; a single one is not tried."""
    if len(cell.trials) == 1:
        return cell.trials[0], []
    tries = [replace(trial, seed=seed) for trial in cell.trials for seed in cell.trial_seeds]
    scores = np.asarray(train(seen, cell.plan, tries, out).state.best_score)
    means = scores.reshape(len(cell.trials), len(cell.trial_seeds)).mean(axis=1)
    said = [{**t.to_json(), "validation_accuracy": float(s)} for t, s in zip(tries, scores, strict=True)]
    return cell.trials[int(np.argmax(means))], said


def trained_parameters(cell: Cell, networks: WeightDataset) -> int:
    """How many numbers of the cell's reader train."""
    reader = build(cell.reader, networks.card, cell.settings, key=jax.random.key(0))
    marks = trainable(reader) if cell.trains == "all" else head_arrays(reader)
    return sum(leaf.size for leaf in jax.tree.leaves(eqx.filter(reader, marks)))


def commit() -> str | None:
    """The commit that runs, with a plus where files differ from it; None outside a checkout."""
    asked = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--abbrev=12", "--dirty=+"]
    try:
        found = subprocess.run(asked, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return found.stdout.strip()


def read_test_once(cell: Cell, trained: Trained, networks: WeightDataset, out: Path) -> list[float]:
    """Each seed's accuracy on the test split, the one look at it.

    Raises:
        ValueError: other readers have read it for this cell.
    """
    take_the_one_look(out, trained.state.best)
    return evaluate(trained, networks, copies=cell.copies, augment=cell.moved)


def take_the_one_look(out: Path, readers: PyTree) -> None:
    """Leave a word in `out` that the test split is read now by readers of these arrays.

    A run that was killed in between reads it again with the same readers, which give the same numbers.

    Raises:
        ValueError: other readers have read it for this cell.
    """
    leaves = jax.tree_util.tree_leaves_with_path(readers)
    known = checksum({jax.tree_util.keystr(path): digest(np.asarray(leaf)) for path, leaf in leaves})
    path = out / TEST_READ
    if path.exists() and record.read_json(path)["readers_sha256"] != known:
        raise ValueError(
            f"{out} has had its one look at the test split, with other readers; expected none, or the same readers. "
            f"Choose on validation; for other settings make another cell"
        )
    record.write_json(path, {"readers_sha256": known})


def same_cell(row: dict[str, Any], identity: str, out: Path) -> dict[str, Any]:
    """A finished cell's row. Raises ValueError where it is another cell's."""
    if row["identity"] != identity:
        raise ValueError(
            f"{out} holds the cell {row['cell']} with other settings; expected those asked for now. Choose another "
            f"directory, or remove that one"
        )
    return row
