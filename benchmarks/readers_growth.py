"""How a training step grows with the width and depth of the networks that are read, and with their number."""

from dataclasses import dataclass

import numpy as np

from benchmarks import harness
from benchmarks.harness import Contestant, Outcome, Row, Timing
from benchmarks.readers_step import Steps, Subject

GROWING = {"dws": ("dws", {}), "dws_attention": ("dws", {"maps": "attention"}), "relational": ("relational", {})}


@dataclass(frozen=True)
class Growth:
    """Widths of both hidden layers, and numbers of layers, each with how many networks at once; batches; rounds.

    The first width, depth and batch are what the others are compared with; depth and batch grow for DWS alone. `wide`
    is the one width at which every other reader is measured too, None for none.
    """

    widths: tuple[tuple[int, int], ...] = ((32, 128), (64, 64), (128, 16), (256, 4), (512, 1))
    depths: tuple[tuple[int, int], ...] = ((3, 128), (6, 32), (12, 16))
    batches: tuple[int, ...] = (1, 16, 1024)
    wide: tuple[int, int] | None = (128, 16)
    rounds: int = 5


def growth_rows(growth: Growth, names: tuple[str, ...]) -> Outcome:
    """Nanoseconds and bytes a number that is read; a ratio of 1 or more says that growth is linear at most."""
    rows: list[Row] = []
    timings: dict[str, Timing] = {}
    for label, (name, settings) in GROWING.items():
        if name in names:
            series = [{f"width_{n}": ((2, n, n, 1), batch) for n, batch in growth.widths}]
            if label == "dws":
                series += [{f"layers_{n}": ((2, *[32] * (n - 1), 1), batch) for n, batch in growth.depths}]
                series += [{f"batch_{n}": ((2, 32, 32, 1), n) for n in growth.batches}]
            for cases in filter(None, series):
                subjects = {f"{label}_{case}": Subject(name, settings, *where) for case, where in cases.items()}
                found = measured(subjects, growth.rounds)
                rows, timings = [*rows, *found[0]], timings | found[1]
    for name in names:
        if growth.wide and name not in {known for known, _ in GROWING.values()}:
            cases = [growth.widths[0], growth.wide]
            found = measured({f"{name}_width_{n}": Subject(name, {}, (2, n, n, 1), b) for n, b in cases}, growth.rounds)
            rows, timings = [*rows, *found[0]], timings | found[1]
    return rows, timings, []


def measured(subjects: dict[str, Subject], rounds: int) -> tuple[list[Row], dict[str, Timing]]:
    """Two rows a subject, time and memory, against the first subject."""
    steps = {f"step of {name}": Steps(subject) for name, subject in subjects.items()}
    timings = harness.measure([Contestant(name, each, 1) for name, each in steps.items()], rounds)
    time = {name: 1e9 * timings[name].seconds / each.weights for name, each in steps.items()}
    memory = {name: np.array([each.memory / each.weights]) for name, each in steps.items()}
    first, *others = steps
    rows = []
    for name in others:
        case = f"readers/{name.removeprefix('step of ')}"
        rows.append(harness.compare(f"{case}/time", time[name], first, time[first], "ns"))
        rows.append(harness.compare(f"{case}/memory", memory[name], first, memory[first], "B"))
    return rows, timings
