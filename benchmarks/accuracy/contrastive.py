"""One cell of contrastive pre-training: a trunk trained without labels, frozen, and the scores of its features."""

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import equinox as eqx
import jax
import numpy as np

from benchmarks.accuracy.cell import claim_test, commit, fit_of, same_cell
from benchmarks.accuracy.probes import Probes, Split, fit_probes
from benchmarks.speed.harness import machine
from wsjax.data import WeightDataset
from wsjax.data.sources import SPLITS
from wsjax.models import NamedReader, parameter_count
from wsjax.models.registry import settings_of
from wsjax.models.wrappers import head_arrays
from wsjax.storage import files
from wsjax.storage.files import checksum
from wsjax.train import Contrastive, Run, TrainConfig, fit, record
from wsjax.train.contrastive import features_of
from wsjax.train.results import deviation, stopwatch
from wsjax.train.task import task_for
from wsjax.typing import Reader

CURVE = ("epoch", "run", "loss", "contrastive_accuracy")
"""What a row keeps of every evaluation."""

EMBEDDING = 64


@dataclass(frozen=True)
class PretrainCell:
    """What is pre-trained: reader and settings, the augmentation of both views, epochs, settings of the runs, seeds.

    Without an augmentation the trunk stays as it was initialized, whatever the epochs. dataset: the name of one of the
    suite's.
    """

    dataset: str
    reader: str
    settings: Any = None
    configuration: str = "random"
    augment: str = ""
    epochs: int = 60
    evaluate_every: int = 5
    batch_size: int = 128
    run_settings: Run = field(default_factory=Run)
    seeds: tuple[int, ...] = (1, 2, 3)

    views: ClassVar[int] = 1
    freeze: ClassVar[str] = "trunk"
    """Labels train what stands on the trunk."""

    @property
    def title(self) -> str:
        """DATASET/READER_pretrained/AUGMENTATION/1."""
        return f"{self.dataset}/{self.reader}_pretrained/{self.configuration}/{self.views}"

    @property
    def config(self) -> TrainConfig:
        return TrainConfig(
            augment=self.augment, epochs=self.epochs, batch_size=self.batch_size, evaluate_every=self.evaluate_every
        )

    @property
    def identity(self) -> str:
        """SHA-256 of everything that the cell's numbers depend on beside the data."""
        return checksum({"pretrained": asdict(self), "settings": settings_of(self.reader, self.settings)})

    def run(self, networks: WeightDataset, out: Path) -> dict[str, Any]:
        """Its row, as `run_pretrain_cell` gives it."""
        return run_pretrain_cell(self, networks, out)


def run_pretrain_cell(cell: PretrainCell, networks: WeightDataset, out: Path) -> dict[str, Any]:
    """Pre-train a cell's readers, probe their features, and give its row; a finished one is read from `out`.

    The trunks are trained on the training split without its labels. A linear model and nearest neighbors are fitted to
    their features on the training split with its labels, and chosen on validation. The test split is used once. The
    row's scores are the linear model's, R2 where labels are targets (its `metric`); `knn_test_mean` and the like are
    the neighbors'. Its parameters are those of the trunk.

    Raises:
        ValueError: `out` holds another cell.
    """
    path = out / record.RESULT
    if path.exists():
        return same_cell(files.read_json(path), cell.identity, out)
    with stopwatch(out) as spent:
        untested = networks.where(lambda columns: columns["split"] != SPLITS.index("test"))
        readers, history = pretrained(cell, untested)
        probes = [fit_probes(_split(r, untested, "train"), _split(r, untested, "validation")) for r in readers]
        test, knn = score_test_once(readers, probes, networks, out)
    validation = [probe.linear.validation for probe in probes]
    row = {
        "cell": cell.title,
        "identity": cell.identity,
        "metric": task_for(networks).metric.key,
        "test_accuracy_mean": float(np.mean(test)),
        "test_accuracy_sd": deviation(test),
        "test_accuracies": test,
        "train_accuracy_mean": float(np.mean([probe.train for probe in probes])),
        "validation_accuracy_mean": float(np.mean(validation)),
        "validation_accuracy_sd": deviation(validation),
        "knn_test_mean": float(np.mean(knn)),
        "knn_test_sd": deviation(knn),
        "knn_tests": knn,
        "chosen": [{"C": probe.linear.setting, "neighbors": probe.neighbors.setting} for probe in probes],
        "seeds": list(cell.seeds),
        "settings": settings_of(cell.reader, cell.settings),
        "parameters": trunk_parameters(readers[0]),
        "networks": {name: len(networks.split(name)) for name in SPLITS},
        **fit_of(networks),
        "epochs": cell.epochs if cell.augment else 0,
        "run": {k: v for k, v in cell.run_settings.filled(cell.config).to_json().items() if k != "seed"},
        "tried": [],
        "augment": cell.augment,
        "history": {key: [line[key] for line in history] for key in CURVE},
        "seconds": spent["seconds"],
        "commit": commit(),
        "machine": machine(),
    }
    files.write_json(path, row)
    return json.loads(json.dumps(row))


def pretrained(cell: PretrainCell, networks: WeightDataset) -> tuple[list[Reader], list[dict[str, Any]]]:
    """One reader for each seed, and the history of their training; as initialized where nothing is trained."""
    make_model = NamedReader(cell.reader, networks.metadata, cell.settings, EMBEDDING)
    if not cell.augment:
        return [make_model(jax.random.key(seed)) for seed in cell.seeds], []
    runs = [replace(cell.run_settings, seed=seed) for seed in cell.seeds]
    result = fit(networks, make_model, cell.config, runs=runs, task=Contrastive())
    lines = [{name.removeprefix("validation_"): value for name, value in line.items()} for line in result.history]
    return [result.model(run) for run in range(len(cell.seeds))], lines


def score_test_once(
    readers: list[Reader], probes: list[Probes], networks: WeightDataset, out: Path
) -> tuple[list[float], list[float]]:
    """Each seed's scores on the test split, the linear model's and the neighbors'; the split is used once.

    Raises:
        ValueError: other readers, or others of their choices, have been scored on it for this cell.
    """
    choices = [np.array([probe.linear.setting, probe.neighbors.setting]) for probe in probes]
    claim_test(out, (eqx.filter(readers, eqx.is_array), choices))
    scores = [probe.scores(_split(r, networks, "test")) for probe, r in zip(probes, readers, strict=True)]
    return [linear for linear, _ in scores], [near for _, near in scores]


def trunk_parameters(reader: Reader) -> int:
    """The number of parameters of a reader without those of its head.

    Example:
        >>> from wsjax.models import FlatMLP
        >>> from wsjax.symmetry import siren
        >>> trunk_parameters(FlatMLP(siren((2, 3, 1)), 10, key=jax.random.key(0)))
        0
    """
    return parameter_count(reader) - sum(leaf.size for leaf in jax.tree.leaves(eqx.filter(reader, head_arrays(reader))))


def _split(reader: Reader, networks: WeightDataset, name: str) -> Split:
    part = networks.split(name)
    return Split(np.asarray(features_of(reader, part.weights), np.float64), np.asarray(part.label))
