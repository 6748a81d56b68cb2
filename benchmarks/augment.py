"""Suite `augment`: every augmentation of the catalogue, microseconds a network, and what the pipeline costs a step.

wsjax        one compiled program for the whole batch, weights where the device has them, another key each call
torch        the same from its definition, one network at a time, one thread, as a loader's worker does it

Both sides must draw from one distribution of weights, labels and functions; that is checked before anything counts.
`mixup_aligned` stands in the suite `align`.
"""

import functools
import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float, PyTree

from benchmarks import harness, torch_augment
from benchmarks.harness import Contestant, Row, Timing
from benchmarks.torch_augment import torch
from wsjax.augment import CATALOGUE, RECOMMENDED, batched, from_spec, read_spec, statistics_of
from wsjax.data import WeightDataset
from wsjax.networks import Network
from wsjax.symmetry import Axes, Fixed, Group, Symmetry, symmetry_of
from wsjax.train import Arrays, Plan, Trial
from wsjax.train.loop import start
from wsjax.train.step import advance
from wsjax.typing import Batch, Layer, Transform

NAMES = tuple(name for name in CATALOGUE if name != "mixup_aligned")
GROWING = ("pipeline", "permute", "flip_signs", "noise", "prune", "rotate")
ON_CNN = GROWING[1:-1]  # a convolution's input is a colour, which nothing turns
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
UNEXPLAINED = 1.5  # times the mark, from where on PyTorch's time needs a word
ASKED, ASKED_OF_SHORT, SHORT = 20.0, 5.0, 10.0  # times faster; than what PyTorch does in under so many us
SHARE = 10.0  # the pipeline is to take at most one part in so many of a step

CLASSES = 10
W0 = 30.0
BATCH, STEP_BATCH = 256, 128
KINDS, LIMIT = 4, 6.0  # networks that the check draws from; standard errors that it allows


@dataclass(frozen=True)
class Size:
    """How much is measured: entries, rounds, draws of the check, growth, and the readers of the training step."""

    names: tuple[str, ...] = NAMES
    rounds: int = 7
    draws: int = 2048
    growing: tuple[str, ...] = GROWING
    on_cnn: tuple[str, ...] = ON_CNN
    widths: tuple[tuple[int, int], ...] = ((128, 64), (512, 64))  # hidden width, networks
    batches: tuple[int, ...] = (1, 16, 4096)
    channels: tuple[int, ...] = (8, 16)  # of the demonstration's reader, and of the default one
    steps: int = 20
    in_step: tuple[str, ...] = ("pipeline", "pipeline_mixup")


QUICK = Size(
    rounds=3,
    draws=512,
    growing=("pipeline",),
    on_cnn=("permute",),
    widths=((64, 16),),
    batches=(1,),
    channels=(8,),
    steps=4,
    in_step=(),
)


class Subject(NamedTuple):
    """Networks that both sides augment: stacked, labelled and with objects, and what they compute."""

    symmetry: Symmetry
    batch: Batch
    decode: Callable[[PyTree], Array]
    w0: tuple[float, ...] = ()


class Pair(NamedTuple):
    """One augmentation on both sides: `ours(key, batch)`, compiled, and `theirs(i)` of the batch's i-th network."""

    name: str
    ours: Callable[[Array, Batch], Batch]
    theirs: Callable[[int], tuple[list[Any], Any]]
    batch: Batch


def run(*, quick: bool) -> dict[str, Any]:
    """Measure on two cores, or on an accelerator beside PyTorch on one core, and report."""
    harness.use_cores(2)
    jax.config.update("jax_cpu_enable_async_dispatch", False)
    described = harness.machine()
    rows, timings, notes = contest(QUICK if quick else Size(), described["load"])
    return harness.report("augment", quick=quick, described=described, rows=rows, timings=timings, notes=notes)


def contest(size: Size, load: float) -> tuple[list[Row], dict[str, Timing], list[str]]:
    """Rows, every contestant's times, and notes.

    Args:
        size: how much to measure.
        load: the machine's load average before; a note may cite it.

    Raises:
        ValueError: the two sides do not draw from one distribution, so their times do not compare.
    """
    torch.set_num_threads(1)
    timings: dict[str, Timing] = {}
    rows, worst = [], 0.0
    for row_name, name, subject in cases(size):
        both = pair(name, subject)
        ours, theirs = wsjax_contestant(row_name, both, size.rounds), torch_contestant(row_name, both)
        timings |= harness.measure([ours, theirs], size.rounds)
        rows.append(_row(row_name, timings, ours.name, theirs.name))
        if len(both.batch.label) == BATCH:
            worst = max(worst, check_same(name, *draws(both, subject, size.draws)))
    quality = (
        f"Weights, labels and functions of {size.draws} draws a side, means and mean squares: within {worst:.1f} "
        f"standard errors of each other ({LIMIT:g} allowed)."
    )
    for name in (n for n in MARKS if n in size.names):
        spent = 1e6 * timings[_torch(f"augment/{name}/b{BATCH}")].seconds
        rows.append(harness.compare(f"augment/{name}/torch_vs_mark", spent, "the earlier mark", MARKS[name], "us"))
    for channels in size.channels:
        shares, spent = step_rows(size, channels)
        rows, timings = [*rows, *shares], timings | spent
    return rows, timings, [quality, *verdicts(rows), *explanations(rows, load)]


def cases(size: Size) -> Iterator[tuple[str, str, Subject]]:
    """Each row's name, its augmentation and its networks: the catalogue, wider networks, a CNN, other batches."""
    for name in ("pipeline", *size.names):
        yield f"augment/{name}/b{BATCH}", name, subject_of(name, BATCH)
    for width, count in size.widths:
        wide = networks_of(Network("siren", (2, width, width, 1), w0=(W0,)), count)
        for name in size.growing:
            yield f"augment/{name}/h{width}_b{count}", name, wide
    convolutional = cnn(BATCH)
    for name in size.on_cnn:
        yield f"augment/{name}/cnn_b{BATCH}", name, convolutional
    for count in size.batches:
        for name in size.growing:
            yield f"augment/{name}/b{count}", name, subject_of(name, count)


def _row(name: str, timings: dict[str, Timing], ours: str, theirs: str, unit: str = "us") -> Row:
    return harness.compare(name, 1e6 * timings[ours].seconds, theirs, 1e6 * timings[theirs].seconds, unit)


def _torch(row_name: str) -> str:
    return f"torch {row_name.removeprefix('augment/')}"


# --- what is augmented ---


def subject_of(name: str, count: int) -> Subject:
    """2-32-32-1 SIRENs; ReLU networks where scales act, three outputs where colours do."""
    if name.startswith("rescale"):
        return networks_of(Network("mlp", (2, 32, 32, 1), activation="relu"), count)
    return networks_of(Network("siren", (2, 32, 32, 3 if name in ("mix_channels", "grey") else 1), w0=(W0,)), count)


@functools.cache
def networks_of(network: Network, count: int) -> Subject:
    """Random networks of one architecture."""
    x = jnp.asarray(np.random.default_rng(0).uniform(-1, 1, (8, network.widths[0])), jnp.float32)
    decode = jax.jit(jax.vmap(lambda weights: network.apply(weights, x).reshape(-1)))
    return Subject(network.symmetry, labelled(network.symmetry, count), decode, network.w0)


def cnn(count: int) -> Subject:
    """Three convolutions of 3 x 3 to 16 channels with tanh, the mean over the picture, ten classes."""
    names = ["colour", "c1", "c2", "c3"]
    consumed = ["colour", "c1*", "c2*"]
    layers = [Layer(Axes("row", "column", a, b), Axes(b, bias=True)) for a, b in zip(consumed, names[1:], strict=True)]
    symmetry = symmetry_of(
        (*layers, Layer(Axes("c3*", "out"), Axes("out", bias=True))),
        {
            "row": Fixed(3),
            "column": Fixed(3),
            "colour": Fixed(1, "input"),
            **{name: Group(16, "tanh") for name in names[1:]},
            "out": Fixed(10, "output"),
        },
    )
    image = jnp.asarray(np.random.default_rng(0).uniform(-1, 1, (1, 6, 6, 1)), jnp.float32)

    def apply(weights: PyTree) -> Array:
        *hidden, last = weights
        y = image
        for layer in hidden:
            y = jax.lax.conv_general_dilated(
                y, layer.kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
            )
            y = jnp.tanh(y + layer.bias[None, None, None, :])
        return (jnp.mean(y, axis=(1, 2)) @ last.kernel + last.bias[None, :]).reshape(-1)

    return Subject(symmetry, labelled(symmetry, count), jax.jit(jax.vmap(apply)))


def labelled(symmetry: Symmetry, count: int) -> Batch:
    """Networks with every entry drawn, biases too, as zeros would hide a mistake.

    The batch repeats four networks, of two classes and two objects: whom one is mixed with shows in the outcome.
    """
    generator = np.random.default_rng(1)
    kind = np.arange(count) % KINDS
    # Deviations as unlike as those of fitted networks; equal ones would let one quantile of all pass for one of each.
    leaves = [generator.normal(0, 0.05 * (1 + i), (KINDS, *s))[kind] for i, s in enumerate(symmetry.shapes)]
    weights = symmetry.unflatten([jnp.asarray(leaf, jnp.float32) for leaf in leaves])
    return Batch(weights, jax.nn.one_hot(kind // 2, CLASSES), jnp.asarray(kind % 2))


# --- the two sides ---


def pair(name: str, subject: Subject) -> Pair:
    """An augmentation of the catalogue, or the recommended pipeline, at its defaults."""
    batch = subject.batch
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(batch.weights)]
    networks = [torch_augment.tensors([leaf[i] for leaf in leaves]) for i in range(min(len(leaves[0]), BATCH))]
    if name == "pipeline":
        pipeline = from_spec(RECOMMENDED, subject.symmetry)
        parts = [torch_side(step.name, dict(step.settings), subject) for step in read_spec(RECOMMENDED)]
        whole = lambda arrays: functools.reduce(lambda a, part: part(a), parts, arrays)
        return Pair(name, jax.jit(lambda key, batch: pipeline(key, batch)), lambda i: (whole(networks[i]), None), batch)
    entry, theirs = CATALOGUE[name], torch_side(name, {}, subject)
    known = {"symmetry": lambda: subject.symmetry, "statistics": lambda: statistics_of(batch.weights)}
    ours = Partial(entry.function, **{need: known[need]() for need in entry.needs if need in known})
    if entry.level == "batch":
        pool = torch_pool(networks, batch)
        return Pair(name, jax.jit(ours), lambda i: theirs(pool, i), batch)
    lifted = batched(ours)
    on_weights = lambda key, batch: batch._replace(weights=lifted(key, batch.weights))
    return Pair(name, jax.jit(on_weights), lambda i: (theirs(networks[i]), None), batch)


def torch_side(name: str, settings: dict[str, Any], subject: Subject) -> Callable[..., Any]:
    """PyTorch's function of that name, at the catalogue's defaults but for some settings."""
    statistics = lambda: statistics_of(subject.batch.weights)
    known = {
        "shift_phase": lambda: {"w0": subject.w0},
        "shift_turns": lambda: {"w0": subject.w0},
        "noise_shared": lambda: {"deviation": [float(d) for d in jax.tree.leaves(statistics().deviation)]},
        "towards_mean": lambda: {"mean": torch_augment.tensors(jax.tree.leaves(statistics().mean))},
    }
    bound = known[name]() if name in known else {}
    return functools.partial(getattr(torch_augment, name), **{**CATALOGUE[name].settings, **settings, **bound})


def torch_pool(networks: Sequence[Sequence[Any]], batch: Batch) -> torch_augment.Pool:
    """All networks of a batch, with the rows of each one's class and object."""

    def alike(numbers: np.ndarray) -> list[list[int]]:
        rows = {n: np.flatnonzero(numbers == n).tolist() for n in np.unique(numbers)}
        return [rows[n] for n in numbers]

    label = np.asarray(batch.label)
    return torch_augment.Pool(
        networks, torch_augment.tensors(list(label)), alike(label.argmax(1)), alike(np.asarray(batch.object))
    )


def wsjax_contestant(row_name: str, both: Pair, rounds: int) -> Contestant:
    """Whole batches, each with a key of its own; a short one several times a round."""
    count = len(both.batch.label)
    calls = min(64, max(1, 2048 // count))
    keys = list(jax.random.split(jax.random.key(0), rounds * calls))

    def run(number: int) -> None:
        for key in keys[number * calls : (number + 1) * calls]:
            jax.block_until_ready(both.ours(key, both.batch))

    return Contestant(f"wsjax {row_name.removeprefix('augment/')}", run, count * calls)


def torch_contestant(row_name: str, both: Pair) -> Contestant:
    """One network after another, at most `BATCH` of them: one more takes as long as the last."""
    count = min(len(both.batch.label), BATCH)
    passes = max(1, 64 // count)

    def run(number: int) -> None:
        seed(number)
        with torch.no_grad():
            for _ in range(passes):
                for i in range(count):
                    both.theirs(i)

    return Contestant(_torch(row_name), run, count * passes)


def seed(number: int) -> None:
    """Of all that the PyTorch side draws."""
    random.seed(number)
    torch.manual_seed(number)


# --- the same work ---


def draws(
    both: Pair, subject: Subject, count: int
) -> tuple[Float[np.ndarray, "draws numbers"], Float[np.ndarray, "draws numbers"]]:
    """What many draws make of one network, on both sides: its entries, its label, and its values at some points."""
    first = np.arange(0, len(both.batch.label), KINDS)
    keys = jax.random.split(jax.random.key(1), -(-count // len(first)))
    ours = [jax.tree.map(lambda x: np.asarray(x)[first], both.ours(key, both.batch)) for key in keys]
    mine = jax.tree.map(lambda *parts: np.concatenate(parts)[:count], *ours)

    seed(0)
    with torch.no_grad():
        theirs = [both.theirs(int(i)) for i in np.resize(first, count)]
    leaves = [np.stack([arrays[j].numpy() for arrays, _ in theirs]) for j in range(len(subject.symmetry.axes))]
    labels = [mine.label[0] if label is None else label.numpy() for _, label in theirs]
    return _numbers(mine, subject), _numbers(Batch(subject.symmetry.unflatten(leaves), np.stack(labels)), subject)


def _numbers(batch: Batch, subject: Subject) -> np.ndarray:
    parts = [*jax.tree.leaves(batch.weights), batch.label, subject.decode(batch.weights)]
    return np.concatenate([np.asarray(part, np.float64).reshape(len(part), -1) for part in parts], axis=1)


def check_same(name: str, ours: np.ndarray, theirs: np.ndarray) -> float:
    """The largest difference between both sides' means and mean squares, in its standard errors.

    Args:
        name: of the augmentation.
        ours, theirs: as many draws, in rows, of the same numbers.

    Raises:
        ValueError: it is above `LIMIT`.
    """
    rounding = 1e-4 * np.sqrt(np.mean(ours**2))
    apart = []
    for a, b in ((ours, theirs), (ours**2, theirs**2)):
        error = np.sqrt((a.var(axis=0) + b.var(axis=0)) / len(a)) + rounding
        apart.append(np.abs(a.mean(axis=0) - b.mean(axis=0)) / error)
    worst = float(np.max(apart))
    if not worst <= LIMIT:
        raise ValueError(
            f"{name} of wsjax and of PyTorch differ by {worst:.1f} standard errors over {len(ours)} draws; expected at "
            f"most {LIMIT:g}: they do not do the same work, and the comparison is void. Mend the one that is wrong"
        )
    return worst


# --- the share of a training step ---


def step_rows(size: Size, channels: int) -> tuple[list[Row], dict[str, Timing]]:
    """For a DWS reader, pipelines alone against one step without, and the step with them against that without."""
    subject = subject_of("pipeline", STEP_BATCH)
    specs = {"pipeline": RECOMMENDED, "pipeline_mixup": f"{RECOMMENDED} | mixup"}
    plain = step_contestant("", f"step of DWS {channels}", subject, channels, size)
    steps = {n: step_contestant(specs[n], f"{plain.name}, {n}", subject, channels, size) for n in size.in_step}
    alone = {
        name: alone_contestant(spec, f"{name} of a DWS {channels} step", subject, size) for name, spec in specs.items()
    }
    timings = harness.measure([plain, *steps.values(), *alone.values()], size.rounds)
    where = "" if channels == 8 else f"/channels_{channels}"
    shares = [_row(f"augment/{n}_share_of_step{where}", timings, c.name, plain.name) for n, c in alone.items()]
    whole = [_row(f"augment/{n}_in_step/channels_{channels}", timings, c.name, plain.name) for n, c in steps.items()]
    return [*shares, *whole], timings


def step_contestant(spec: str, name: str, subject: Subject, channels: int, size: Size) -> Contestant:
    """Training steps as `wsjax train` runs them, all in one compiled program and one step an epoch."""
    label = np.arange(STEP_BATCH) % CLASSES
    networks = [jax.tree.map(lambda leaf, i=i: np.asarray(leaf[i]), subject.batch.weights) for i in range(STEP_BATCH)]
    dataset = WeightDataset.from_networks(networks, label, symmetry=subject.symmetry)
    plan = Plan(
        "dws", {"channels": channels}, spec, epochs=size.steps, evaluate_every=size.steps, batch_size=STEP_BATCH
    )
    state, frozen = start(dataset.card, plan, [Trial()])
    arrays, static = eqx.partition(frozen, eqx.is_array)
    training = Arrays(subject.batch.weights, jnp.asarray(label, jnp.int32), subject.batch.object)
    few = jax.tree.map(lambda leaf: leaf[:1], training)
    step = functools.partial(
        advance,
        plan,
        static,
        arrays,
        from_spec(spec, subject.symmetry),
        train=training,
        validation=few,
        classes=len(dataset.card.classes),
    )
    states = [state._replace(key=jax.random.key(i)[None]) for i in range(size.rounds)]

    def run(number: int) -> None:
        jax.block_until_ready(step(states=states[number]))

    return Contestant(name, run, size.steps)


def alone_contestant(spec: str, name: str, subject: Subject, size: Size) -> Contestant:
    """A pipeline on one step's batch, in a program of its own that keeps its settings as arguments."""
    pipeline: Transform[Batch] = from_spec(spec, subject.symmetry)
    transform = jax.jit(lambda pipeline, key, batch: pipeline(key, batch))
    keys = list(jax.random.split(jax.random.key(2), size.rounds * size.steps))

    def run(number: int) -> None:
        for key in keys[number * size.steps : (number + 1) * size.steps]:
            jax.block_until_ready(transform(pipeline, key, subject.batch))

    return Contestant(name, run, size.steps)


# --- what there is to say ---


def asked(row: Row) -> float | None:
    """How many times faster a row is asked to be; None where nothing is."""
    _, _, *case = row.name.split("/")
    if "share_of_step" in row.name:
        return SHARE
    if case == [f"b{BATCH}"]:
        return ASKED if row.against_value >= SHORT else ASKED_OF_SHORT
    return None


def verdicts(rows: Iterable[Row]) -> list[str]:
    """Which rows are below what is asked of them."""
    missed = [f"{r.name} {r.ratio:.3g} of {goal:g}" for r in rows if (goal := asked(r)) is not None and r.ratio < goal]
    return [
        f"Asked: {ASKED:g} times faster at b{BATCH}, {ASKED_OF_SHORT:g} where PyTorch takes under {SHORT:g} us; shares "
        f"of a step below {100 / SHARE:g} %, a ratio of {SHARE:g}. Below it: {', '.join(missed) or 'none'}."
    ]


def explanations(rows: Iterable[Row], load: float) -> list[str]:
    """Why PyTorch takes more than 1.5 times a mark, where it does: its operations, and what the least of them takes."""
    found = []
    for row in rows:
        if not (row.name.endswith("torch_vs_mark") and row.value > UNEXPLAINED * row.against_value):
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
