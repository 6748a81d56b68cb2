"""The search that chose the settings of `wsjax demo`: `python -m benchmarks.accuracy.demo_search`.

Every setting of `TRIALS` is tried with every seed of `SEEDS` for each row of the demonstration, with the plan of its
reader: one training a reader, all runs side by side. It sees the training and validation splits of `digits` alone; of
each row the setting with the best mean validation accuracy is taken. The record, demo_search.json beside this file,
holds every run's accuracy, and the tests hold the demonstration to it. A search that was stopped goes on where it was.
"""

import argparse
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.accuracy.cell import commit
from benchmarks.harness import machine
from wsjax import data
from wsjax.demo import PLANS, ROWS
from wsjax.errors import listing
from wsjax.host import use_host_well
from wsjax.train import Plan, Trial, record, train

TRIALS = (
    Trial(learning_rate=8e-3, weight_decay=0.1, dropout=0.0),
    Trial(learning_rate=8e-3, weight_decay=0.2, dropout=0.1),
    Trial(learning_rate=16e-3, weight_decay=0.2, dropout=0.1),
)
SEEDS = (0, 10)
RECORD = Path(__file__).with_suffix(".json")


def search(networks: data.WeightDataset, out: Path, plans: Mapping[str, Plan] = PLANS) -> dict[str, Any]:
    """By row of the demonstration, every setting with its runs' best validation accuracies, and the number of the best.

    Args:
        networks: in three splits, of which the test split is left out.
        out: the directory of the trainings.
        plans: of the readers.
    """
    seen = networks.where(lambda columns: columns["split"] != data.SPLITS.index("test"))
    found = {}
    for reader, plan in plans.items():
        names = [name for name, row in ROWS.items() if row.reader == reader]
        settings = [replace(trial, augment=ROWS[name].trial.augment) for name in names for trial in TRIALS]
        trained = train(seen, plan, [replace(one, seed=seed) for one in settings for seed in SEEDS], out / reader)
        scores = np.asarray(trained.state.best_score, np.float64).reshape(len(names), len(TRIALS), len(SEEDS))
        for name, tried in zip(names, scores, strict=True):
            pairs = zip(TRIALS, tried.tolist(), strict=True)
            trials = [{**settings_of(trial), "validation_accuracies": accuracies} for trial, accuracies in pairs]
            found[name] = {"best": int(np.argmax(tried.mean(axis=1))), "trials": trials}
    return {name: found[name] for name in ROWS if name in found}


def settings_of(trial: Trial) -> dict[str, float]:
    """What was searched of a trial.

    Example:
        >>> settings_of(Trial(3, 8e-3, 0.1, 0.0, "flip_signs"))
        {'learning_rate': 0.008, 'weight_decay': 0.1, 'dropout': 0.0}
    """
    return {name: getattr(trial, name) for name in ("learning_rate", "weight_decay", "dropout")}


def main() -> None:
    """Run the search, or what is left of it, and write its record."""
    parser = argparse.ArgumentParser(description="Search the settings of `wsjax demo` on the validation split.")
    parser.add_argument("--out", type=Path, default=Path("runs/demo-search"), help="where networks and trainings lie")
    out = parser.parse_args().out
    use_host_well()
    networks = data.fit_dataset(data.load_images("digits"), data.default_recipe("digits"), out / "digits")
    rows = search(networks, out)
    about = {"seeds": list(SEEDS), "plans": {name: plan.to_json() for name, plan in PLANS.items()}}
    record.write_json(RECORD, {**about, "rows": rows, "commit": commit(), "machine": machine()})
    for name, row in rows.items():
        means = [f"{np.mean(trial['validation_accuracies']):.1%}" for trial in row["trials"]]
        print(f"{name}: {listing(means)} of validation; the best is {settings_of(TRIALS[row['best']])}")


if __name__ == "__main__":
    main()
