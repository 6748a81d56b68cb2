"""One cell of contrastive pre-training: a trunk that saw no label, frozen, and what its features hold."""

import json
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import equinox as eqx
import jax
import numpy as np

from benchmarks.accuracy.cell import commit, same_cell, take_the_one_look
from benchmarks.accuracy.probes import Probes, Split, fit_probes
from benchmarks.harness import machine
from wsjax.data import SPLITS, WeightDataset
from wsjax.data.store.directory import checksum
from wsjax.demo import deviation, stopwatch
from wsjax.models import build, head_arrays, parameter_count
from wsjax.train import Plan, Trial, contrast, features_of, record
from wsjax.train.measure import ACCURACY, R2
from wsjax.train.targets import are_targets
from wsjax.typing import Reader

CURVE = ("epoch", "run", "loss", "contrastive_accuracy")
"""What a row keeps of every evaluation."""

EMBEDDING = 64


@dataclass(frozen=True)
class PretrainCell:
    """What is pre-trained: reader and settings, the augmentation of both views, the schedule, and the seeds.

    Without an augmentation nothing is: the trunk stays as it was drawn, whatever the epochs. dataset: the name of one
    of the suite's.
    """

    dataset: str
    reader: str
    settings: Any = None
    arm: str = "random"
    augment: str = ""
    epochs: int = 60
    evaluate_every: int = 5
    batch_size: int = 128
    trial: Trial = field(default_factory=Trial)
    seeds: tuple[int, ...] = (1, 2, 3)

    views: ClassVar[int] = 1
    trains: ClassVar[str] = "head"
    """What learns by labels."""

    @property
    def title(self) -> str:
        """DATASET/READER_pretrained/AUGMENTATION/1."""
        return f"{self.dataset}/{self.reader}_pretrained/{self.arm}/{self.views}"

    @property
    def plan(self) -> Plan:
        return Plan(
            reader=self.reader,
            reader_settings=self.settings,
            augment=self.augment,
            epochs=self.epochs,
            batch_size=self.batch_size,
            evaluate_every=self.evaluate_every,
        )

    @property
    def identity(self) -> str:
        """SHA-256 of everything that the cell's numbers depend on beside the data."""
        return checksum({"pretrained": asdict(self), "settings": asdict(self.plan.reader_settings)})

    def run(self, networks: WeightDataset, out: Path) -> dict[str, Any]:
        """Its row, as `run_pretrain_cell` gives it."""
        return run_pretrain_cell(self, networks, out)


def run_pretrain_cell(cell: PretrainCell, networks: WeightDataset, out: Path) -> dict[str, Any]:
    """Pre-train a cell's readers, probe their features, and give its row; a finished one is read from `out`.

    The training split without its labels makes the trunks. Their features are read by a linear model and by nearest
    neighbours, fitted on the training split with its labels and chosen on validation. The test split is read once.
    The row's scores are the linear model's, R2 where labels are targets (`measure` says so); `knn_test_mean` and its
    kin are the neighbours'. Its parameters are those of the trunk.

    Raises:
        ValueError: `out` holds another cell.
    """
    path = out / record.RESULT
    if path.exists():
        return same_cell(record.read_json(path), cell.identity, out)
    with stopwatch(out) as spent:
        seen = networks.where(lambda columns: columns["split"] != SPLITS.index("test"))
        readers, history = pretrained(cell, seen)
        probes = [fit_probes(_split(r, seen, "train"), _split(r, seen, "validation")) for r in readers]
        test, knn = read_test_once(readers, probes, networks, out)
    validation = [probe.linear.validation for probe in probes]
    row = {
        "cell": cell.title,
        "identity": cell.identity,
        "measure": (R2 if are_targets(networks) else ACCURACY).key,
        "test_accuracy_mean": float(np.mean(test)),
        "test_accuracy_sd": deviation(test),
        "test_accuracies": test,
        "train_accuracy_mean": float(np.mean([probe.train for probe in probes])),
        "validation_accuracy_mean": float(np.mean(validation)),
        "validation_accuracy_sd": deviation(validation),
        "knn_test_mean": float(np.mean(knn)),
        "knn_test_sd": deviation(knn),
        "knn_tests": knn,
        "chosen": [{"C": probe.linear.setting, "neighbours": probe.neighbours.setting} for probe in probes],
        "seeds": list(cell.seeds),
        "settings": asdict(cell.plan.reader_settings),
        "parameters": trunk_parameters(readers[0]),
        "networks": {name: len(networks.split(name)) for name in SPLITS},
        "epochs": cell.epochs if cell.augment else 0,
        "trial": {k: v for k, v in cell.trial.to_json().items() if k != "seed"},
        "trials": [],
        "augment": cell.augment,
        "history": {key: [line[key] for line in history] for key in CURVE},
        "seconds": spent["seconds"],
        "commit": commit(),
        "machine": machine(),
    }
    record.write_json(path, row)
    return json.loads(json.dumps(row))


def pretrained(cell: PretrainCell, seen: WeightDataset) -> tuple[list[Reader], list[dict[str, Any]]]:
    """One reader for each seed, and the history of their training; as they were drawn where nothing is trained."""
    if not cell.augment:
        drawn = partial(build, cell.reader, seen.card, cell.plan.reader_settings, outputs=EMBEDDING)
        return [drawn(key=jax.random.key(seed)) for seed in cell.seeds], []
    trials = [replace(cell.trial, seed=seed) for seed in cell.seeds]
    found = contrast(seen, cell.plan, trials, embedding=EMBEDDING)
    return [found.reader(run) for run in range(len(cell.seeds))], found.history


def read_test_once(
    readers: list[Reader], probes: list[Probes], networks: WeightDataset, out: Path
) -> tuple[list[float], list[float]]:
    """Each seed's scores on the test split, the linear model's and the neighbours', the one look at it.

    Raises:
        ValueError: other readers, or others of their choices, have read it for this cell.
    """
    choices = [np.array([probe.linear.setting, probe.neighbours.setting]) for probe in probes]
    take_the_one_look(out, (eqx.filter(readers, eqx.is_array), choices))
    scores = [probe.scores(_split(r, networks, "test")) for probe, r in zip(probes, readers, strict=True)]
    return [linear for linear, _ in scores], [near for _, near in scores]


def trunk_parameters(reader: Reader) -> int:
    """How many numbers of a reader train, beside its head's.

    Example:
        >>> from wsjax.models import FlatConfig, FlatMLP, Normaliser
        >>> from wsjax.symmetry import siren
        >>> plain = Normaliser((jax.numpy.zeros(()),) * 4, (jax.numpy.ones(()),) * 4)
        >>> trunk_parameters(FlatMLP(siren((2, 3, 1)), plain, 10, FlatConfig(), key=jax.random.key(0)))
        0
    """
    return parameter_count(reader) - sum(leaf.size for leaf in jax.tree.leaves(eqx.filter(reader, head_arrays(reader))))


def _split(reader: Reader, networks: WeightDataset, name: str) -> Split:
    part = networks.split(name)
    return Split(np.asarray(features_of(reader, part.weights), np.float64), np.asarray(part.label))
