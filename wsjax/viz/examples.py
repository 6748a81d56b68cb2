"""What each augmentation of the catalogue makes of one network: the weights, before they are drawn."""

import functools
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from wsjax.augment import parse_batch
from wsjax.augment.grammar import needs
from wsjax.augment.register import Augmentation
from wsjax.augment.statistics import Statistics, statistics_of
from wsjax.data import Metadata, WeightDataset
from wsjax.typing import Batch, Key, Transform
from wsjax.viz.decode import Frame, decoded, frame_of

POOL = 16
# The program runs once here, and XLA would spend seconds on making it fast.
RUN_ONCE: dict[str, bool | str] = {"xla_backend_optimization_level": "0"}


class Examples(NamedTuple):
    """One augmentation's draws of one network, stacked, with a caption for each, and the settings they were drawn at.

    Where the networks' Symmetry does not allow the augmentation, `weights` is None and `refusal` says why.
    """

    entry: Augmentation
    weights: PyTree | None
    captions: tuple[str, ...] = ()
    refusal: str = ""
    settings: Mapping[str, Any] = MappingProxyType({})


def examples(
    dataset: WeightDataset, row: int, entries: Sequence[Augmentation], *, keys: Sequence[Key], draws: Sequence[int]
) -> list[Examples]:
    """Draws of a network under some augmentations, each with its own key and number of draws, made by one program.

    They show an augmentation's whole reach, at the default settings or those that the metadata implies: many more are
    drawn than asked for, put in order, and picked at even steps. An augmentation of one network is ordered by how much
    the image changes. One of batches is given this network beside another that it may mix with; it is ordered by how
    far the weights go from this network's, and the captions tell the label.
    """
    statistics = (
        jax.jit(statistics_of)(dataset.weights) if any("statistics" in needs(e.name) for e in entries) else None
    )
    found: list[Ready | str] = []
    for entry in entries:
        try:
            found.append(ready(dataset, row, entry, statistics))
        except ValueError as error:
            found.append(str(error))
    allowed = {i: one for i, one in enumerate(found) if isinstance(one, Ready)}
    kinds = tuple((entries[i].level, draws[i]) for i in allowed)
    inputs = [(one.pipeline, keys[i], one.batch) for i, one in allowed.items()]
    drawn = dict(zip(allowed, _draw(frame_of(dataset, None), kinds, inputs), strict=True))
    made = []
    for i, (entry, one) in enumerate(zip(entries, found, strict=True)):
        if isinstance(one, str):
            made.append(Examples(entry, None, refusal=one))
            continue
        shown: Batch = jax.tree.map(np.asarray, drawn[i])
        captions = tuple(caption(one.names, label) if entry.level == "batch" else "" for label in shown.label)
        made.append(Examples(entry, shown.weights, captions, settings={**entry.settings, **one.known}))
    return made


class Ready(NamedTuple):
    """What draws of an augmentation are made from; the batch is this network beside its partner."""

    pipeline: Transform[Batch]
    batch: Batch
    names: tuple[str, ...]
    known: dict[str, float]


def ready(dataset: WeightDataset, row: int, entry: Augmentation, statistics: Statistics | None) -> Ready:
    """Raises ValueError where the networks' Symmetry, or the data set, does not allow the augmentation."""
    pair = dataset.take(np.array([row, partner_of(dataset, row, entry.name)]))
    names, label = labels_of(pair)
    batch = Batch(jax.tree.map(np.asarray, pair.weights), label, object=np.zeros(2, np.int32))
    other = jax.tree.map(lambda x: x[1:], batch) if "pool" in needs(entry.name) else None
    known = settings_of(dataset.metadata, entry)
    spec = f"{entry.name}({', '.join(f'{name}={value!r}' for name, value in known.items())})"
    own = statistics if "statistics" in needs(entry.name) else None
    return Ready(parse_batch(spec, dataset.symmetry, own, other), batch, names, known)


@functools.partial(jax.jit, static_argnums=(0, 1), compiler_options=RUN_ONCE)
def _draw(
    frame: Frame, kinds: tuple[tuple[str, int], ...], inputs: Sequence[tuple[Transform[Batch], Key, Batch]]
) -> list[Batch]:
    """For each (level, draws) so many batches of one network, from the least changed to the most."""
    return [_drawn(frame, *kind, *given) for kind, given in zip(kinds, inputs, strict=True)]


def _drawn(frame: Frame, level: str, draws: int, pipeline: Transform[Batch], key: Key, batch: Batch) -> Batch:
    many = jax.vmap(lambda key: jax.tree.map(lambda x: x[0], pipeline(key, batch)))(jax.random.split(key, POOL * draws))
    if level == "network":
        decode = lambda weights: decoded(frame, weights)
        change = jax.vmap(decode)(many.weights) - decode(jax.tree.map(lambda x: x[0], batch.weights))[None]
        rank = jnp.mean(jnp.square(change), axis=(1, 2, 3))
    else:
        moves = jax.tree.map(lambda new, old: jnp.square(new - old[:1]), many.weights, batch.weights)
        rank = sum(jnp.sum(move, axis=range(1, move.ndim)) for move in jax.tree.leaves(moves))
    picked = jnp.argsort(rank, stable=True)[POOL // 2 :: POOL]
    return jax.tree.map(lambda x: x[picked], many)


def line_of(dataset: WeightDataset, row: int, shown: Examples) -> PyTree:
    """What stands in one line, stacked: the network, its draws, and last the network that it was mixed with, if any."""
    stack = [dataset.take(np.array([row])).weights, shown.weights]
    if shown.entry.level == "batch":
        stack.append(dataset.take(np.array([partner_of(dataset, row, shown.entry.name)])).weights)
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *stack)


def settings_of(metadata: Metadata, entry: Augmentation) -> dict[str, float]:
    """The settings of an augmentation that follow from how the networks are decoded: their offset and their range."""
    low, high = map(float, metadata.value_range)
    offset = 0.0 if metadata.network is None else float(metadata.network.offset)
    known = {"center": (low + high) / 2, "low": low, "high": high, "offset": offset}
    return {name: value for name, value in known.items() if entry.effect == "transforms" and name in entry.settings}


def partner_of(dataset: WeightDataset, row: int, name: str = "mixup") -> int:
    """The next network that an augmentation of batches may mix this one with: of another class, which shows best, or
    simply the next where all are of one; of the same class or image, or itself, where the augmentation needs it."""
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


def labels_of(pair: WeightDataset) -> tuple[tuple[str, ...], np.ndarray]:
    """Names of the classes, and the labels of two networks as distributions over them."""
    if pair.metadata.classes:
        return pair.metadata.classes, np.eye(len(pair.metadata.classes), dtype=np.float32)[np.asarray(pair.label)]
    return ("this", "other"), np.eye(2, dtype=np.float32)


def caption(names: tuple[str, ...], label: np.ndarray | Array) -> str:
    """A label in words, the largest part first; those after it are summed where there are more than two classes."""
    part = np.asarray(label, np.float64)
    first, *others = [i for i in np.argsort(-part) if part[i] > 1e-6]
    if not others:
        return f"{part[first]:.0%} “{names[first]}”"
    rest = "all others" if len(others) > 1 else f"“{names[others[0]]}”"
    return f"{part[first]:.0%} “{names[first]}”\n{1 - part[first]:.0%} {rest}"
