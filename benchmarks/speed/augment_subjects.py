"""The networks of the suite `augment`, each augmentation on both sides, and the check that both draw alike."""

import functools
import random
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float, PyTree

from benchmarks.torch import augment as torch_augment
from benchmarks.torch import loop as torch_loop
from benchmarks.torch.augment import torch
from wsjax.augment import CATALOGUE, batched, parse_batch
from wsjax.augment.compose import compiled
from wsjax.augment.grammar import read_spec
from wsjax.augment.presets import RECOMMENDED
from wsjax.augment.statistics import statistics_of
from wsjax.networks import Network
from wsjax.symmetry import Axes, Fixed, Group, Symmetry, symmetry_of
from wsjax.typing import Batch, Layer

BATCH = 256
CLASSES = 10
KINDS = 4  # networks that a batch repeats
W0 = 30.0


class Subject(NamedTuple):
    """Networks that both sides augment: stacked, labeled and with objects, and what they compute."""

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


def subject_of(name: str, count: int) -> Subject:
    """2-32-32-1 SIRENs; ReLU networks where scales act, three outputs where colors do."""
    if name.startswith("rescale"):
        return networks_of(Network("mlp", (2, 32, 32, 1), activation="relu"), count)
    return networks_of(Network("siren", (2, 32, 32, 3 if name in ("mix_channels", "gray") else 1), w0=(W0,)), count)


@functools.cache
def networks_of(network: Network, count: int) -> Subject:
    """Random networks of one architecture."""
    x = jnp.asarray(np.random.default_rng(0).uniform(-1, 1, (8, network.widths[0])), jnp.float32)
    decode = jax.jit(jax.vmap(lambda weights: network.apply(weights, x).reshape(-1)))
    return Subject(network.symmetry, labeled(network.symmetry, count), decode, network.w0)


def cnn(count: int) -> Subject:
    """Three convolutions of 3 x 3 to 16 channels with tanh, the mean over the image, ten classes."""
    names = ["color", "c1", "c2", "c3"]
    consumed = ["color", "c1*", "c2*"]
    layers = [Layer(Axes("row", "column", a, b), Axes(b, bias=True)) for a, b in zip(consumed, names[1:], strict=True)]
    symmetry = symmetry_of(
        (*layers, Layer(Axes("c3*", "out"), Axes("out", bias=True))),
        {
            "row": Fixed(3),
            "column": Fixed(3),
            "color": Fixed(1, "input"),
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

    return Subject(symmetry, labeled(symmetry, count), jax.jit(jax.vmap(apply)))


def labeled(symmetry: Symmetry, count: int) -> Batch:
    """Networks with every entry drawn, biases too, as zeros would hide a mistake.

    The batch repeats four networks, of two classes and two objects: whom one is mixed with shows in the outcome.
    """
    generator = np.random.default_rng(1)
    kind = np.arange(count) % KINDS
    # Deviations as unlike as those of fitted networks; equal ones would let one quantile of all pass for one of each.
    leaves = [generator.normal(0, 0.05 * (1 + i), (KINDS, *s))[kind] for i, s in enumerate(symmetry.shapes)]
    leaves = [leaf.astype(np.float32) for leaf in leaves]
    return jax.device_put(Batch(symmetry.unflatten(leaves), np.eye(CLASSES, dtype=np.float32)[kind // 2], kind % 2))


def pair(name: str, subject: Subject) -> Pair:
    """An augmentation of the catalogue, or the recommended pipeline, at its defaults."""
    batch = subject.batch
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(batch.weights)]
    networks = [torch_loop.tensors([leaf[i] for leaf in leaves]) for i in range(min(len(leaves[0]), BATCH))]
    if name == "pipeline":
        pipeline = parse_batch(RECOMMENDED, subject.symmetry)
        parts = [torch_side(step.name, dict(step.settings), subject) for step in read_spec(RECOMMENDED)]
        whole = lambda arrays: functools.reduce(lambda a, part: part(a), parts, arrays)
        return Pair(name, compiled(pipeline), lambda i: (whole(networks[i]), None), batch)
    entry, theirs = CATALOGUE[name], torch_side(name, {}, subject)
    known = {
        "symmetry": lambda: subject.symmetry,
        "statistics": lambda: jax.jit(statistics_of)(batch.weights),
        "pool": lambda: batch,
    }
    ours = Partial(entry.function, **{need: known[need]() for need in entry.required})
    if entry.level == "batch":
        pool = torch_pool(networks, batch)
        return Pair(name, compiled(ours), lambda i: theirs(pool, i), batch)
    lifted = batched(ours)
    on_weights = lambda key, batch: batch._replace(weights=lifted(key, batch.weights))
    return Pair(name, compiled(on_weights), lambda i: (theirs(networks[i]), None), batch)


def torch_side(name: str, settings: dict[str, Any], subject: Subject) -> Callable[..., Any]:
    """PyTorch's function of that name, at the catalogue's defaults but for some settings."""
    statistics = lambda: jax.jit(statistics_of)(subject.batch.weights)
    known = {
        "shift_phase": lambda: {"w0": subject.w0},
        "shift_turns": lambda: {"w0": subject.w0},
        "noise_shared": lambda: {"deviation": [float(d) for d in jax.tree.leaves(statistics().deviation)]},
        "towards_mean": lambda: {"mean": torch_loop.tensors(jax.tree.leaves(statistics().mean))},
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
        networks, torch_loop.tensors(list(label)), alike(label.argmax(1)), alike(np.asarray(batch.object))
    )


def seed(number: int) -> None:
    """Of all that the PyTorch side draws."""
    random.seed(number)
    torch.manual_seed(number)


LIMIT = 6.0  # standard errors between the two sides


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
