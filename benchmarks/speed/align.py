"""Suite `align`: aligned MixUp of a pair of networks, and how the cost of alignment grows.

wsjax        `mixup_aligned` on a labeled batch, one compiled program; and `mixup` on a data set aligned before
torch        the same matching of one pair at a time, one thread, as a loader's worker does it

Both sides mix random pairs of the same fitted networks; on one set of pairs the mean squared distance that each
reaches is compared first, ours with the sweeps that `mixup_aligned` takes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from benchmarks.speed import harness
from benchmarks.speed.fit import smooth_images
from benchmarks.speed.harness import Contestant, Outcome, Row
from benchmarks.torch import align as torch_align
from benchmarks.torch import loop as torch_loop
from benchmarks.torch.align import torch
from wsjax import augment
from wsjax.augment.mixup import SWEEPS, partners
from wsjax.data.fitting.job import fit_weights
from wsjax.data.recipe import Recipe
from wsjax.networks import Network
from wsjax.symmetry import Symmetry, align, siren, squared_distance
from wsjax.symmetry.align import Over
from wsjax.symmetry.assignment import Solver, assign
from wsjax.typing import Batch

NETWORK = Network("siren", (2, 32, 32, 1), w0=(30.0,), offset=0.5, family="nfn")
MARK = 1232.0  # us a pair of the earlier public code, matching permutations alone, on two AVX-512 cores
CLASSES = 10
TOLERANCE = 1.001  # our mean squared distance may be at most this many times PyTorch's


@dataclass(frozen=True)
class Size:
    """How much is measured: networks fitted, their steps, rounds, batches, widths, sizes of assignments."""

    networks: int = 256
    steps: int = 300
    rounds: int = 7
    batches: tuple[int, ...] = (1, 16, 1024, 4096)
    widths: tuple[tuple[int, int], ...] = ((128, 16), (512, 2))  # hidden width, pairs
    assignments: tuple[tuple[int, int], ...] = ((8, 256), (32, 1), (32, 256), (32, 4096), (128, 16))


QUICK = Size(networks=64, steps=30, rounds=3, batches=(1,), widths=((64, 2),), assignments=((8, 16),))


def run(*, quick: bool) -> dict[str, Any]:
    """Measure on two cores, or on an accelerator beside PyTorch on two cores, and report."""
    return harness.run("align", lambda _: contest(QUICK if quick else Size()), quick=quick)


def contest(size: Size) -> Outcome:
    """Rows, every contestant's times, and notes.

    Raises:
        ValueError: our alignment came less near than PyTorch's, so the times do not compare.
    """
    symmetry, networks = NETWORK.symmetry, fitted(size)
    key = jax.random.key(0)
    batch = Batch(networks, jax.nn.one_hot(jnp.arange(size.networks) % CLASSES, CLASSES))
    quality = check_quality(networks, symmetry, pair_rows(key, size.networks))
    near = Batch(aligned(networks, symmetry), batch.label)

    loop = torch_mixup(networks, pair_rows(key, size.networks))
    live = mixup_contestant("mixup_aligned (signed)", batch, symmetry, "signed")
    full = mixup_contestant("mixup_aligned (full)", batch, symmetry, "full")
    plain = mixup_contestant("mixup of a data set aligned before", near, symmetry, None)
    growing = [batch_contestant(networks, symmetry, count) for count in size.batches]
    wide = [width_contestants(width, pairs) for width, pairs in size.widths]
    tables = [assignment_contestants(n, count) for n, count in size.assignments]
    everyone = [live, full, plain, loop, *growing, *(c for two in (*wide, *tables) for c in two)]
    timings = harness.measure(everyone, size.rounds)

    def row(name: str, ours: str, theirs: str) -> Row:
        return harness.versus(name, timings, ours, theirs)

    rows = [
        row(f"align/mixup_signed_2-32-32-1/b{size.networks}", live.name, loop.name),
        row(f"align/mixup_full_2-32-32-1/b{size.networks}", full.name, loop.name),
        row(f"align/mixup_aligned_before_2-32-32-1/b{size.networks}", plain.name, loop.name),
        harness.compare(
            "align/mixup_2-32-32-1/torch_vs_mark", 1e6 * timings[loop.name].seconds, "the earlier mark", MARK, "us"
        ),
        *(row(f"align/signed_2-32-32-1/b{n}", c.name, loop.name) for n, c in zip(size.batches, growing, strict=True)),
        *(row(f"align/signed_2-{w}-{w}-1/b{n}", *names(two)) for (w, n), two in zip(size.widths, wide, strict=True)),
        *(row(f"align/assign_{n}/b{k}", *names(two)) for (n, k), two in zip(size.assignments, tables, strict=True)),
    ]
    return rows, timings, [quality]


def names(two: tuple[Contestant, Contestant]) -> tuple[str, str]:
    return two[0].name, two[1].name


def fitted(size: Size) -> PyTree:
    """Networks fitted to smooth images from independent initializations."""
    recipe = Recipe(NETWORK, steps=size.steps, learning_rate=1e-3)
    return jax.device_put(fit_weights(smooth_images(size.networks, 28), recipe, progress=False).weights)


def aligned(networks: PyTree, symmetry: Symmetry) -> PyTree:
    first = jax.tree.map(lambda leaf: leaf[0], networks)
    return jax.jit(jax.vmap(lambda w: align(w, first, symmetry, group="signed").weights))(networks)


def pair_rows(key: Any, count: int) -> np.ndarray:
    return np.asarray(partners(key, count))


def mixup_contestant(name: str, batch: Batch, symmetry: Symmetry, group: Over | None) -> Contestant:
    mix = augment.mixup() if group is None else augment.mixup_aligned(symmetry, group=group)
    transform = jax.jit(lambda key, batch: mix(key, batch))
    return repeated(name, lambda number: transform(jax.random.key(number), batch), len(batch.label))


def repeated(name: str, call: Callable[[int], PyTree], pairs: int) -> Contestant:
    """Up to eight calls a round, so that threads which slept while others ran do not count."""
    calls = min(8, max(1, 2048 // pairs))

    def run(number: int) -> None:
        for each in range(number * calls, (number + 1) * calls):
            jax.block_until_ready(call(each))

    return Contestant(name, run, pairs * calls)


def batch_contestant(networks: PyTree, symmetry: Symmetry, count: int) -> Contestant:
    """Alignment of as many pairs, the networks repeated where there are not enough."""
    have = len(jax.tree.leaves(networks)[0])
    mine = jax.tree.map(lambda leaf: leaf[np.arange(count) % have], networks)
    theirs = jax.tree.map(lambda leaf: leaf[(np.arange(count) * 7 + 1) % have], networks)
    return align_contestant(f"align {count} pairs", mine, theirs, symmetry)


def align_contestant(name: str, mine: PyTree, theirs: PyTree, symmetry: Symmetry) -> Contestant:
    work = jax.jit(jax.vmap(lambda a, b: align(a, b, symmetry, group="signed").weights))
    return repeated(name, lambda _: work(mine, theirs), len(jax.tree.leaves(mine)[0]))


def width_contestants(width: int, pairs: int) -> tuple[Contestant, Contestant]:
    """Ours and PyTorch's alignment of wider networks at initialization."""
    widths = (2, width, width, 1)
    network = Network("siren", widths, w0=(30.0,), family="nfn")
    draw = jax.vmap(network.init)
    mine, theirs = (draw(jax.random.split(jax.random.key(seed), pairs)) for seed in (0, 1))
    both = [split(networks) for networks in (mine, theirs)]

    def loop(_: int) -> None:
        for a, b in zip(*both, strict=True):
            torch_align.match(b, a)

    ours = align_contestant(f"align 2-{width}-{width}-1", mine, theirs, siren(widths))
    return ours, Contestant(f"torch match 2-{width}-{width}-1", loop, pairs)


def torch_mixup(networks: PyTree, rows: np.ndarray) -> Contestant:
    many, labels = split(networks), torch.eye(CLASSES)
    torch.set_num_threads(1)
    coefficients = np.random.default_rng(0).beta(0.4, 0.4, len(rows)).tolist()

    def loop(_: int) -> None:
        with torch.no_grad():
            for i, j in enumerate(rows):
                torch_align.mixup(many[i], many[j], (labels[i % CLASSES], labels[j % CLASSES]), coefficients[i])

    return Contestant("torch mixup, one pair at a time", loop, len(rows))


def split(networks: PyTree) -> list[list[Any]]:
    """Each network's arrays for PyTorch."""
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(networks)]
    return [torch_loop.tensors([leaf[i] for leaf in leaves]) for i in range(len(leaves[0]))]


def assignment_contestants(n: int, count: int) -> tuple[Contestant, Contestant]:
    """The same random matrices solved on the host and where the arrays lie."""
    cost = jax.random.normal(jax.random.key(n), (count, n, n))

    def contestant(solver: Solver) -> Contestant:
        work = jax.jit(jax.vmap(lambda c: assign(c, solver=solver)))
        return Contestant(f"assign {n} x {n}, {count} at once, {solver}", lambda _: work(cost), count)

    return contestant("host"), contestant("device")


def check_quality(networks: PyTree, symmetry: Symmetry, rows: np.ndarray) -> str:
    """A note on the distances reached, once ours is found to be no larger than PyTorch's on the same pairs.

    Ours is that of the alignment which is timed: with the sweeps of `mixup_aligned`.

    Raises:
        ValueError: ours is larger.
    """
    other = jax.tree.map(lambda leaf: np.asarray(leaf)[rows], networks)
    apart = float(np.mean(jax.jit(jax.vmap(squared_distance))(networks, other)))

    def near(group: Over) -> float:
        reach = jax.jit(jax.vmap(lambda a, b: align(a, b, symmetry, group=group, max_sweeps=SWEEPS).distance))
        return float(np.mean(reach(other, networks)))

    ours, full = near("signed"), near("full")
    many = split(networks)
    matched = [torch_align.match(many[i], many[j]) for i, j in enumerate(rows)]
    theirs = float(np.mean([distance(many[i], found.arrays) for i, found in enumerate(matched)]))
    sweeps = float(np.mean([found.sweeps for found in matched]))
    if not ours <= TOLERANCE * theirs:
        raise ValueError(
            f"signed alignment reached a mean squared distance of {ours:.4f} and PyTorch's {theirs:.4f}; expected no "
            f"more: the comparison is void, mend the alignment"
        )
    return (
        f"Mean squared distance of {len(rows)} pairs: {apart:.3f} apart, signed {ours:.4f} (PyTorch {theirs:.4f}, in "
        f"{sweeps:.1f} sweeps), with phases {full:.4f}."
    )


def distance(a: Sequence[Any], b: Sequence[Any]) -> float:
    return float(sum(((x - y) ** 2).sum() for x, y in zip(a, b, strict=True)))
