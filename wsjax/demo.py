"""The demonstration: what augmentation buys, on the digits that scikit-learn carries.

Five arms share the data, the step budget and the number of validation trials. Each arm tries the same settings
with two seeds, takes the one with the best mean validation accuracy, trains that with fresh seeds, and reads the test
split once, at each seed's best validation epoch.
"""

import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from wsjax import data, viz
from wsjax.augment import CATALOGUE, RECOMMENDED
from wsjax.errors import writing
from wsjax.train import Plan, Trained, Trial, evaluate, record, train
from wsjax.train.measure import ACCURACY, R2


@dataclass(frozen=True)
class Arm:
    """One row of the table."""

    title: str
    plan: Plan


def arms(epochs: int, evaluate_every: int) -> dict[str, Arm]:
    """The five arms; all take the same number of epochs of the same data."""
    plan = partial(Plan, epochs=epochs, evaluate_every=evaluate_every)
    return {
        "mlp": Arm("MLP on flattened weights", plan("mlp")),
        "reader": Arm("DWS reader", plan("dws", {"channels": 8})),
        "reader_augmented": Arm("DWS reader, augmented", plan("dws", {"channels": 8}, RECOMMENDED)),
        "probe": Arm("probing reader", plan("probe")),
        "probe_augmented": Arm("probing reader, augmented", plan("probe", augment=RECOMMENDED)),
    }


TRIALS = (
    Trial(0, learning_rate=4e-3, weight_decay=0.1, dropout=0.0),
    Trial(0, learning_rate=8e-3, weight_decay=0.2, dropout=0.1),
    Trial(0, learning_rate=8e-3, weight_decay=0.3, dropout=0.3),
)
SEEDS = (1, 2, 3)
TRIAL_SEEDS = (0, 10)

SHOWN = (
    *("permute", "flip_signs", "shift_phase"),
    *("rotate", "translate", "scale", "shear", "contrast"),
    *("noise", "dropout"),
    *("mixup", "mixup_aligned"),
)
"""The augmentations of the gallery; the whole catalogue takes twice as long to compile."""

SPENT = "seconds.json"


def score_row(trained: Trained, test: list[float], taus: list[float] | None = None) -> dict[str, Any]:
    """One row of results: means and deviations over seeds, accuracies as fractions.

    `train_accuracy_mean` is the last epoch's: how far the reader can fit its data. `train_accuracy_selected_mean`
    is that of the epochs that validation chose, whose test accuracy stands beside it. Deviations are sample ones.
    Of a regressor all of these are R2, as in `train_r2_mean`; with `taus`, its rank correlations on the test split,
    there are `test_tau_mean`, `test_tau_sd` and `test_taus` too.
    """
    scores, key = trained.scores(), trained.measure.key
    validation = [s[f"validation_{key}"] for s in scores]
    ranks = {"test_tau_mean": float(np.mean(taus)), "test_tau_sd": deviation(taus), "test_taus": taus} if taus else {}
    return {
        f"test_{key}_mean": float(np.mean(test)),
        f"test_{key}_sd": deviation(test),
        f"train_{key}_mean": float(np.mean([s[f"final_train_{key}"] for s in scores])),
        f"train_{key}_selected_mean": float(np.mean([s[f"train_{key}"] for s in scores])),
        f"validation_{key}_mean": float(np.mean(validation)),
        f"validation_{key}_sd": deviation(validation),
        "best_epochs": [s["epoch"] for s in scores],
        "test_accuracies" if trained.measure == ACCURACY else f"test_{key}s": test,
        **ranks,
        "trial": {k: v for k, v in trained.trials[0].to_json().items() if k != "seed"},
        "augment": trained.plan.augment,
    }


def deviation(values: list[float]) -> float:
    """The sample deviation; 0 for one value, which has none.

    Example:
        >>> deviation([1.0, 2.0, 3.0]), deviation([1.0])
        (1.0, 0.0)
    """
    return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


def spreads(row: dict[str, Any]) -> list[str]:
    """A row's validation and test score, each with its deviation over seeds; of a regressor its tau on the test too."""
    if "test_accuracy_mean" in row:
        scores, measure = ("validation_accuracy", "test_accuracy"), ACCURACY
    else:
        scores, measure = ("validation_r2", "test_r2", *["test_tau"] * ("test_tau_mean" in row)), R2
    return [f"{measure.shown(row[f'{s}_mean'])} ± {measure.shown(row[f'{s}_sd'])}" for s in scores]


def summary_table(rows: dict[str, dict[str, Any]], titles: dict[str, str] | None = None) -> str:
    """The table as text, percentages with deviations over seeds; of regressors R2, and tau on the test split."""
    first = next(iter(rows.values()))
    measure = ACCURACY if "test_accuracy_mean" in first else R2
    heads = ("validation", "test", "test tau")[: len(spreads(first))]
    head = f"{'' if measure == ACCURACY else measure.title:28}{'train':>8}" + "".join(f"{h:>16}" for h in heads)
    lines = [head, "-" * len(head)]
    for name, row in rows.items():
        title, train = (titles or {}).get(name, name), measure.shown(row[f"train_{measure.key}_mean"])
        lines.append(f"{title:28}{train:>8}" + "".join(f"{s:>16}" for s in spreads(row)))
    return "\n".join(lines)


@contextmanager
def stopwatch(directory: Path) -> Iterator[dict[str, Any]]:
    """Keep the seconds of a piece of work in its directory: what its starts took together until it was finished first.

    A start after a break adds to the earlier ones; one that finds all done adds nothing. A start that was killed
    leaves no word of its own.

    Gives a record whose "seconds" holds once the work is over.
    """
    path = directory / SPENT
    with writing(directory):
        directory.mkdir(parents=True, exist_ok=True)
    spent = record.read_json(path) if path.exists() else {"seconds": 0.0, "finished": False}
    began, was_finished = time.monotonic(), spent["finished"]
    try:
        yield spent
        spent["finished"] = True
    finally:
        if not was_finished:
            spent["seconds"] += time.monotonic() - began
            record.write_json(path, spent)


def run_arm(arm: Arm, networks: data.WeightDataset, out: Path, trials: tuple[Trial, ...], seeds: tuple[int, ...]):
    """Trials, selection, final seeds, and the one look at the test split."""
    with stopwatch(out) as spent:
        tries = [replace(trial, seed=seed) for trial in trials for seed in TRIAL_SEEDS]
        tried = train(networks, arm.plan, tries, out / "trials")
        # One seed alone decides by chance: the validation split has 297 networks, and trials tie on it.
        scores = np.asarray(tried.state.best_score).reshape(len(trials), len(TRIAL_SEEDS))
        best = trials[int(np.argmax(scores.mean(axis=1)))]
        trained = train(networks, arm.plan, [replace(best, seed=seed) for seed in seeds], out / "seeds")
        row = score_row(trained, evaluate(trained, networks))
    row["trials"] = [
        {**t.to_json(), "validation_accuracy": float(s)} for t, s in zip(tries, scores.reshape(-1), strict=True)
    ]
    return {**row, "seconds": spent["seconds"]}, trained


def run_demo(out: Path, *, quick: bool = False) -> dict[str, Any]:
    """Run everything, or what is left of it, and leave results.json, pictures and report.html in `out`."""
    began = time.monotonic()
    images = data.limit(data.load_images("digits"), 120 if quick else None)
    plans = arms(4, 2) if quick else arms(60, 5)
    trials, seeds = (TRIALS[:1], SEEDS[:2]) if quick else (TRIALS, SEEDS)
    rows, histories = {}, {}
    with stopwatch(out) as spent:
        networks = data.fit_dataset(images, data.default_recipe("digits"), out / "digits")
        for name, arm in plans.items():
            print(f"\n{arm.title}")
            rows[name], trained = run_arm(arm, networks, out / name, trials, seeds)
            histories[arm.title] = trained.history
    titles = {name: arm.title for name, arm in plans.items()}
    record.write_json(out / "results.json", {**rows, "about": about(networks, spent["seconds"])})
    shown = {name: CATALOGUE[name] for name in SHOWN}
    figures = {
        "Images and the networks that hold them": viz.fits(images, networks, out / "fits.png"),
        "One network under some of the augmentations": viz.gallery(networks, 0, out / "gallery.png", entries=shown),
        "Learning curves": viz.curves(histories, out / "curves.png"),
        "Test accuracy": viz.scores({titles[n]: r for n, r in rows.items()}, out / "scores.png"),
    }
    write_report(out / "report.html", rows, titles, figures, networks)
    print(f"\n{summary_table(rows, titles)}\n")
    gain = rows["reader_augmented"]["test_accuracy_mean"] - rows["reader"]["test_accuracy_mean"]
    print(f"augmentation changes the DWS reader's test accuracy by {100 * gain:+.1f} points")
    print(f"results.json, the pictures and report.html are in {out} ({time.monotonic() - began:.0f} s)")
    return rows


def about(networks: data.WeightDataset, seconds: float) -> dict[str, Any]:
    """What the figures were measured on."""
    return {
        "command": "wsjax demo",
        "networks": {name: len(networks.split(name)) for name in data.SPLITS},
        "psnr_mean": float(networks.columns["psnr"].mean()),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {jax.devices()[0].device_kind}",
        "python": platform.python_version(),
        "jax": jax.__version__,
        "seconds": seconds,
    }


def write_report(path: Path, rows: dict, titles: dict[str, str], figures: dict, networks: data.WeightDataset) -> None:
    """One standalone page with the table and every picture."""
    head = ["", "train (last epoch)", "validation", "test", "seconds"]
    table = [head]
    for name, row in rows.items():
        table.append([titles[name], f"{row['train_accuracy_mean']:.1%}", *spreads(row), f"{row['seconds']:.0f}"])
    text = (
        f"{len(networks)} small networks, one for each image, read by networks that see their weights alone, or, those "
        f"that probe, what they give at coordinates of the reader's choice. Means and sample deviations over seeds; "
        f"settings and epoch selected on validation, the test split read once. "
        f"Augmentation: {RECOMMENDED}"
    )
    sections = [viz.Section("Accuracy", text, table, ())]
    sections += [viz.Section(title, "", None, (figure,)) for title, figure in figures.items()]
    viz.report(path, "wsjax: what augmenting weights buys", sections)
