"""The demonstration: what augmentation gives, on the digits that scikit-learn carries.

One network is fitted to each image, and readers learn to tell the digit: those of the weights alone, and one that runs
the networks. A reader of weights trains once, its seeds without augmentation beside those with it, in one compiled
program: the strengths of the augmentation are the runs' own, and zero changes no network. Settings were chosen
beforehand on the validation split (benchmarks/accuracy/demo_search.py); it chooses each seed's epoch too, and the test
split is read once.
"""

import os
import platform
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np

from wsjax import data, viz
from wsjax.augment import CATALOGUE, RECOMMENDED
from wsjax.errors import writing
from wsjax.train import Plan, Trained, Trial, evaluate, record, train
from wsjax.train.measure import ACCURACY, R2
from wsjax.viz.style import Figure

T = TypeVar("T")

STRENGTHS = "flip_signs(probability={}) | rotate(max_degrees={}) | scale(max_log={}) | translate(max_shift={})"
AUGMENTED, PLAIN = STRENGTHS.format(0.5, 15.0, 0.1, 0.1), STRENGTHS.format(0.0, 0.0, 0.0, 0.0)
"""`RECOMMENDED` with its strengths named, and the same program at strength zero, which changes no bit of a network."""


@dataclass(frozen=True)
class Row:
    """One row of the table: some runs of a reader's training, and the settings that they have in common."""

    title: str
    reader: str
    trial: Trial

    @property
    def augmented(self) -> bool:
        return self.trial.augment is None and bool(PLANS[self.reader].augment)


PLANS = {
    "dws": Plan("dws", {"channels": 8}, AUGMENTED, epochs=30, batch_size=64, evaluate_every=5),
    "weight_gcn": Plan("weight_gcn", {"channels": 32}, AUGMENTED, epochs=30, batch_size=64, evaluate_every=5),
    "probe": Plan("probe", epochs=30, batch_size=64, evaluate_every=5),
}
ROWS = {
    "reader": Row("DWS", "dws", Trial(0, 8e-3, 0.1, 0.0, PLAIN)),
    "reader_augmented": Row("DWS, augmented", "dws", Trial(0, 16e-3, 0.2, 0.1)),
    "weight_gcn": Row("WeightGCN", "weight_gcn", Trial(0, 8e-3, 0.2, 0.1, PLAIN)),
    "weight_gcn_augmented": Row("WeightGCN, augmented", "weight_gcn", Trial(0, 16e-3, 0.2, 0.1)),
    "probe": Row("probing", "probe", Trial(0, 16e-3, 0.2, 0.1)),
}
"""The trainings, and the rows of results.json: as `python -m benchmarks.accuracy.demo_search` chose them."""


@dataclass(frozen=True)
class Size:
    """How much is done. images: None takes all; shown: the augmentations of the gallery."""

    plans: Mapping[str, Plan]
    rows: Mapping[str, Row]
    seeds: tuple[int, ...] = (1, 2, 3)
    images: int | None = None
    shown: tuple[str, ...] = ("permute", "flip_signs", "rotate", "translate", "scale", "noise")


FULL = Size(PLANS, ROWS)
QUICK = Size(
    {
        "dws": Plan("dws", {"channels": 2, "layers": 1, "head": 8}, AUGMENTED, epochs=2, evaluate_every=1),
        "probe": Plan("probe", {"probes": 8, "width": 8}, epochs=2, evaluate_every=1),
    },
    {name: ROWS[name] for name in ("reader", "reader_augmented", "probe")},
    seeds=(1, 2),
    images=120,
    shown=("flip_signs",),
)
WARNING = "quick: a toy size, which shows that everything works; its figures mean nothing"

SPENT = "seconds.json"


def score_row(
    trained: Trained, test: Sequence[float], taus: Sequence[float] | None = None, runs: Sequence[int] | None = None
) -> dict[str, Any]:
    """One row of results: means and deviations over seeds, accuracies as fractions.

    `train_accuracy_mean` is the last epoch's: how far the reader can fit its data. `train_accuracy_selected_mean`
    is that of the epochs that validation chose, whose test accuracy stands beside it. Deviations are sample ones, and
    None for one seed, which has none. Of a regressor all of these are R2, as in `train_r2_mean`; with `taus`, its rank
    correlations on the test split, there are `test_tau_mean`, `test_tau_sd` and `test_taus` too.

    Args:
        trained: the training.
        test: each run's score on the test split.
        taus: each run's rank correlation there.
        runs: the runs of the row, which have one trial's settings; None takes all.
    """
    runs = range(len(test)) if runs is None else runs
    scores, key = trained.scores(), trained.measure.key
    scores, test = [scores[run] for run in runs], [test[run] for run in runs]
    taus = None if taus is None else [taus[run] for run in runs]
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
        "trial": {k: v for k, v in trained.trials[runs[0]].to_json().items() if k != "seed"},
        "augment": trained.plan.augment,
    }


def deviation(values: Sequence[float]) -> float | None:
    """The sample deviation; None for one value, which has none.

    Example:
        >>> deviation([1.0, 2.0, 3.0]), deviation([1.0])
        (1.0, None)
    """
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


def spreads(row: Mapping[str, Any]) -> list[str]:
    """A row's validation and test score, each with its deviation over seeds; of a regressor its tau on the test too."""
    if "test_accuracy_mean" in row:
        scores, measure = ("validation_accuracy", "test_accuracy"), ACCURACY
    else:
        scores, measure = ("validation_r2", "test_r2", *["test_tau"] * ("test_tau_mean" in row)), R2
    found = [(row[f"{score}_mean"], row[f"{score}_sd"]) for score in scores]
    return [measure.shown(mean) + ("" if sd is None else f" ± {measure.shown(sd)}") for mean, sd in found]


def summary_table(rows: Mapping[str, Mapping[str, Any]], titles: Mapping[str, str] | None = None) -> str:
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

    Gives a record whose "seconds" holds once the work is over, "compile_seconds" those among them in which JAX traced
    or compiled anything, and "programs" how many it compiled.
    """
    path = directory / SPENT
    with writing(directory):
        directory.mkdir(parents=True, exist_ok=True)
    spent = {"seconds": 0.0, "compile_seconds": 0.0, "programs": 0, "finished": False}
    spent |= record.read_json(path) if path.exists() else {}
    began, was_finished = time.monotonic(), spent["finished"]
    with compilations() as found:
        try:
            yield spent
            spent["finished"] = True
        finally:
            if not was_finished:
                spent["seconds"] += time.monotonic() - began
                spent["compile_seconds"] += covered([(start, end) for _, start, end in found])
                spent["programs"] += sum(event.endswith("backend_compile_duration") for event, _, _ in found)
                record.write_json(path, spent)


@contextmanager
def compilations() -> Iterator[list[tuple[str, float, float]]]:
    """What JAX traces, lowers and compiles meanwhile, in any thread: each event with its first and last second."""
    found: list[tuple[str, float, float]] = []

    def note(event: str, start_time: float, end_time: float, **_: Any) -> None:
        if event.startswith("/jax/core/compile/"):
            found.append((event, start_time, end_time))

    jax.monitoring.register_event_time_span_listener(note)
    try:
        yield found
    finally:
        jax.monitoring.unregister_event_time_span_listener(note)


def covered(spans: Sequence[tuple[float, float]]) -> float:
    """The seconds that spans cover together.

    Example:
        >>> covered([(0.0, 3.0), (1.0, 2.0), (2.5, 4.0), (10.0, 11.0)])
        5.0
    """
    seconds, until = 0.0, -np.inf
    for start, end in sorted(spans):
        seconds += max(0.0, end - max(start, until))
        until = max(until, end)
    return seconds


def train_rows(
    plan: Plan, chosen: Mapping[str, Row], seeds: Sequence[int], networks: data.WeightDataset, out: Path
) -> tuple[dict[str, dict[str, Any]], dict[str, list[dict[str, Any]]]]:
    """The rows of one reader, and their histories by title: one training of all runs, one look at the test split."""
    with stopwatch(out) as spent:
        trials = [replace(row.trial, seed=seed) for row in chosen.values() for seed in seeds]
        trained = train(networks, plan, trials, out)
        test = evaluate(trained, networks)
    rows, histories = {}, {}
    for i, (name, row) in enumerate(chosen.items()):
        runs = range(i * len(seeds), (i + 1) * len(seeds))
        augment = RECOMMENDED if row.augmented else ""
        rows[name] = {**score_row(trained, test, runs=runs), "augment": augment, "seconds": spent["seconds"]}
        histories[row.title] = [line for line in trained.history if line["run"] in runs]
    say(f"{plan.reader}: trained in {spent['seconds']:.0f} s")
    return rows, histories


def run_demo(out: Path, *, quick: bool = False) -> dict[str, Any]:
    """Run everything, or what is left of it, and leave results.json, pictures and report.html in `out`.

    Two trainings go on side by side, as each keeps one core busy. After Ctrl-C one may go on in its thread.
    """
    size = QUICK if quick else FULL
    figures: dict[str, Path] = {}

    def draw(title: str, name: str, picture: Callable[..., Figure], *drawn: Any, **settings: Any) -> None:
        picture(*drawn, path=out / name, **settings)
        figures[title] = out / name
        say(f"{title}: {out / name}")

    if quick:
        say(WARNING)
    with stopwatch(out) as spent:
        images = data.limit(data.load_images("digits"), size.images)
        networks = data.fit_dataset(images, data.default_recipe("digits"), out / "digits")
        draw("Images and the networks that hold them", "fits.png", viz.fits, images, networks)
        jobs = [
            partial(train_rows, plan, chosen, size.seeds, networks, out / reader)
            for reader, plan in size.plans.items()
            if (chosen := {name: row for name, row in size.rows.items() if row.reader == reader})
        ]
        names = "; ".join(row.title for row in size.rows.values())
        say(f"training with {len(size.seeds)} seeds each: {names}")
        entries = {name: CATALOGUE[name] for name in size.shown}
        title = "One network under some of the augmentations"

        def meanwhile() -> list[Any]:
            draw(title, "gallery.png", viz.gallery, networks, 0, entries=entries)
            return [job() for job in jobs[1:]]

        others = started(meanwhile)
        try:
            found = [jobs[0]()]
        except Exception:
            wait([others])
            raise
        found += others.result()
        rows = {name: row for some, _ in found for name, row in some.items()}
        titles = {name: size.rows[name].title for name in rows}
        histories = {title: lines for _, some in found for title, lines in some.items()}
        draw("Learning curves", "curves.png", viz.curves, histories)
        draw("Test accuracy", "scores.png", viz.scores, {titles[name]: row for name, row in rows.items()})
        write_report(out / "report.html", rows, titles, figures, networks, WARNING if quick else "")
    known = about(networks, "wsjax demo --quick" if quick else "wsjax demo", spent)
    record.write_json(out / "results.json", {**rows, "about": known})
    say(f"\n{summary_table(rows, titles)}\n\n{gain_line(rows)}")
    say(
        f"{spent['seconds']:.0f} s, {spent['compile_seconds']:.0f} of them with something compiling "
        f"({spent['programs']} programs)"
    )
    say(f"results.json, the pictures and report.html are in {out}" + f"\n{WARNING}" * quick)
    return rows


def say(text: str) -> None:
    print(text, flush=True)


def started(job: Callable[[], T]) -> "Future[T]":
    """A job in a thread of its own, which keeps no process from ending."""
    future: Future[T] = Future()

    def work() -> None:
        try:
            future.set_result(job())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    return future


def gain_line(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """What augmentation gives the DWS reader, beside the larger of the two deviations."""
    plain, augmented = (rows[name] for name in ("reader", "reader_augmented"))
    gain = augmented["test_accuracy_mean"] - plain["test_accuracy_mean"]
    deviations = [row["test_accuracy_sd"] for row in (plain, augmented) if row["test_accuracy_sd"] is not None]
    said = f"augmentation changes the test accuracy of DWS by {100 * gain:+.1f} points"
    if not deviations:
        return said
    return f"{said}; the larger of its two deviations over seeds is {100 * max(deviations):.1f}"


def about(networks: data.WeightDataset, command: str, spent: Mapping[str, Any]) -> dict[str, Any]:
    """What the figures were measured on, and in which time."""
    return {
        "command": command,
        "networks": {name: len(networks.split(name)) for name in data.SPLITS},
        "psnr_mean": float(networks.columns["psnr"].mean()),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {jax.devices()[0].device_kind}",
        "python": platform.python_version(),
        "jax": jax.__version__,
        **{name: spent[name] for name in ("seconds", "compile_seconds", "programs")},
    }


def write_report(
    path: Path,
    rows: Mapping[str, Mapping[str, Any]],
    titles: Mapping[str, str],
    figures: Mapping[str, Path],
    networks: data.WeightDataset,
    warning: str,
) -> None:
    """One standalone page with the table and every picture."""
    table = [["", "train (last epoch)", "validation", "test"]]
    table += [[titles[name], f"{row['train_accuracy_mean']:.1%}", *spreads(row)] for name, row in rows.items()]
    text = (
        f"{len(networks)} small networks, one fitted to each image of a digit. DWS and WeightGCN receive the weights "
        f"of a network alone and tell the digit; the probing reader runs the network at learned points. Means and "
        f"sample deviations over seeds; settings and epoch were chosen on validation, the test split was read once.\n\n"
        f"Augmentation, drawn anew for each network in each step: {RECOMMENDED}\n\n{warning}"
    )
    sections = [viz.Section("Accuracy", text, table, ())]
    sections += [viz.Section(title, "", None, (figure,)) for title, figure in figures.items()]
    viz.report(path, "wsjax: what augmentation of weights gives", sections)
