"""The search that chose the settings of `wsjax demo`: `python -m benchmarks.accuracy.demo_search`.

Every setting of `TRIED` is trained with every seed of `SEEDS` for each row of the demonstration, under the
configuration of its reader: one training a reader, all runs side by side. It uses the training and validation splits of
`digits` alone; of each row the setting with the best mean validation accuracy is taken. The record, demo_search.json
beside this file, holds every run's accuracy, and the tests hold the demonstration to it. A search that was stopped goes
on where it was.
"""

import argparse
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.accuracy.cell import commit
from benchmarks.speed.harness import machine
from wsjax import data
from wsjax.demo import ROWS, TRAININGS, Training
from wsjax.errors import listing
from wsjax.host import use_host_well
from wsjax.models import NamedReader
from wsjax.models.registry import settings_of
from wsjax.storage import files
from wsjax.train import Run, fit

TRIED = (
    Run(learning_rate=8e-3, weight_decay=0.1, dropout_rate=0.0),
    Run(learning_rate=8e-3, weight_decay=0.2, dropout_rate=0.1),
    Run(learning_rate=16e-3, weight_decay=0.2, dropout_rate=0.1),
)
SEEDS = (0, 10, 20, 30)
RECORD = Path(__file__).with_suffix(".json")


def search(networks: data.WeightDataset, out: Path, trainings: Mapping[str, Training] = TRAININGS) -> dict[str, Any]:
    """By row of the demonstration, every setting with its runs' best validation accuracies, and the number of the best.

    Args:
        networks: in three splits, of which the test split is left out.
        out: the directory of the trainings.
        trainings: by reader.
    """
    untested = networks.where(lambda columns: columns["split"] != data.sources.SPLITS.index("test"))
    found = {}
    for reader, training in trainings.items():
        names = [name for name, row in ROWS.items() if row.reader == reader]
        settings = [replace(run, augment=ROWS[name].run.augment) for name in names for run in TRIED]
        runs = [replace(one, seed=seed) for one in settings for seed in SEEDS]
        make_model = NamedReader(reader, networks.metadata, training.settings)
        result = fit(untested, make_model, training.config, runs=runs, out=out / reader)
        scores = np.asarray(result.state.best_score, np.float64).reshape(len(names), len(TRIED), len(SEEDS))
        for name, scored in zip(names, scores, strict=True):
            pairs = zip(TRIED, scored.tolist(), strict=True)
            tried = [{**searched(run), "validation_accuracies": accuracies} for run, accuracies in pairs]
            found[name] = {"best": int(np.argmax(scored.mean(axis=1))), "tried": tried}
    return {name: found[name] for name in ROWS if name in found}


def searched(run: Run) -> dict[str, float]:
    """The settings of a run that were searched.

    Example:
        >>> searched(Run(3, 8e-3, 0.1, 0.0, "flip_signs"))
        {'learning_rate': 0.008, 'weight_decay': 0.1, 'dropout_rate': 0.0}
    """
    return {name: getattr(run, name) for name in ("learning_rate", "weight_decay", "dropout_rate")}


def described(trainings: Mapping[str, Training] = TRAININGS) -> dict[str, Any]:
    """The trainings as the record has them: each reader's settings, defaults filled in, and its configuration."""
    return {
        name: {"settings": settings_of(name, training.settings), "config": training.config.to_json()}
        for name, training in trainings.items()
    }


def main() -> None:
    """Run the search, or what is left of it, and write its record."""
    parser = argparse.ArgumentParser(description="Search the settings of `wsjax demo` on the validation split.")
    parser.add_argument("--out", type=Path, default=Path("runs/demo-search"), help="where networks and trainings lie")
    out = parser.parse_args().out
    use_host_well()
    rows = search(data.fit("digits", out=out / "digits"), out)
    about = {"seeds": list(SEEDS), "trainings": described()}
    files.write_json(RECORD, {**about, "rows": rows, "commit": commit(), "machine": machine()})
    for name, row in rows.items():
        means = [f"{np.mean(tried['validation_accuracies']):.1%}" for tried in row["tried"]]
        print(f"{name}: {listing(means)} of validation; the best is {searched(TRIED[row['best']])}")


if __name__ == "__main__":
    main()
