"""Suite `augment`: every augmentation of the catalogue, microseconds a network, and what the pipeline costs a step.

wsjax        one compiled program for the whole batch, weights where the device has them, another key each call
torch        the same from its definition, one network at a time, one thread, as a loader's worker does it

Both sides must draw from one distribution of weights, labels and functions; that is checked before anything counts.
`mixup_aligned` stands in the suite `align`.
"""

import functools
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.speed import harness
from benchmarks.speed.augment_step import Steps, step_rows
from benchmarks.speed.augment_subjects import (
    BATCH,
    LIMIT,
    W0,
    Pair,
    Subject,
    check_same,
    cnn,
    draws,
    networks_of,
    pair,
    seed,
    subject_of,
)
from benchmarks.speed.harness import Contestant, Outcome, Row, Timing, versus
from benchmarks.torch import augment as torch_augment
from benchmarks.torch.augment import torch
from wsjax.augment import CATALOGUE, batched
from wsjax.networks import Network
from wsjax.symmetry import draws as draws_of

OTHERS = ("mixup_aligned", "mix_basis")
"""What has a suite of its own, and what acts on linear groups alone, which no network here has."""
NAMES = tuple(name for name in CATALOGUE if name not in OTHERS)
GROWING = ("pipeline", "permute", "flip_signs", "noise", "prune", "rotate")
ON_CNN = GROWING[1:-1]  # a convolution's input is a color, which nothing turns
MARKS = {
    "dropout": 34.0,
    "translate": 19.0,
    "rotate": 23.0,
    "noise": 86.0,
    "scale": 5.0,
    "prune_global": 113.0,
    "flip_signs": 28.0,
    "shift_phase": 71.0,
    "mixup": 37.0,
    "mixup_permuted": 66.0,
}
"""us a network of the earlier public code, measured before on two AVX-512 cores, one thread."""
FLOORS = {
    "mixup": ("one write of every weight alone", ("write",)),
    "noise": ("one write and one random word a weight alone", ("write", "words")),
    "noise_shared": ("one write and one random word a weight alone", ("write", "words")),
}
"""What an augmentation cannot go below, in words and as programs of `floor_contestants`."""


@dataclass(frozen=True)
class Size:
    """How much is measured: entries, networks, rounds, draws of the check, growth, and the training step."""

    names: tuple[str, ...] = NAMES
    batch: int = BATCH
    rounds: int = 7
    draws: int = 2048
    growing: tuple[str, ...] = GROWING
    on_cnn: tuple[str, ...] = ON_CNN
    widths: tuple[tuple[int, int], ...] = ((128, 64), (512, 64))  # hidden width, networks
    batches: tuple[int, ...] = (1, 16, 4096)
    channels: tuple[int, ...] = (8, 16)  # of the demonstration's reader, and of the default one
    steps: Steps = field(default_factory=Steps)


QUICK = Size(
    rounds=3,
    draws=512,
    growing=("pipeline",),
    on_cnn=("permute",),
    widths=((64, 16),),
    batches=(1,),
    channels=(8,),
    steps=Steps(count=4, within=()),
)


def run(*, quick: bool) -> dict[str, Any]:
    """Measure on two cores, or on an accelerator beside PyTorch on one core, and report."""
    return harness.run("augment", lambda load: contest(QUICK if quick else Size(), load), quick=quick)


def contest(size: Size, load: float) -> Outcome:
    """Rows, every contestant's times, and notes.

    Args:
        size: how much to measure.
        load: the machine's load average before; a note may cite it.

    Raises:
        ValueError: the two sides do not draw from one distribution, so their times do not compare.
    """
    torch.set_num_threads(1)
    timings: dict[str, Timing] = {}
    rows, floors, worst = [], [], 0.0
    for row_name, name, subject in cases(size):
        both = pair(name, subject)
        ours, theirs = wsjax_contestant(row_name, both, size.rounds), torch_contestant(row_name, both)
        least = floor_contestants(row_name, name, subject, size)
        timings |= harness.measure([ours, theirs, *least], size.rounds)
        rows.append(versus(row_name, timings, ours.name, theirs.name))
        if least:
            spent, floor = 1e6 * timings[ours.name].seconds, sum(1e6 * timings[c.name].seconds for c in least)
            floors.append(harness.compare(f"augment/{name}/vs_floor", spent, FLOORS[name][0], floor, "us"))
        if len(both.batch.label) == size.batch:
            worst = max(worst, check_same(name, *draws(both, subject, size.draws)))
    quality = (
        f"Weights, labels and functions of {size.draws} draws a side, means and mean squares: within {worst:.1f} "
        f"standard errors of each other ({LIMIT:g} allowed)."
    )
    for name in (n for n in MARKS if n in size.names):
        spent = 1e6 * timings[_torch(f"augment/{name}/b{size.batch}")].seconds
        rows.append(harness.compare(f"augment/{name}/torch_vs_mark", spent, "the earlier mark", MARKS[name], "us"))
    rows += floors
    for found, spent in (step_rows(channels, size.steps, size.rounds) for channels in size.channels):
        rows, timings = [*rows, *found], timings | spent
    return rows, timings, [quality, *explanations(rows, load)]


def cases(size: Size) -> Iterator[tuple[str, str, Subject]]:
    """Each row's name, its augmentation and its networks: the catalogue, wider networks, a CNN, other batches."""
    for name in ("pipeline", *size.names):
        yield f"augment/{name}/b{size.batch}", name, subject_of(name, size.batch)
    for width, count in size.widths:
        wide = networks_of(Network("siren", (2, width, width, 1), w0=(W0,)), count)
        for name in size.growing:
            yield f"augment/{name}/h{width}_b{count}", name, wide
    convolutional = cnn(size.batch)
    for name in size.on_cnn:
        yield f"augment/{name}/cnn_b{size.batch}", name, convolutional
    for count in size.batches:
        for name in size.growing:
            yield f"augment/{name}/b{count}", name, subject_of(name, count)


def _torch(row_name: str) -> str:
    return f"torch {row_name.removeprefix('augment/')}"


# --- contestants ---


def wsjax_contestant(row_name: str, both: Pair, rounds: int) -> Contestant:
    """Whole batches, each with a key of its own, so many a round that the threads' waking up does not count."""
    count = len(both.batch.label)
    calls = min(64, max(1, 16384 // count))
    keys = list(jax.random.split(jax.random.key(0), rounds * calls))

    def run(number: int) -> None:
        for key in keys[number * calls : (number + 1) * calls]:
            jax.block_until_ready(both.ours(key, both.batch))

    return Contestant(f"wsjax {row_name.removeprefix('augment/')}", run, count * calls)


def torch_contestant(row_name: str, both: Pair) -> Contestant:
    """One network after another, at most `BATCH` of them: one more takes as long as the last."""
    count = min(len(both.batch.label), BATCH)
    passes = max(1, 1024 // count)

    def run(number: int) -> None:
        seed(number)
        with torch.no_grad():
            for _ in range(passes):
                for i in range(count):
                    both.theirs(i)

    return Contestant(_torch(row_name), run, count * passes)


def floor_contestants(row_name: str, name: str, subject: Subject, size: Size) -> list[Contestant]:
    """The least that an augmentation consists of, where `FLOORS` names it: beside the catalogue's row, none elsewhere.

    `write` writes every weight of the batch, `words` draws a random word for each.
    """
    if name not in FLOORS or row_name != f"augment/{name}/b{size.batch}":
        return []
    count = sum(leaf[0].size for leaf in jax.tree.leaves(subject.batch.weights))
    words = batched(lambda key, label: draws_of.words(key, (count,)))
    programs = {
        "write": lambda key, batch: batch._replace(weights=jax.tree.map(jnp.negative, batch.weights)),
        "words": lambda key, batch: batch._replace(weights=words(key, batch.label)),
    }
    alone = {part: Pair(part, jax.jit(programs[part]), lambda i: ([], None), subject.batch) for part in FLOORS[name][1]}
    return [wsjax_contestant(f"{row_name}, {part} alone", both, size.rounds) for part, both in alone.items()]


# --- what there is to say ---


def explanations(rows: Iterable[Row], load: float) -> list[str]:
    """Why PyTorch takes so much more than a mark, where it does: its operations, and what the least of them takes."""
    found = []
    for row in rows:
        if not (row.name.endswith("torch_vs_mark") and row.value > harness.UNEXPLAINED * row.against_value):
            continue
        name = row.name.split("/")[1]
        both = pair(name, subject_of(name, BATCH))
        with torch.no_grad():
            count = torch_augment.operations(functools.partial(both.theirs, 0))
        found.append(explanation(name, row.value, row.against_value, count, smallest_operation(), load))
    return found


def explanation(name: str, spent: float, mark: float, count: int, least: float, load: float) -> str:
    """A sentence on one time above its mark.

    Args:
        name: of the augmentation.
        spent, mark: us a network.
        count: PyTorch operations that it takes.
        least: us of the smallest operation here.
        load: the machine's load average before.
    """
    said = f"torch {name} takes {spent:.0f} us, {spent / mark:.1f} times the mark of {mark:.0f} us"
    many = f"{count} operation{'s' * (count > 1)}"
    if count * least > mark:
        return f"{said}: it is {many}, and the smallest takes {least:.1f} us on these cores."
    return (
        f"{said}, though {many} of at least {least:.1f} us here leave room: other work held the cores "
        f"(load average before: {load:.2f}); measure again on a quiet machine."
    )


def smallest_operation(repeats: int = 2000) -> float:
    """us of one addition of two short vectors."""
    a = torch.ones(32)
    begun = time.perf_counter()
    for _ in range(repeats):
        torch.add(a, a)
    return 1e6 * (time.perf_counter() - begun) / repeats
