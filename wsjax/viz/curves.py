"""Learning curves: one line and one band over runs for each configuration."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from wsjax.train.task import ACCURACY, Metric, metric_in
from wsjax.viz.style import (
    INK,
    PAGE,
    PALETTE,
    SOFT,
    Figure,
    figure,
    headline,
    percent,
    place,
    plain,
    save,
    stroke,
    text_width,
    write,
)

History: TypeAlias = Sequence[Mapping[str, Any]]

LOWEST_R2 = -1.0
MARGIN = 0.6


def curves(history: History | Mapping[str, History], path: str | Path | None = None) -> Figure:
    """Draw the score on the training and the validation split against epochs: the mean over runs of each
    configuration, and a band from the lowest run to the highest. The score is the accuracy, or R2, cut off below -1.

    A name that ends in "augmented" has the color of the same name without it: full line with, dashed line without.

    Args:
        history: records with epoch, run, train_accuracy and validation_accuracy (or train_r2 and validation_r2), as
            `wsjax.train` writes them; or several such histories by name.
        path: where to save; None saves nothing.

    Raises:
        ValueError: no history, one without records, or some of accuracies and some of R2.

    Example:
        >>> records = [{"epoch": e, "run": 0, "train_accuracy": 0.5, "validation_accuracy": 0.4} for e in (1, 2)]
        >>> len(curves({"mlp": records}).axes)
        2
    """
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
        axes = place(page, 0.6 + i * (wide + 0.35), 0.95, wide, 2.3)
        if left_axes is not None:
            axes.sharey(left_axes)
            axes.tick_params(labelleft=False)
        left_axes = left_axes or axes
        plain(axes)
        for name, records in histories.items():
            epochs, values = table_of(records, f"{split}_{metric.key}")
            color, dashes = looks[name]
            axes.fill_between(epochs, values.min(axis=0), values.max(axis=0), color=color, alpha=0.15, linewidth=0)
            axes.plot(epochs, values.mean(axis=0), color=color, linestyle=dashes, linewidth=1.8)
            if len(epochs) == 1:
                axes.plot(epochs, values.mean(axis=0), color=color, marker="o", markersize=5)
        axes.set_title(title, loc="left", size=9.5, weight="bold", color=INK)
        axes.set_xlabel("epoch", size=8.5, color=SOFT)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        if metric == ACCURACY:
            percent(axes.yaxis)
    # In its first epochs a regressor may be worse than the mean by any factor.
    if metric != ACCURACY and left_axes is not None and left_axes.get_ylim()[0] < LOWEST_R2 < left_axes.get_ylim()[1]:
        left_axes.set_ylim(bottom=LOWEST_R2)
    legend(page, keys, top=3.8)
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
    """A color and a line for each configuration; "X" and "X, augmented" or "X_augmented" share a color.

    Example:
        >>> looks = styles(["mlp", "dws", "dws_augmented"])
        >>> looks["dws"][0] == looks["dws_augmented"][0] != looks["mlp"][0], looks["dws_augmented"][1]
        (True, '-')
    """
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
    """Configurations of one color below each other, and beyond the end of the page on further lines.

    Example:
        >>> keys = keys_of({name: (name, "-") for name in ("a" * 60, "b" * 60, "c" * 60)})
        >>> [key.line for key in keys]
        [0, 1, 2]
    """
    keys, left, first, below = [], MARGIN, 0, 0
    for color in dict.fromkeys(color for color, _ in looks.values()):
        family = [(name, dashes) for name, (hue, dashes) in looks.items() if hue == color and name]
        wide = 0.45 + max((text_width(name, 8.5) for name, _ in family), default=0.0)
        if left > MARGIN and left + wide > PAGE - 0.1:
            left, first = MARGIN, below
        keys += [LegendKey(name, color, dashes, left, first + i) for i, (name, dashes) in enumerate(family)]
        left, below = left + wide + 0.35, max(below, first + len(family))
    return keys


def legend(page: Figure, keys: Sequence[LegendKey], *, top: float) -> None:
    """Keys under the axes."""
    for key in keys:
        height = top + 0.2 * key.line
        stroke(page, key.left, height, 0.36, color=key.color, linestyle=key.dashes, linewidth=1.8)
        write(page, key.left + 0.45, height, key.name, va="center_baseline")
