"""What each augmentation of the catalogue makes of one network: the weights, before they are drawn."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from wsjax.augment import Entry, from_spec
from wsjax.data import WeightDataset
from wsjax.typing import Batch, Key
from wsjax.viz.decode import decode_batch

POOL = 16
# The program of an augmentation runs once here, and XLA would spend seconds on making it fast.
RUN_ONCE: dict[str, bool | str] = {"xla_backend_optimization_level": "0"}


class Examples(NamedTuple):
    """One augmentation's draws of one network, stacked, with a caption for each.

    Where the networks' Symmetry does not allow the augmentation, `weights` is None and `refusal` says why.
    """

    entry: Entry
    weights: PyTree | None
    captions: tuple[str, ...] = ()
    refusal: str = ""


def examples(dataset: WeightDataset, row: int, entry: Entry, *, key: Key, draws: int) -> Examples:
    """Several draws of one augmentation, its settings at their defaults, that show its whole reach.

    Many more are drawn than asked for, put in order, and picked at even steps. An augmentation of one network is
    ordered by how much the picture changes. One of batches sees this network beside the next one of another class;
    it is ordered by the share of this network's class in the label, and the captions tell the label.

    Args:
        dataset: networks of one architecture.
        row: which of them.
        entry: of `wsjax.augment.CATALOGUE`.
        key: a typed key.
        draws: how many.
    """
    try:
        pipeline = from_spec(entry.name, dataset.symmetry)
    except ValueError as error:
        return Examples(entry, None, refusal=str(error))
    pair = dataset.take(np.array([row, partner_of(dataset, row)]))
    names, label = labels_of(pair)
    batch = jax.tree.map(jnp.asarray, Batch(pair.weights, label))
    keys = jax.random.split(key, POOL * draws)
    draw = jax.vmap(lambda key, batch: jax.tree.map(lambda x: x[0], pipeline(key, batch)), in_axes=(0, None))
    many = jax.jit(draw, compiler_options=RUN_ONCE)(keys, batch)
    if entry.level == "network":
        change = decode_batch(dataset, many.weights) - decode_batch(dataset, pair.weights)[:1]
        rank = jnp.mean(jnp.square(change), axis=(1, 2, 3))
    else:
        rank = -many.label @ label[0]
    picked = np.argsort(np.asarray(rank), kind="stable")[POOL // 2 :: POOL]
    captions = tuple(caption(names, many.label[i]) if entry.level == "batch" else "" for i in picked)
    return Examples(entry, jax.tree.map(lambda x: np.asarray(x)[picked], many.weights), captions)


def partner_of(dataset: WeightDataset, row: int) -> int:
    """The next network of another class, or simply the next where all are of one."""
    label = np.roll(np.asarray(dataset.label), -row)
    other = np.flatnonzero(label != label[0])
    return int((row + (other[0] if len(other) else 1)) % len(label))


def labels_of(pair: WeightDataset) -> tuple[tuple[str, ...], Array]:
    """Names of the classes, and the labels of two networks as distributions over them."""
    if pair.card.classes:
        return pair.card.classes, jax.nn.one_hot(jnp.asarray(pair.label), len(pair.card.classes))
    return ("this", "other"), jnp.eye(2)


def caption(names: tuple[str, ...], label: Array) -> str:
    """A label in words, the largest share first; shares of more than two classes are not told apart.

    Example:
        >>> caption(("cat", "dog"), jnp.array([0.2, 0.8]))
        '80% “dog”\\n20% “cat”'
        >>> caption(("cat", "dog", "bat"), jnp.array([0.9, 0.05, 0.05]))
        '90% “cat”\\n10% all others'
    """
    share = np.asarray(label, np.float64)
    first, second = np.argsort(-share)[:2]
    several = np.count_nonzero(share > 1e-6) > 2
    rest = "all others" if several else f"“{names[second]}”"
    return f"{share[first]:.0%} “{names[first]}”\n{1 - share[first]:.0%} {rest}"
