"""Rows of a report as text, for any kind of table."""

from collections.abc import Mapping, Sequence
from typing import Any

from wsjax.train.task import ACCURACY, R2, Metric

HEADINGS = ("cell", "test", "training", "parameters", "step", "points against the baseline")
NEIGHBORS = "test, nearest neighbors"
"""The heading of one column more, where a report has such a score."""
PSNR = "PSNR of the networks"
"""The heading of one column more, where the cells' networks differ in that."""


def texts_of(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """The headings, and each row under them.

    Example:
        >>> row = {"cell": "a", "test_accuracy_mean": 0.5, "test_accuracy_sd": 0.015, "train_accuracy_mean": 0.75}
        >>> rows = [{**row, "parameters": 9, "step_ms": None, "paired": None, "knn_test_mean": 0.4, "knn_test_sd": 0.0}]
        >>> [line[-1] for line in texts_of(rows)]
        ['test, nearest neighbors', '40.0% ± 0.0']
        >>> [line[-1] for line in texts_of([{**rows[0], "psnr": 31.25}, {**rows[0], "psnr": 40.0}])]
        ['PSNR of the networks', '31.2 dB', '40.0 dB']
    """
    headings, lines = HEADINGS, [texts(row) for row in rows]
    if any("knn_test_mean" in row for row in rows):
        headings = (*headings, NEIGHBORS)
        lines = [(*line, spread(row, "knn_test")) for line, row in zip(lines, rows, strict=True)]
    if len({row.get("psnr") for row in rows}) > 1:
        headings = (*headings, PSNR)
        known = [row.get("psnr") for row in rows]
        lines = [(*line, "" if dB is None else f"{dB:.1f} dB") for line, dB in zip(lines, known, strict=True)]
    return [headings, *lines]


def texts(row: Mapping[str, Any]) -> tuple[str, ...]:
    """A row under `HEADINGS`: accuracies in per cent and points, R2 as it is and named; empty where there is none.

    Example:
        >>> row = {"cell": "dws", "test_accuracy_mean": 0.5, "test_accuracy_sd": 0.015, "train_accuracy_mean": 0.75}
        >>> row |= {"parameters": 1234, "step_ms": {"median": 2.0}, "paired": {"mean": -0.1, "sd": 0.02}}
        >>> texts(row)
        ('dws', '50.0% ± 1.5', '75.0%', '1,234', '2.0 ms', '-10.0 ± 2.0')
        >>> texts({**row, "metric": "r2", "step_ms": None})
        ('dws', 'R2 0.500 ± 0.015', 'R2 0.750', '1,234', '', 'R2 -0.100 ± 0.020')
        >>> texts({**row, "step_ms": None, "paired": None})[-2:]
        ('', '')
    """
    step, gain, train = row["step_ms"], row["paired"], row["train_accuracy_mean"]
    metric = metric_of(row)
    trained = f"R2 {train:.3f}" if metric == R2 else f"{train:.1%}"
    gained = gain and (f"R2 {gain['mean']:+.3f}" if metric == R2 else f"{100 * gain['mean']:+.1f}")
    return (
        row["cell"],
        spread(row, "test_accuracy"),
        trained,
        f"{row['parameters']:,}",
        f"{step['median']:.1f} ms" if step else "",
        gained + beside(gain["sd"], metric) if gain else "",
    )


def spread(row: Mapping[str, Any], score: str) -> str:
    """A score's mean and deviation over seeds.

    Example:
        >>> spread({"knn_test_mean": 0.5, "knn_test_sd": 0.015}, "knn_test")
        '50.0% ± 1.5'
        >>> spread({"knn_test_mean": 0.5, "knn_test_sd": None}, "knn_test")   # of one seed
        '50.0%'
    """
    metric, mean = metric_of(row), row[f"{score}_mean"]
    return (f"R2 {mean:.3f}" if metric == R2 else f"{mean:.1%}") + beside(row[f"{score}_sd"], metric)


def beside(deviation: float | None, metric: Metric) -> str:
    """A deviation as it stands beside its mean, where there is one."""
    if deviation is None:
        return ""
    return f" ± {deviation:.3f}" if metric == R2 else f" ± {100 * deviation:.1f}"


def metric_of(row: Mapping[str, Any]) -> Metric:
    """The metric of a row's scores, whose names are those of accuracies for R2 too; accuracy where none is named."""
    return R2 if row.get("metric") == R2.key else ACCURACY
