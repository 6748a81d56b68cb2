"""Suite `readers`: one training step of every reader on 2-32-32-1 SIRENs, and how its time and memory grow.

wsjax        forward, cross-entropy, backward and Adam in one compiled program whose state is donated;
             on the whole batch, and in microbatches
torch        the same eagerly, two threads, foreach or fused Adam; the quicker counts

With linear maps both sides of DWS start from the same parameters and must reach the same losses. With attention ours
attends once for each layer of neurons, over all arrays that meet there, and PyTorch's once for each pair of arrays, as
published. Our relational transformer stores the edges of adjacent layers, PyTorch's all pairs of neurons.
"""

from dataclasses import dataclass, field, replace
from typing import Any

import jax
import numpy as np

from benchmarks.speed import harness
from benchmarks.speed.harness import Contestant, Outcome, Row, Timing
from benchmarks.speed.readers_step import Steps, Subject
from benchmarks.speed.readers_versus import Duel, duel, versus_rows
from benchmarks.torch import loop as torch_loop
from wsjax import models

COMPILE_LIMIT = 20.0  # seconds
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


@dataclass(frozen=True)
class Size:
    """How much is measured: DWS's channels and hidden layers, networks at once, readers, rounds, steps a round.

    rounded: readers whose step is taken in bfloat16 too.
    """

    channels: int = 32
    hidden: int = 4
    widths: tuple[int, ...] = (2, 32, 32, 1)
    batch: int = 128
    relational_batch: int = 32
    microbatches: int = 8
    names: tuple[str, ...] = tuple(models.READERS)
    rounded: tuple[str, ...] = ()
    rounds: int = 7
    steps: int = 2
    product: int = 2048
    growth: Growth = field(default_factory=Growth)


QUICK = Size(
    channels=4,
    hidden=1,
    widths=(2, 6, 6, 1),
    batch=8,
    relational_batch=2,
    microbatches=2,
    names=("dws", "mlp", "probe"),
    rounds=3,
    product=256,
    growth=Growth(widths=((4, 8), (8, 4)), depths=(), batches=(), wide=None, rounds=3),
)


def run(*, quick: bool) -> dict[str, Any]:
    """Measure on two cores, or on an accelerator beside PyTorch on two cores, and report."""
    torch_loop.load_torch().set_num_threads(2)

    def measured(load: float) -> Outcome:
        size = QUICK if quick else Size()
        if jax.default_backend() != "cpu":  # which has no units for bfloat16
            size = replace(size, rounded=size.names)
        return contest(size, load)

    return harness.run("readers", measured, quick=quick)


def contest(size: Size, load: float) -> Outcome:
    """Rows, every contestant's times, and notes.

    Args:
        size: how much to measure.
        load: the machine's load average before; a note may cite it.

    Raises:
        ValueError: DWS here and in PyTorch did not reach the same losses, so that their times do not compare.
    """
    parts = [
        versus_rows(duels(size), size.rounds, size.product, load),
        reader_rows(size),
        growth_rows(size.growth, size.names),
    ]
    timings = {name: timing for part in parts for name, timing in part[1].items()}
    return [row for part in parts for row in part[0]], timings, [note for part in parts for note in part[2]]


def duels(size: Size) -> list[Duel]:
    """DWS as published, with attention and with linear maps; the latter gated too, as ours is; the relational one."""
    published = {"channels": size.channels, "layers": size.hidden + 1, "activation": "relu"}
    case = f"dws_c{size.channels}_n{size.hidden}_b{size.batch}"
    asked = [
        (case, "torch_set_attention", {**published, "maps": "attention"}),
        (case, "torch_deepsets", published),
        (f"{case}_gated", "torch_deepsets", {**published, "activation": "gated"}),
    ]
    made = [
        duel(where, kind, Subject("dws", s, size.widths, size.batch), size.steps, size.microbatches)
        for where, kind, s in asked
    ]
    if "relational" in size.names:
        subject = Subject("relational", {}, size.widths, size.relational_batch)
        made.append(
            duel(f"relational_transformer_b{size.relational_batch}", "torch_dense", subject, 1, size.microbatches)
        )
    return made


def reader_rows(size: Size) -> Outcome:
    """Each reader at its defaults: its step and memory against those of DWS, its compilation against the limit, and
    what bfloat16 saves.
    """
    everyone = {name: Steps(Subject(name, {}, size.widths, size.batch), size.steps) for name in size.names}
    title = {name: f"step of {name} at its defaults" for name in everyone}
    halves = {
        f"{title[name]}, bfloat16": Steps(Subject(name, {}, size.widths, size.batch, "bfloat16"), size.steps)
        for name in size.rounded
    }
    steps = {**{title[name]: each for name, each in everyone.items()}, **halves}
    timings = harness.measure([Contestant(name, each, size.steps) for name, each in steps.items()], size.rounds)
    milliseconds = {name: 1e3 * timing.seconds for name, timing in timings.items()}
    rows = []
    for name in size.rounded:
        whole, rounded = title[name], f"{title[name]}, bfloat16"
        where = f"readers/{name}_b{size.batch}/bfloat16"
        rows.append(harness.compare(where, milliseconds[rounded], whole, milliseconds[whole], "ms"))
    for name, each in everyone.items():
        where = f"readers/{name}_b{size.batch}"
        if name != "dws":
            ours, theirs = milliseconds[title[name]], milliseconds[title["dws"]]
            rows.append(harness.compare(f"{where}/vs_dws", ours, title["dws"], theirs, "ms"))
            megabytes = np.array([1e-6 * each.memory])
            rows.append(harness.compare(f"{where}/memory", megabytes, "dws", 1e-6 * everyone["dws"].memory, "MB"))
        compiled = np.array([timings[title[name]].compile])
        rows.append(harness.compare(f"{where}/compile", compiled, "the limit", COMPILE_LIMIT, "s"))
    said = [f"{name} {each.parameters}, {1e-6 * each.memory:.0f} MB" for name, each in everyone.items()]
    return rows, timings, [f"Parameters at the defaults, and memory of a step: {'; '.join(said)}."]


def growth_rows(growth: Growth, names: tuple[str, ...]) -> Outcome:
    """Nanoseconds and bytes a weight; at a ratio of 1 or more growth is linear at most."""
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
