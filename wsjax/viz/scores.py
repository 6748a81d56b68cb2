"""The table of a comparison as a picture: accuracy on test networks beside that on training networks."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from wsjax.train.task import ACCURACY, Metric
from wsjax.viz.curves import styles
from wsjax.viz.style import (
    EDGE,
    FAINT,
    INK,
    PAGE,
    SOFT,
    Figure,
    figure,
    headline,
    percent,
    place,
    plain,
    save,
    text_width,
    write,
)

LINE, TOP, COLUMNS = 0.42, 0.95, (0.54, 1.2)


def scores(
    results: Mapping[str, Mapping[str, Any]], path: str | Path | None = None, *, metric: Metric = ACCURACY
) -> Figure:
    """Draw each row's test score, mean and deviation over runs, and its training score.

    Args:
        results: for each row "test_accuracy_mean", "test_accuracy_sd" (None of one run) and "train_accuracy_mean" as
            fractions, and where there are "test_accuracies", every run's own; as `wsjax demo` leaves them in
            results.json.
        path: where to save; None saves nothing.
        metric: what the numbers of these names are, accuracies or R2.

    Raises:
        ValueError: no row.

    Example:
        >>> row = {"test_accuracy_mean": 0.9, "test_accuracy_sd": 0.01, "train_accuracy_mean": 1.0}
        >>> [text.get_text() for text in scores({"mlp": row}).axes[0].get_yticklabels()]
        ['mlp']
    """
    if not results:
        raise ValueError("there are no results to draw; expected one row at least: train and evaluate one first")
    left = EDGE + max(text_width(name, 9.5) for name in results) + 0.2
    page = figure(TOP + LINE * len(results) + 0.4)
    headline(
        page,
        f"{metric.title[0].upper()}{metric.title[1:]} on networks never seen, and on those trained on",
        f"Dot: test {metric.title}, mean ± deviation over runs; tick: one run. "
        f"Diamond: training {metric.title} at the last epoch.",
    )
    axes = place(page, left, TOP, PAGE - left - sum(COLUMNS) - 0.1, LINE * len(results))
    write(page, PAGE - sum(COLUMNS), TOP - 0.2, "test", color=SOFT)
    write(page, PAGE - EDGE, TOP - 0.2, "training", color=SOFT, ha="right")
    plain(axes)
    axes.grid(False, axis="y")
    for y, (name, (color, _)) in enumerate(styles(list(results)).items()):
        row = results[name]
        mean, deviation = row["test_accuracy_mean"], row["test_accuracy_sd"]
        train = row["train_accuracy_mean"]
        axes.plot([mean, train], [y, y], color=FAINT, linewidth=3, solid_capstyle="round", zorder=1)
        axes.plot(train, y, "D", color="white", markeredgecolor=color, markersize=6.5, zorder=3)
        runs = np.asarray(row.get("test_accuracies", ()))
        spread = None if len(runs) == 1 else deviation  # one run has none
        axes.errorbar(mean, y, xerr=spread, color=color, fmt="o", markersize=8, elinewidth=1.6, capsize=3, zorder=4)
        axes.plot(runs, np.full(len(runs), y + 0.28), "|", color=color, markersize=6, markeredgewidth=1.2)
        top = TOP + LINE * (y + 0.5)
        write(page, PAGE - sum(COLUMNS), top, metric.shown(mean), size=9.5, weight="bold", va="center")
        if spread is not None:
            shown = f"± {metric.shown(spread).rstrip('%')}"
            write(page, PAGE - sum(COLUMNS[1:]), top, shown, color=SOFT, va="center")
        write(page, PAGE - EDGE, top, metric.shown(train), color=SOFT, va="center", ha="right")
    axes.set_ylim(len(results) - 0.5, -0.5)
    axes.set_yticks(range(len(results)), list(results))
    axes.tick_params(axis="y", labelsize=9.5, labelcolor=INK)
    if metric == ACCURACY:
        percent(axes.xaxis)
    return save(page, path)
