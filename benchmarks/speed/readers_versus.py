"""The suite `readers` beside PyTorch: DWS with linear maps and with attention, and the relational transformer."""

from dataclasses import replace
from typing import Any, NamedTuple

import jax
import numpy as np

from benchmarks.speed import harness
from benchmarks.speed.fit import MARK_RATE, product_contestant
from benchmarks.speed.fit_contestants import fastest
from benchmarks.speed.harness import Contestant, Outcome, Row
from benchmarks.speed.readers_products import Products
from benchmarks.speed.readers_step import LEARNING_RATE, Steps, Subject
from benchmarks.torch import readers as torch_readers
from benchmarks.torch.relational import Widths

ADAMS = ("foreach", "fused")
MARKS = {"torch_set_attention": 800.0, "torch_deepsets": 374.0, "torch_dense": 4902.0}
"""ms a step of the earlier public code at the published settings, measured before on two AVX-512 cores."""
TOLERANCE = 1e-3  # relative, between the losses of both sides


class Duel(NamedTuple):
    """One subject on both sides: our step on the whole batch and in microbatches; PyTorch's contestants, which differ
    in their Adam; and our step's matrix products alone.

    `same`: both sides start with our parameters.
    """

    case: str
    kind: str
    ours: Contestant
    cut: Contestant
    theirs: list[Contestant]
    products: Contestant
    parameters: tuple[int, int]
    same: bool

    @property
    def name(self) -> str:
        return f"readers/{self.case}/vs_{self.kind}"


def duel(case: str, kind: str, subject: Subject, steps: int, microbatches: int) -> Duel:
    """Both sides of a subject, so many steps a round; ours once more in so many microbatches."""
    mine, theirs, modules = Steps(subject, steps), [], []
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(subject.networks())]
    for adam in ADAMS:
        module = torch_readers.dense(subject, Widths()) if kind == "torch_dense" else torch_readers.dws(subject)
        loop = torch_readers.steps(module, leaves, subject.label, steps, adam=adam, learning_rate=LEARNING_RATE)
        theirs.append(Contestant(f"{case}, {kind}, {adam}", loop, steps))
        modules.append(module)
    ours = Contestant(f"{case}, wsjax for {kind}", mine, steps)
    parts = Steps(replace(subject, microbatches=microbatches), steps)
    cut = Contestant(f"{case}, wsjax in {microbatches} microbatches for {kind}", parts, steps)
    counted = mine.parameters, torch_readers.count_parameters(modules[0])
    products = Contestant(f"{case}, products of wsjax for {kind}", Products(mine), 1)
    return Duel(case, kind, ours, cut, theirs, products, counted, kind == "torch_deepsets")


def versus_rows(duels: list[Duel], rounds: int, product: int, load: float) -> Outcome:
    """Every duel in the same rounds: rows, PyTorch's times beside their marks, and notes.

    Raises:
        ValueError: two sides that start alike did not reach the same losses.
    """
    large = product_contestant(product)
    timings = harness.measure([large, *(c for d in duels for c in (d.ours, d.cut, *d.theirs, d.products))], rounds)
    rows, cut, marks, floors, notes = [], [], [], [], []
    for each in duels:
        best = fastest(timings, each.theirs)
        theirs = 1e3 * timings[best].seconds
        ours, parts, alone = (1e3 * timings[c.name].seconds for c in (each.ours, each.cut, each.products))
        rows.append(harness.compare(each.name, ours, best, theirs, "ms"))
        cut.append(harness.compare(f"readers/{each.case}_microbatches/vs_{each.kind}", parts, best, theirs, "ms"))
        floors.append(harness.compare(f"{each.name}_products", ours, each.products.name, alone, "ms"))
        notes.append(f"{each.name}: {each.parameters[0]} parameters here, {each.parameters[1]} in PyTorch.")
        if each.same:
            made = {c.name: timings[c.name].made for c in (each.ours, each.cut, *each.theirs)}
            notes.append(check_losses(made, each.ours.name))
        if each.kind not in {row.name.split("/")[-1].removesuffix("_vs_mark") for row in marks}:
            name = f"readers/{each.case}/{each.kind}_vs_mark"
            marks.append(harness.compare(name, theirs, "the earlier mark", MARKS[each.kind], "ms"))
    rate = 1e-9 / float(np.median(timings[large.name].seconds))
    return [*rows, *cut, *floors, *marks], timings, [*notes, *explanations(marks, rate, load)]


def check_losses(made: dict[str, list[Any]], ours: str) -> str:
    """A note on how far losses differ, step by step.

    Raises:
        ValueError: by more than `TOLERANCE`.
    """
    losses = {name: np.array(each).reshape(-1) for name, each in made.items()}
    apart = max(float(np.max(np.abs(each / losses[ours] - 1))) for each in losses.values())
    if not apart <= TOLERANCE:
        raise ValueError(
            f"{ours} and PyTorch reached losses that differ by {apart:.2%}; expected {TOLERANCE:.1%} at most from the "
            f"same start: they do not do the same work, so the comparison is void"
        )
    steps = losses[ours]
    return f"{ours}: the loss went from {steps[0]:.4f} to {steps[-1]:.4f} on both sides, {apart:.1e} apart at most."


def explanations(marks: list[Row], rate: float, load: float) -> list[str]:
    """Why PyTorch is far above its marks, where it is.

    Args:
        marks: PyTorch's times against them.
        rate: of a large matrix product here, GFLOP/s.
        load: the machine's load average before.
    """
    return [
        f"{row.name}: {row.value:.0f} ms, {row.value / row.against_value:.2f} times the mark. A large matrix product "
        f"runs at {rate:.0f} GFLOP/s here and ran at {MARK_RATE:.0f} where the mark was taken; the load average before "
        f"was {load:.2f}."
        for row in marks
        if row.value > harness.UNEXPLAINED * row.against_value
    ]
