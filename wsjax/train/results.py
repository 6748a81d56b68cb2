"""Results as rows and tables: means and deviations over seeds, and the time that they took."""

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from wsjax.errors import writing
from wsjax.storage import files
from wsjax.train.record import SPENT
from wsjax.train.result import Result
from wsjax.train.task import ACCURACY, Metric, metric_named


def row_of(
    result: Result, test: Sequence[float], taus: Sequence[float] | None = None, runs: Sequence[int] | None = None
) -> dict[str, Any]:
    """One row of results: means and sample deviations over seeds, accuracies as fractions; else in the task's metric.

    `train_accuracy_mean` is the last epoch's: how far the model can fit its data. `train_accuracy_selected_mean` is
    that of the epochs that validation selected, whose test accuracy stands beside it. With `taus` there are
    `test_tau_mean`, `test_tau_sd` and `test_taus` too. A deviation of one run is None.

    `test` and `taus` have each run's score and rank correlation on the test split; `runs` names those of the row, which
    have the same settings, None takes all.
    """
    runs = range(len(test)) if runs is None else runs
    scores, key = result.scores(), result.task.metric.key
    scores, test = [scores[run] for run in runs], [test[run] for run in runs]
    taus = None if taus is None else [taus[run] for run in runs]
    validation = [line[f"validation_{key}"] for line in scores]
    ranks = {"test_tau_mean": float(np.mean(taus)), "test_tau_sd": deviation(taus), "test_taus": taus} if taus else {}
    return {
        f"test_{key}_mean": float(np.mean(test)),
        f"test_{key}_sd": deviation(test),
        f"train_{key}_mean": float(np.mean([line[f"final_train_{key}"] for line in scores])),
        f"train_{key}_selected_mean": float(np.mean([line[f"train_{key}"] for line in scores])),
        f"validation_{key}_mean": float(np.mean(validation)),
        f"validation_{key}_sd": deviation(validation),
        "best_epochs": [line["epoch"] for line in scores],
        "test_accuracies" if result.task.metric == ACCURACY else f"test_{key}s": test,
        **ranks,
        "run": {k: v for k, v in result.runs[runs[0]].filled(result.config).to_json().items() if k != "seed"},
        "augment": result.config.augment,
    }


def deviation(values: Sequence[float]) -> float | None:
    """The sample deviation; None of one value."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


def metric_of(row: Mapping[str, Any]) -> Metric:
    """The metric of a row."""
    name = next(name for name in row if name.startswith("validation_") and name.endswith("_mean"))
    return metric_named(name.removeprefix("validation_").removesuffix("_mean"))


def spreads(row: Mapping[str, Any]) -> list[str]:
    """A row's validation and test score, each with its deviation over seeds; of a regression its tau too."""
    metric = metric_of(row)
    scores = (f"validation_{metric.key}", f"test_{metric.key}", *["test_tau"] * ("test_tau_mean" in row))
    spread = lambda sd: "" if sd is None else f" ± {metric.shown(sd)}"
    return [metric.shown(row[f"{score}_mean"]) + spread(row[f"{score}_sd"]) for score in scores]


def summary_table(rows: Mapping[str, Mapping[str, Any]], titles: Mapping[str, str] | None = None) -> str:
    """Rows of one metric as text, with deviations over seeds; of regressions tau on the test split too."""
    first = next(iter(rows.values()))
    metric = metric_of(first)
    heads = ("validation", "test", "test tau")[: len(spreads(first))]
    head = f"{'' if metric == ACCURACY else metric.title:28}{'train':>8}" + "".join(f"{h:>16}" for h in heads)
    lines = [head, "-" * len(head)]
    for name, row in rows.items():
        title, train = (titles or {}).get(name, name), metric.shown(row[f"train_{metric.key}_mean"])
        lines.append(f"{title:28}{train:>8}" + "".join(f"{s:>16}" for s in spreads(row)))
    return "\n".join(lines)


@contextlib.contextmanager
def stopwatch(directory: Path) -> Iterator[dict[str, Any]]:
    """Keep the seconds of a piece of work in its directory: what its starts took together until it was finished first.

    A start after a break adds to the earlier ones; one that finds all done, or was killed, adds nothing. The record
    that it gives holds, once the work is over, "seconds", of them "compile_seconds" in which JAX traced or compiled
    anything, and "programs", how many it compiled.
    """
    path = directory / SPENT
    with writing(directory):
        directory.mkdir(parents=True, exist_ok=True)
    spent = {"seconds": 0.0, "compile_seconds": 0.0, "programs": 0, "finished": False}
    spent |= files.read_json(path) if path.exists() else {}
    began, was_finished = time.monotonic(), spent["finished"]
    with compilations() as found:
        try:
            yield spent
            spent["finished"] = True
        finally:
            if not was_finished:
                spent["seconds"] += time.monotonic() - began
                until = -np.inf  # the seconds that the events cover together
                for _, start, end in sorted(found, key=lambda event: event[1]):
                    spent["compile_seconds"] += max(0.0, end - max(start, until))
                    until = max(until, end)
                spent["programs"] += sum(event.endswith("backend_compile_duration") for event, _, _ in found)
                files.write_json(path, spent)


@contextlib.contextmanager
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
