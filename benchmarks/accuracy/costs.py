"""What it costs to read one network with each reader of a report, and accuracy against that cost, drawn."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import equinox as eqx
import jax

from benchmarks.accuracy.growth import named
from benchmarks.speed import harness
from benchmarks.speed.harness import Contestant
from benchmarks.speed.readers_step import Subject
from wsjax.viz.style import INK, PALETTE, chart, figure, headline, percent, save

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
    low, high = min(spent) / 2, max(spent) * 3
    ticks = [tick for tick in (1, 2, 5, 10, 20, 50, 100, 200, 500) if low <= tick <= high]
    axes.set_xticks(ticks, list(map(str, ticks)))
    axes.minorticks_off()
    axes.set_xlim(low, high)
    for name, row in best.items():
        color = PALETTE[1] if "probe" in name else PALETTE[0]
        x, y = row["reading"]["us"], row["test_accuracy_mean"]
        axes.errorbar(x, y, yerr=row["test_accuracy_sd"] or 0, fmt="o", color=color, markersize=5)
        axes.annotate(name, (x, y), xytext=(6, 3), textcoords="offset points", size=8, color=INK)
    save(page, path)
