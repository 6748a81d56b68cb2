"""Figures of trainings: learning curves over epochs, and the scores of a table."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from wsjax.train.task import ACCURACY, Metric, metric_in
from wsjax.viz.style import (
    EDGE,
    FAINT,
    INK,
    PAGE,
    PALETTE,
    SOFT,
    Figure,
    chart,
    figure,
    headline,
    percent,
    save,
    text_width,
    write,
)

History: TypeAlias = Sequence[Mapping[str, Any]]

LOWEST_R2 = -1.0
MARGIN = 0.6
LINE, TOP, COLUMNS = 0.42, 0.95, (0.54, 1.2)
"""Of a table: the height of a row, where it begins, and the widths of its columns of numbers."""


def curves(history: History | Mapping[str, History], path: str | Path | None = None) -> Figure:
    """Draw the score on the training and the validation split against epochs: the mean over runs of each
    configuration, and a band from the lowest run to the highest. The score is the accuracy, or R2, cut off below -1.

    The history has records with epoch, run, train_accuracy and validation_accuracy (or train_r2 and validation_r2), as
    `wsjax.train` writes them; or it is several such histories by name. A name that ends in "augmented" has the color of
    the same name without it: full line with, dashed line without. `path` is where to save.

    Raises:
        ValueError: no history, one without records, or some of accuracies and some of R2.

    Example:
        >>> records = [{"epoch": e, "run": 0, "train_accuracy": 0.5, "validation_accuracy": 0.4} for e in (1, 2)]
        >>> len(curves({"mlp": records}).axes)
        2
    """
    from matplotlib.lines import Line2D
    from matplotlib.ticker import MaxNLocator

    histories = history if isinstance(history, Mapping) else {"": history}
    if not histories:
        raise ValueError("there is no history to draw; expected that of one training at least: train a reader first")
    metric = metric_of(histories)
    looks = styles(list(histories))
    keys = keys_of(looks)
    page = figure(4.0 + 0.2 * max((key.line for key in keys), default=0))
    runs = max(len({r["run"] for r in records}) for records in histories.values())
    what = f"Mean of {runs} runs, and the band from the lowest to the highest" if runs > 1 else "One run"
    shown = f"{metric.title.capitalize()} while training"
    headline(page, shown, f"{what}: on the networks trained on, and on the validation split.")
    wide = (PAGE - 0.75 - 0.45) / 2
    left_axes = None
    for i, (split, title) in enumerate((("train", "training"), ("validation", "validation"))):
        axes = chart(page, 0.6 + i * (wide + 0.35), 0.95, wide, 2.3, "epoch")
        if left_axes is not None:
            axes.sharey(left_axes)
            axes.tick_params(labelleft=False)
        left_axes = left_axes or axes
        for name, records in histories.items():
            epochs, values = table_of(records, f"{split}_{metric.key}")
            color, dashes = looks[name]
            axes.fill_between(epochs, values.min(axis=0), values.max(axis=0), color=color, alpha=0.15, linewidth=0)
            axes.plot(epochs, values.mean(axis=0), color=color, linestyle=dashes, linewidth=1.8)
            if len(epochs) == 1:
                axes.plot(epochs, values.mean(axis=0), color=color, marker="o", markersize=5)
        axes.set_title(title, loc="left", size=9.5, weight="bold", color=INK)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        if metric == ACCURACY:
            percent(axes.yaxis)
    # In its first epochs a regressor may be worse than the mean by any factor.
    if metric != ACCURACY and left_axes is not None and left_axes.get_ylim()[0] < LOWEST_R2 < left_axes.get_ylim()[1]:
        left_axes.set_ylim(bottom=LOWEST_R2)
    for key in keys:
        top = 3.8 + 0.2 * key.line
        height = 1 - top / page.get_size_inches()[1]
        look: dict[str, Any] = {"color": key.color, "linestyle": key.dashes, "linewidth": 1.8}
        page.add_artist(Line2D((key.left / PAGE, (key.left + 0.36) / PAGE), (height, height), **look))
        write(page, key.left + 0.45, top, key.name, va="center_baseline")
    return save(page, path)


def metric_of(histories: Mapping[str, History]) -> Metric:
    """The one metric of all histories."""
    for name, records in histories.items():
        if not records:
            raise ValueError(
                f"the history {name!r} has no records; expected one an evaluation: train for an epoch first"
            )
    found = {name: metric_in(records[0]) for name, records in histories.items()}
    if len(set(found.values())) > 1:
        shown = ", ".join(f"{name!r} has {metric.title}" for name, metric in found.items())
        raise ValueError(f"the histories are of several metrics: {shown}; expected one: draw them apart")
    return next(iter(found.values()))


def table_of(records: History, field: str) -> tuple[np.ndarray, np.ndarray]:
    """The epochs, and one field of the records as an array (runs, epochs)."""
    epochs, runs = (np.unique([r[column] for r in records]) for column in ("epoch", "run"))
    values = np.full((len(runs), len(epochs)), np.nan)
    for r in records:
        values[np.searchsorted(runs, r["run"]), np.searchsorted(epochs, r["epoch"])] = r[field]
    return epochs, values


def styles(names: Sequence[str]) -> dict[str, tuple[str, str]]:
    """A color and a line for each configuration; "X" and "X, augmented" or "X_augmented" share a color."""
    family = {name: re.sub(r"[,_ ]+augmented$", "", name) for name in names}
    hues = list(dict.fromkeys(family.values()))
    found = {}
    for name in names:
        twin = any(other != name and family[other] == family[name] for other in names)
        found[name] = PALETTE[hues.index(family[name]) % len(PALETTE)], "--" if twin and name == family[name] else "-"
    return found


class LegendKey(NamedTuple):
    """One configuration in the legend: how it is drawn, how many inches from the left, and on which line."""

    name: str
    color: str
    dashes: str
    left: float
    line: int


def keys_of(looks: Mapping[str, tuple[str, str]]) -> list[LegendKey]:
    """Configurations of one color below each other, and beyond the end of the page on further lines."""
    keys, left, first, below = [], MARGIN, 0, 0
    for color in dict.fromkeys(color for color, _ in looks.values()):
        family = [(name, dashes) for name, (hue, dashes) in looks.items() if hue == color and name]
        wide = 0.45 + max((text_width(name, 8.5) for name, _ in family), default=0.0)
        if left > MARGIN and left + wide > PAGE - 0.1:
            left, first = MARGIN, below
        keys += [LegendKey(name, color, dashes, left, first + i) for i, (name, dashes) in enumerate(family)]
        left, below = left + wide + 0.35, max(below, first + len(family))
    return keys


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
    axes = chart(page, left, TOP, PAGE - left - sum(COLUMNS) - 0.1, LINE * len(results))
    write(page, PAGE - sum(COLUMNS), TOP - 0.2, "test", color=SOFT)
    write(page, PAGE - EDGE, TOP - 0.2, "training", color=SOFT, ha="right")
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
