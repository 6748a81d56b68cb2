"""What augmentation gains as networks grow in number: tables, curves, and how many networks one is worth."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.accuracy.texts import beside
from wsjax.train.task import ACCURACY
from wsjax.viz.style import INK, PALETTE, SOFT, chart, figure, headline, percent, save, write


def named(row: Mapping[str, Any]) -> tuple[str, str, bool]:
    """A row's reader, its configuration, and whether that is of fewer networks than all, whose number then ends its
    name."""
    _, reader, configuration, _ = row["cell"].split("/")
    name, _, count = configuration.rpartition("_")
    return (reader, name, True) if count.isdigit() else (reader, configuration, False)


def curves_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, dict[int, Mapping[str, Any]]]]:
    """By reader and configuration, the row for each number of networks; of configurations that have several."""
    found: dict[str, dict[str, dict[int, Mapping[str, Any]]]] = {}
    for row in rows:
        reader, name, _ = named(row)
        found.setdefault(reader, {}).setdefault(name, {})[row["networks"]["train"]] = row
    several = {reader: {n: c for n, c in curves.items() if len(c) > 1} for reader, curves in found.items()}
    return {reader: curves for reader, curves in several.items() if len(curves) > 1 and "none" in curves}


def draw_growth(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """For each reader, its accuracy with and without augmentation against how many networks it was trained on."""
    curves = curves_of(rows)
    page = figure(3.9)
    title = "What augmentation is worth as networks grow in number"
    headline(page, title, "Test accuracy, with and without; bars: the deviation over seeds.")
    width = 8.7 / max(len(curves), 1)
    for place, (reader, found) in enumerate(curves.items()):
        axes = chart(page, 0.6 + place * width, 1.0, width - 0.65, 2.3, x="networks to train on")
        write(page, 0.6 + place * width, 0.72, reader, size=9, color=INK, weight="bold")
        axes.set_xscale("log")
        percent(axes.yaxis)
        for color, (name, points) in zip([SOFT, *PALETTE], found.items(), strict=False):
            counts = sorted(points)
            means = [points[count]["test_accuracy_mean"] for count in counts]
            deviations = [points[count]["test_accuracy_sd"] or 0.0 for count in counts]
            axes.errorbar(counts, means, yerr=deviations, fmt="o-", color=color, markersize=3, lw=1.2, label=name)
        every = sorted({count for points in found.values() for count in points})
        axes.set_xticks(every, [f"{count:,}" for count in every])
        axes.minorticks_off()
        axes.legend(frameon=False, fontsize=7, loc="lower right")
    save(page, path)


def gains(rows: Sequence[Mapping[str, Any]]) -> str:
    """A Markdown table: points gained by each configuration over none, by the number of networks to train on."""
    found = {
        (reader, name): {count: row["paired"] for count, row in points.items() if row["paired"]}
        for reader, curves in curves_of(rows).items()
        for name, points in curves.items()
        if name != "none"
    }
    text = lambda gain: f"{100 * gain['mean']:+.1f}" + beside(gain["sd"], ACCURACY)
    return by_count({key: {count: text(gain) for count, gain in points.items()} for key, points in found.items()})


def worth(rows: Sequence[Mapping[str, Any]]) -> str:
    """A Markdown table: without augmentation, how many networks reach the accuracy of so many with it.

    Between the numbers that were measured the accuracy is taken to be linear in their logarithm.
    """
    found: dict[tuple[str, str], dict[int, str]] = {}
    for reader, curves in curves_of(rows).items():
        counts = sorted(curves["none"])
        plain = [curves["none"][count]["test_accuracy_mean"] for count in counts]
        for name, points in curves.items():
            if name != "none":
                reached = {count: row["test_accuracy_mean"] for count, row in points.items()}
                found[reader, name] = {count: equal(reached[count], counts, plain) for count in sorted(reached)}
    return by_count(found)


def equal(accuracy: float, counts: Sequence[int], plain: Sequence[float]) -> str:
    """The number of networks at which a rising curve reaches an accuracy.

    Example:
        >>> [equal(accuracy, [100, 10_000], [0.5, 0.7]) for accuracy in (0.6, 0.4, 0.7, 0.71)]
        ['1,000', 'under 100', '10,000', 'over 10,000']
    """
    if accuracy > max(plain):
        return f"over {counts[-1]:,}"
    if accuracy < plain[0]:
        return f"under {counts[0]:,}"
    found = float(np.exp(np.interp(accuracy, np.maximum.accumulate(plain), np.log(counts))))
    return f"{round(found, 1 - int(np.log10(found))):,.0f}"


def by_count(found: Mapping[tuple[str, str], Mapping[int, str]]) -> str:
    """A Markdown table of texts for readers and augmentations, a column for each number of networks."""
    counts = sorted({count for texts in found.values() for count in texts})
    lines = [["reader", "augmentation", *(f"{count:,}" for count in counts)], ["---"] * (2 + len(counts))]
    lines += [[f"`{r}`", f"`{name}`", *(texts.get(c, "") for c in counts)] for (r, name), texts in found.items()]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
