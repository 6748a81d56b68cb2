"""One cell of a grid: a reader and an augmentation on a data set, the runs tried, the seeds, the test scores."""

import json
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import PyTree

from benchmarks.accuracy.networks import derive
from benchmarks.speed.harness import machine
from wsjax.data import WeightDataset
from wsjax.data.sources import SPLITS
from wsjax.models import NamedReader
from wsjax.models.registry import settings_of
from wsjax.models.wrappers import head_arrays
from wsjax.storage import files
from wsjax.storage.files import checksum, digest
from wsjax.train import Result, Run, TrainConfig, evaluate, fit, record
from wsjax.train.results import row_of, stopwatch

TEST_READ = "test_read.json"
CURVE = ("epoch", "run", "train_accuracy", "validation_accuracy")
"""What a row keeps of every evaluation."""


@dataclass(frozen=True)
class Cell:
    """What is trained: reader and settings, the configuration's name and augmentation, the runs tried, and the seeds.

    Attributes:
        dataset: the name of one of the suite's, of which `views` networks of each training image are used.
        freeze, ema_decay, schedule: as in `TrainConfig`.
        tried: settings, each trained with each of `tried_seeds`; those with the best mean validation accuracy are
            trained with `seeds`, side by side.
        copies, moved: of the test-time augmentation, the number and the SPEC.
        derived: what is made of the data set before, as `networks.derive` names it.
        scores: the configuration whose readers this cell scores, where it differs in the test alone.
    """

    dataset: str
    reader: str
    settings: Any = None
    configuration: str = "none"
    augment: str = ""
    views: int = 1
    freeze: str | None = None
    epochs: int = 60
    evaluate_every: int = 5
    batch_size: int = 128
    tried: tuple[Run, ...] = (Run(),)
    tried_seeds: tuple[int, ...] = (0,)
    seeds: tuple[int, ...] = (1, 2, 3)
    ema_decay: float = 0.0
    schedule: str = "constant"
    copies: int = 1
    moved: str = ""
    scores: str = ""
    derived: str = ""

    @property
    def title(self) -> str:
        """DATASET/READER/AUGMENTATION/VIEWS."""
        reader = self.reader if self.freeze is None else f"{self.reader}_head_only"
        return f"{self.dataset}/{reader}/{self.configuration}/{self.views}"

    @property
    def config(self) -> TrainConfig:
        return TrainConfig(
            augment=self.augment,
            epochs=self.epochs,
            batch_size=self.batch_size,
            evaluate_every=self.evaluate_every,
            freeze=self.freeze,
            ema_decay=self.ema_decay,
            schedule=self.schedule,
        )

    @property
    def identity(self) -> str:
        """SHA-256 of everything that the cell's numbers depend on beside the data."""
        return checksum({**asdict(self), "settings": settings_of(self.reader, self.settings)})

    def fit(self, networks: WeightDataset, runs: Sequence[Run], out: Path) -> Result:
        """Train the cell's reader with these runs, or what is left of it in `out`."""
        make_model = NamedReader(self.reader, networks.metadata, self.settings)
        return fit(networks, make_model, self.config, runs=runs, out=out)

    def run(self, networks: WeightDataset, out: Path) -> dict[str, Any]:
        """Its row, as `run_cell` gives it."""
        return run_cell(self, networks, out)


def run_cell(cell: Cell, networks: WeightDataset, out: Path) -> dict[str, Any]:
    """Train a cell, or what is left of it, and give its row; a finished one is read from `out`.

    The training uses the training and validation splits alone.

    Raises:
        ValueError: `out` holds another cell.
    """
    path = out / record.RESULT
    if path.exists():
        return same_cell(files.read_json(path), cell.identity, out)
    networks = derive(with_views(networks, cell.views), cell.derived)
    untested = networks.where(lambda columns: columns["split"] != SPLITS.index("test"))
    with stopwatch(out) as spent:
        at = out.parents[1] / cell.scores / out.name if cell.scores else out
        best, tried = choose(cell, untested, at / "tried")
        result = cell.fit(untested, [replace(best, seed=seed) for seed in cell.seeds], at / "seeds")
        test = score_test_once(cell, result, networks, out)
    row = {
        "cell": cell.title,
        "identity": cell.identity,
        **row_of(result, test),
        "seeds": list(cell.seeds),
        "settings": settings_of(cell.reader, cell.settings),
        "parameters": trained_parameters(cell, networks),
        "networks": {name: len(networks.split(name)) for name in SPLITS},
        **fit_of(networks),
        "epochs": cell.epochs,
        "tried": tried,
        "history": {key: [line[key] for line in result.history] for key in CURVE},
        "seconds": spent["seconds"],
        "commit": commit(),
        "machine": machine(),
    }
    files.write_json(path, row)
    return json.loads(json.dumps(row))


def choose(cell: Cell, untested: WeightDataset, out: Path) -> tuple[Run, list[dict[str, Any]]]:
    """The settings with the best mean validation accuracy, and each run's accuracy; a single one is not tried."""
    if len(cell.tried) == 1:
        return cell.tried[0], []
    runs = [replace(run, seed=seed) for run in cell.tried for seed in cell.tried_seeds]
    scores = np.asarray(cell.fit(untested, runs, out).state.best_score)
    means = scores.reshape(len(cell.tried), len(cell.tried_seeds)).mean(axis=1)
    rows = [
        {**run.filled(cell.config).to_json(), "validation_accuracy": float(score)}
        for run, score in zip(runs, scores, strict=True)
    ]
    return cell.tried[int(np.argmax(means))], rows


def fit_of(networks: WeightDataset) -> dict[str, Any]:
    """The mean PSNR of the networks in dB, and their widths where they are SIRENs; None for what they have not."""
    network, psnr = networks.metadata.network, networks.columns.get("psnr")
    return {
        "psnr": None if psnr is None else float(np.mean(psnr)),
        "siren_widths": list(network.widths) if network is not None and network.kind == "siren" else None,
    }


def trained_parameters(cell: Cell, networks: WeightDataset) -> int:
    """The number of parameters of the cell's reader that are trained."""
    reader = NamedReader(cell.reader, networks.metadata, cell.settings)(jax.random.key(0))
    trained = eqx.is_inexact_array if cell.freeze is None else head_arrays(reader)
    return sum(leaf.size for leaf in jax.tree.leaves(eqx.filter(reader, trained)))


def commit() -> str | None:
    """The commit that runs, with a plus where files differ from it; None outside a checkout."""
    asked = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--abbrev=12", "--dirty=+"]
    try:
        found = subprocess.run(asked, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return found.stdout.strip()


def score_test_once(cell: Cell, result: Result, networks: WeightDataset, out: Path) -> list[float]:
    """Each seed's accuracy on the test split, which is used once.

    Raises:
        ValueError: other readers have been scored on it for this cell.
    """
    claim_test(out, result.state.best)
    return evaluate(result, networks, copies=cell.copies, augment=cell.moved)


def claim_test(out: Path, readers: PyTree) -> None:
    """Record in `out` that readers of these arrays are scored on the test split now.

    A run that was killed in between scores the same readers again, with the same result.

    Raises:
        ValueError: other readers have been scored on it for this cell.
    """
    leaves = jax.tree_util.tree_leaves_with_path(readers)
    known = checksum({jax.tree_util.keystr(path): digest(np.asarray(leaf)) for path, leaf in leaves})
    path = out / TEST_READ
    if path.exists() and files.read_json(path)["readers_sha256"] != known:
        raise ValueError(
            f"{out} has used the test split once, with other readers; expected none, or the same readers. Choose on "
            f"validation; for other settings make another cell"
        )
    files.write_json(path, {"readers_sha256": known})


def same_cell(row: dict[str, Any], identity: str, out: Path) -> dict[str, Any]:
    """A finished cell's row. Raises ValueError where it is another cell's."""
    if row["identity"] != identity:
        raise ValueError(
            f"{out} holds the cell {row['cell']} with other settings; expected those asked for now. Choose another "
            f"directory, or remove that one"
        )
    return row


def with_views(networks: WeightDataset, count: int) -> WeightDataset:
    """The training networks of the first `count` views under their own statistics, and the others' first view.

    So validation and test do not depend on the views that a reader is trained on.

    Raises:
        ValueError: fewer views than that.
    """
    view, training = networks.columns["view"], networks.columns["split"] == SPLITS.index("train")
    held = int(view.max()) + 1
    if held < count:
        raise ValueError(
            f"{networks.metadata.name} has {held} views of an image; expected {count}: fit it with that many"
        )
    if held == 1:
        return networks
    return networks.where(view < training * (count - 1) + 1).with_statistics()
