"""What it costs to read one network with each reader of a report, and accuracy against that cost, drawn."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import equinox as eqx
import jax

from benchmarks.accuracy.texts import beside
from benchmarks.speed import harness
from benchmarks.speed.harness import Contestant
from benchmarks.speed.readers_step import Subject
from wsjax.train.task import ACCURACY
from wsjax.viz.style import INK, PALETTE, SOFT, chart, figure, headline, percent, save, write

ROUNDS = 7


class Reading:
    """A compiled batch of one reader's outputs; `flops` counts the floating-point operations of one network."""

    def __init__(self, subject: Subject):
        parameters, static = eqx.partition(subject.reader(), eqx.is_inexact_array)
        self._given = parameters, subject.networks()
        read = jax.jit(lambda parameters, networks: jax.vmap(eqx.combine(parameters, static))(networks))
        self._compiled = read.lower(*self._given).compile()
        analysis = self._compiled.cost_analysis()
        assert analysis is not None  # every backend of ours has one
        self.flops = float(analysis["flops"]) / subject.batch

    def __call__(self, _: int) -> Any:
        return self._compiled(*self._given)


def reading_costs(subjects: Mapping[str, Subject]) -> dict[str, dict[str, float]]:
    """Microseconds and floating-point operations to read one network of a batch, by name, measured side by side."""
    distinct = {repr(subject): subject for subject in subjects.values()}
    readings = {name: Reading(subject) for name, subject in distinct.items()}
    contestants = [Contestant(name, reading, distinct[name].batch) for name, reading in readings.items()]
    timings, found = harness.measure(contestants, ROUNDS), {}
    for title, subject in subjects.items():
        name = repr(subject)
        low, middle, high = harness.quartiles(1e6 * timings[name].seconds)
        found[title] = {"us": middle, "us_low": low, "us_high": high, "flops": readings[name].flops}
    return found


def named(row: Mapping[str, Any]) -> tuple[str, str, bool]:
    """A row's reader, its configuration, and whether that is of fewer networks than all, whose number then ends its
    name."""
    _, reader, configuration, _ = row["cell"].split("/")
    name, _, count = configuration.rpartition("_")
    return (reader, name, True) if count.isdigit() else (reader, configuration, False)


def draw_costs(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Accuracy against the microseconds to read one network, a point for each reader's best configuration."""
    best: dict[str, Mapping[str, Any]] = {}
    for row in sorted(rows, key=lambda row: row["test_accuracy_mean"]):
        reader, name, fewer = named(row)
        if row["reading"] and not fewer:
            best[f"{reader}, {name}" if "wide" in name else reader] = row
    if not best:
        return
    page = figure(4.6)
    headline(
        page,
        "Accuracy against the cost of reading one network",
        "Best configuration of each reader; orange: evaluates the network. Batches of 128.",
    )
    axes = chart(page, 0.75, 0.75, 7.9, 3.2, x="microseconds a network", y="test accuracy")
    axes.set_xscale("log")
    percent(axes.yaxis)
    spent = [row["reading"]["us"] for row in best.values()]
    axes.set_xlim(min(spent) / 2, max(spent) * 3)
    for name, row in best.items():
        color = PALETTE[1] if "probe" in name else PALETTE[0]
        x, y = row["reading"]["us"], row["test_accuracy_mean"]
        axes.errorbar(x, y, yerr=row["test_accuracy_sd"] or 0, fmt="o", color=color, markersize=5)
        axes.annotate(name, (x, y), xytext=(6, 3), textcoords="offset points", size=8, color=INK)
    save(page, path)


def draw_growth(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """For each reader, its accuracy with and without augmentation against how many networks it was trained on."""
    curves: dict[str, dict[str, dict[int, tuple[float, float]]]] = {}
    for row in rows:
        reader, name, _ = named(row)
        point = row["test_accuracy_mean"], row["test_accuracy_sd"] or 0.0
        curves.setdefault(reader, {}).setdefault(name, {})[row["networks"]["train"]] = point
    curves = {reader: {n: c for n, c in found.items() if len(c) > 1} for reader, found in curves.items()}
    curves = {reader: found for reader, found in curves.items() if len(found) > 1}
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
            means, deviations = zip(*(points[count] for count in counts), strict=True)
            axes.errorbar(counts, means, yerr=deviations, fmt="o-", color=color, markersize=3, lw=1.2, label=name)
            axes.set_xticks(counts, [f"{count:,}" for count in counts])
            axes.minorticks_off()
        axes.legend(frameon=False, fontsize=7, loc="lower right")
    save(page, path)


def gains(rows: Sequence[Mapping[str, Any]]) -> str:
    """A Markdown table: points gained by each configuration over none, by the number of networks to train on."""
    found: dict[tuple[str, str], dict[int, str]] = {}
    for row in rows:
        if row["paired"] is None:
            continue
        reader, name, _ = named(row)
        text = f"{100 * row['paired']['mean']:+.1f}" + beside(row["paired"]["sd"], ACCURACY)
        found.setdefault((reader, name), {})[row["networks"]["train"]] = text
    found = {key: by_count for key, by_count in found.items() if len(by_count) > 1}
    counts = sorted({count for by_count in found.values() for count in by_count})
    lines = [["reader", "augmentation", *(f"{count:,}" for count in counts)], ["---"] * (2 + len(counts))]
    lines += [[f"`{r}`", f"`{name}`", *(by_count.get(c, "") for c in counts)] for (r, name), by_count in found.items()]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
