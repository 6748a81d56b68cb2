"""Other work of the suite `fit`: three inputs, wide layers, color, and steps on a subset of the points."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from benchmarks.speed import harness
from benchmarks.speed.fit_contestants import check_quality, everyone, fastest
from benchmarks.speed.harness import Outcome
from wsjax.data.pool import workers_of
from wsjax.data.recipe import Recipe
from wsjax.data.sources.signals import Signals
from wsjax.networks import Network


class Case(NamedTuple):
    """A network, the points of each signal, how many of them a step uses (None for all), and Adam steps."""

    widths: tuple[int, ...]
    points: int
    batch_points: int | None = None
    steps: int = 300

    @property
    def name(self) -> str:
        batch = f"_batch{self.batch_points}" if self.batch_points else ""
        return f"fit/siren_{'-'.join(map(str, self.widths))}_{self.points}{batch}"


CASES = (
    Case((3, 32, 32, 1), 4096, steps=60),
    Case((3, 32, 32, 1), 4096, batch_points=512),
    Case((2, 32, 32, 3), 1024, steps=200),
    Case((2, 128, 128, 1), 784, steps=60),
)
TOLERANCE = 2.0  # dB: contestants that draw their own points end a little apart


@dataclass(frozen=True)
class Size:
    """How much is measured: cases, rounds, groups for each worker of wsjax, slots of plain vmap."""

    cases: Sequence[Case] = CASES
    rounds: int = 5
    groups: int = 2
    slots: tuple[int, ...] = (16, 64)


QUICK = Size((Case((3, 32, 32, 1), 512, batch_points=128, steps=10),), rounds=2, groups=1, slots=(16,))


def contest(size: Size) -> Outcome:
    """Rows, every contestant's times, and a note on the quality of each case.

    Raises:
        ValueError: the contestants of a case did not reach the same PSNR, so their times do not compare.
    """
    rows, timings, notes = [], {}, []
    for case in size.cases:
        recipe = Recipe(
            Network("siren", case.widths, w0=(30.0,), offset=0.5, family="nfn"),
            steps=case.steps,
            learning_rate=1e-3,
            batch_points=case.batch_points,
        )
        count = max(size.groups * workers_of() * recipe.slots, *size.slots, size.rounds)
        signals = waves(count, case.points, case.widths[0], case.widths[-1])
        settings = [("fused", threads) for threads in (1, 2)]
        ours, loops, vmaps = everyone(recipe, signals, rounds=size.rounds, loops=settings, slots=size.slots)
        found = harness.measure([ours, *loops, *vmaps], size.rounds)
        made = {name: timing.made for name, timing in found.items()}
        notes.append(f"{case.name}: {check_quality(made, ours.name, TOLERANCE)}")
        loop, plain = fastest(found, loops), fastest(found, vmaps)
        rows += [
            harness.versus(f"{case.name}/vs_torch_loop", found, ours.name, loop),
            harness.versus(f"{case.name}/vs_plain_vmap", found, ours.name, plain),
        ]
        timings |= {f"{name}, {case.name.removeprefix('fit/')}": timing for name, timing in found.items()}
    return rows, timings, notes


def waves(count: int, points: int, inputs: int, channels: int) -> Signals:
    """Sums of four random plane waves on [0, 1], each known at random points of its own."""
    generator = np.random.default_rng(0)
    where = generator.uniform(-1, 1, (count, points, inputs))
    direction = generator.normal(0, 2, (count, inputs, 4, channels))
    phase = generator.uniform(0, 2 * np.pi, (count, 1, 4, channels))
    values = 0.5 + np.cos(np.einsum("npi,niwc->npwc", where, direction) + phase).mean(axis=2) / 2
    rows = np.arange(count, dtype=np.int32)
    known = (where.astype(np.float32), values.astype(np.float32))
    return Signals("waves", *known, 0 * rows, np.zeros(count, np.int8), rows, ("waves",))
