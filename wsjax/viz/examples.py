"""What each augmentation of the catalogue makes of one network: the weights, before they are drawn."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from wsjax.augment import Entry, from_spec, needs_pool, needs_statistics, statistics_of
from wsjax.data import Card, WeightDataset
from wsjax.typing import Batch, Key
from wsjax.viz.decode import decode_batch

POOL = 16
# The program of an augmentation runs once here, and XLA would spend seconds on making it fast.
RUN_ONCE: dict[str, bool | str] = {"xla_backend_optimization_level": "0"}


class Examples(NamedTuple):
    """One augmentation's draws of one network, stacked, with a caption for each, and the settings they were drawn at.

    Where the networks' Symmetry does not allow the augmentation, `weights` is None and `refusal` says why.
    """

    entry: Entry
    weights: PyTree | None
    captions: tuple[str, ...] = ()
    refusal: str = ""
    settings: Mapping[str, Any] = MappingProxyType({})


def examples(dataset: WeightDataset, row: int, entry: Entry, *, key: Key, draws: int) -> Examples:
    """Several draws of one augmentation that show its whole reach, its settings at their defaults or as the card asks.

    Many more are drawn than asked for, put in order, and picked at even steps. An augmentation of one network is
    ordered by how much the picture changes. One of batches sees this network beside another that it may mix with; it
    is ordered by how far the weights go from this network's, and the captions tell the label.

    Args:
        dataset: networks of one architecture.
        row: which of them.
        entry: of `wsjax.augment.CATALOGUE`.
        key: a typed key.
        draws: how many.
    """
    try:
        pair = dataset.take(np.array([row, partner_of(dataset, row, entry.name)]))
        names, label = labels_of(pair)
        batch = jax.tree.map(jnp.asarray, Batch(pair.weights, label, object=np.zeros(2, np.int32)))
        statistics = statistics_of(dataset.weights) if needs_statistics(entry.name) else None
        other = jax.tree.map(lambda x: x[1:], batch) if needs_pool(entry.name) else None
        known = settings_of(dataset.card, entry)
        spec = f"{entry.name}({', '.join(f'{name}={value!r}' for name, value in known.items())})"
        pipeline = from_spec(spec, dataset.symmetry, statistics, other)
    except ValueError as error:
        return Examples(entry, None, refusal=str(error))
    keys = jax.random.split(key, POOL * draws)
    draw = jax.vmap(lambda key, batch: jax.tree.map(lambda x: x[0], pipeline(key, batch)), in_axes=(0, None))
    many = jax.jit(draw, compiler_options=RUN_ONCE)(keys, batch)
    if entry.level == "network":
        change = decode_batch(dataset, many.weights) - decode_batch(dataset, pair.weights)[:1]
        rank = jnp.mean(jnp.square(change), axis=(1, 2, 3))
    else:
        moves = jax.tree.map(lambda new, old: jnp.square(new - old[:1]), many.weights, batch.weights)
        rank = sum(jnp.sum(move, axis=range(1, move.ndim)) for move in jax.tree.leaves(moves))
    picked = np.argsort(np.asarray(rank), kind="stable")[POOL // 2 :: POOL]
    captions = tuple(caption(names, many.label[i]) if entry.level == "batch" else "" for i in picked)
    shown = jax.tree.map(lambda x: np.asarray(x)[picked], many.weights)
    return Examples(entry, shown, captions, settings={**entry.settings, **known})


def line_of(dataset: WeightDataset, row: int, shown: Examples) -> PyTree:
    """What stands in one line, stacked: the network, its draws, and last the network that it was mixed with, if any."""
    stack = [dataset.take(np.array([row])).weights, shown.weights]
    if shown.entry.level == "batch":
        stack.append(dataset.take(np.array([partner_of(dataset, row, shown.entry.name)])).weights)
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *stack)


def settings_of(card: Card, entry: Entry) -> dict[str, float]:
    """The settings of an augmentation that follow from how the networks are decoded: their offset and their range.

    Example:
        >>> from wsjax.augment import CATALOGUE
        >>> from wsjax.networks import Network
        >>> net = Network("siren", (2, 8, 1), offset=0.5)
        >>> card = Card("tiny", net, net.symmetry, value_range=(-1.0, 1.0))
        >>> settings_of(card, CATALOGUE["invert"]), settings_of(card, CATALOGUE["rotate"])
        ({'low': -1.0, 'high': 1.0, 'offset': 0.5}, {})
    """
    low, high = map(float, card.value_range)
    offset = 0.0 if card.network is None else float(card.network.offset)
    known = {"centre": (low + high) / 2, "low": low, "high": high, "offset": offset}
    return {name: value for name, value in known.items() if entry.effect == "transforms" and name in entry.settings}


def partner_of(dataset: WeightDataset, row: int, name: str = "mixup") -> int:
    """The next network that an augmentation of batches may mix this one with, to be seen well: of another class, or
    simply the next where all are of one; of the same class or image, or itself, where the augmentation wants it so.

    Raises:
        ValueError: no other network of that class or image.
    """
    if name in ("mixup_self", "label_smoothing"):
        return row
    rows = np.roll(np.arange(len(dataset)), -row)
    label = np.asarray(dataset.label)[rows]
    fits, kind = label != label[0], "data set"
    if name == "mixup_within_class":
        fits, kind = ~fits, "class"
    elif name == "mixup_views":
        image = dataset.columns.get("image", np.arange(len(dataset)))[rows]
        fits, kind = image == image[0], "image"
    elif not fits.any():
        fits = ~fits
    others = rows[1:][fits[1:]]
    if not len(others):
        raise ValueError(f"{name} needs another network of the same {kind}. Fit several.")
    return int(others[0])


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
        >>> caption(("cat", "dog", "bat"), jnp.array([1.0, 0.0, 0.0]))
        '100% “cat”'
    """
    share = np.asarray(label, np.float64)
    first, *others = [i for i in np.argsort(-share) if share[i] > 1e-6]
    if not others:
        return f"{share[first]:.0%} “{names[first]}”"
    rest = "all others" if len(others) > 1 else f"“{names[others[0]]}”"
    return f"{share[first]:.0%} “{names[first]}”\n{1 - share[first]:.0%} {rest}"
