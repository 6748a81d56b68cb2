"""Contrastive pre-training: a task without labels, which tells networks apart by two augmented views of each."""

from dataclasses import dataclass
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int, PyTree

from wsjax.augment.grammar import read_spec
from wsjax.data import WeightDataset
from wsjax.errors import check_number, listing
from wsjax.floats import on_device
from wsjax.train.config import TrainConfig
from wsjax.train.model import read_all
from wsjax.train.task import CONTRASTIVE_ACCURACY, Metric, Task, of_classes, rows_of
from wsjax.typing import Batch, Key, Reader, Scalar, Transform


@dataclass(frozen=True)
class Contrastive(Task):
    """Move the two views of a network together, away from those of the others: SimCLR on weights.

    Each step draws the augmentation twice for a batch, and the loss is `nt_xent` of the model's outputs. Networks of
    one object (equal numbers in the column "image") are neither moved together nor apart. Of a reader of the library
    the head is SimCLR's projection: `features_of` gives what to keep. Labels are not used.

    The metric is the fraction of views of a split whose nearest in a batch of B networks is their own network's other
    view, for which chance is 1 / (2B - 1). An evaluation always draws the same views. The last epoch is kept.

    Args:
        temperature: of the loss; a small one compares with the nearest networks alone.

    Raises:
        ValueError: a temperature that is not positive; in a training an empty augmentation, as both views would be the
            same, one that works on labels, or batches or splits of a single network.

    Source: SimCLR, arXiv 2002.05709; on weights, arXiv 2301.12780, whose views are `PRESETS["dwsnets_contrastive"]`.

    Example:
        `networks` is a data set of 40 networks.

        >>> from wsjax import models, train
        >>> make = lambda key: models.FlatMLP(networks.symmetry, 8, key=key)
        >>> config = train.TrainConfig("rotate(max_degrees=30)", epochs=2, batch_size=8)
        >>> result = train.fit(networks, make, config, task=Contrastive(), progress=False)
        >>> features_of(result.model(), networks.weights).shape   # the weights of each network
        (40, 37)
    """

    metric: ClassVar[Metric] = CONTRASTIVE_ACCURACY
    selects: ClassVar[bool] = False
    temperature: float = 0.1

    def __post_init__(self):
        check_number("temperature", self.temperature, low=0, open_low=True)

    def check(self, dataset: WeightDataset, config: TrainConfig) -> None:
        for name, expected, reason in (
            ("microbatches", 1, "a network is distinguished from all others of its batch"),
            ("freeze", None, "what is kept are the features, which the trunk computes"),
        ):
            if (found := getattr(config, name)) != expected:
                raise ValueError(f"{name} is {found!r}; expected {expected!r} in a contrastive training: {reason}")
        if not read_spec(config.augment):
            raise ValueError(
                "augment is empty, so that both views of a network are the same; expected a SPEC that changes "
                "networks, such as 'noise(std=0.2) | dropout(rate=0.5)'"
            )
        if labeled := of_classes(config.augment):
            raise ValueError(
                f"{listing(labeled)} in {config.augment!r} works on labels; expected steps on weights, as a "
                f"contrastive training uses no label: leave it out"
            )
        name, more = dataset.metadata.name, "have more networks in it"
        for what, found, way_out in (
            ("batch_size", config.batch_size, "make batches larger"),
            (f"the training split of {name}", len(rows_of(dataset, "train")), more),
            (f"the validation split of {name}", len(rows_of(dataset, "validation")), more),
        ):
            if found < 2:
                raise ValueError(
                    f"{what} is {found}; expected 2 networks at least, as a network is distinguished from others of "
                    f"its batch: {way_out}"
                )

    def labels(self, part: WeightDataset, split_name: str) -> np.ndarray:
        """What tells networks apart: their objects, or where none are known their rows."""
        return np.asarray(part.columns.get("image", np.arange(len(part))), np.int32)

    def drawn(self, augment: Transform[Batch], key: Key, batch: Batch) -> Batch:
        """Two views of the batch, one after the other."""
        one, other = (augment(jax.random.fold_in(key, i), batch).weights for i in range(2))
        both = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), one, other)
        return Batch(both, jnp.tile(batch.label, 2))

    def loss(self, outputs: Float[Array, "views outputs"], label: Int[Array, " views"]) -> Float[Array, ""]:
        return nt_xent(outputs, label[: len(label) // 2], self.temperature)

    def score(self, outputs: Array, label: Array) -> Float[Array, ""]:
        """Raises ValueError, as its metric needs two views of each network."""
        raise ValueError(
            "a contrastive training has no score of outputs alone; expected a task with labels: train one on what "
            "features_of gives, or read result.scores() of the training"
        )

    def scores(
        self, model: Reader, augment: Transform[Batch], key: Key, *splits: Any, batch_size: int
    ) -> list[Float[Array, ""]]:
        """Batches are whole; what is left over beyond them is not used, and a smaller split is a batch of its own."""
        return [self._agreement(model, augment, key, split, batch_size) for split in splits]

    def _agreement(self, model: Reader, augment: Transform[Batch], key: Key, split: Any, batch_size: int) -> Array:
        networks = len(split.label)
        size = min(batch_size, networks)
        rows = jnp.arange(networks // size * size).reshape(-1, size)

        def right(places: tuple[Int[Array, ""], Int[Array, " batch"]]) -> Float[Array, ""]:
            number, chosen = places
            views = self.drawn(augment, jax.random.fold_in(key, number), split.batch(chosen, self))
            # The barrier keeps XLA from drawing the augmentation anew in every kernel that takes a weight.
            outputs = jax.vmap(model)(jax.lax.optimization_barrier(views.weights))
            return jnp.mean(agree(outputs, views.label[:size]).astype(jnp.float32))

        return jnp.mean(jax.lax.map(right, (jnp.arange(len(rows)), rows)))

    def to_json(self) -> dict[str, Any]:
        return {"name": "contrastive", "temperature": self.temperature}


def features_of(reader: Reader, weights: PyTree) -> Float[Array, "networks features"]:
    """What the head of a reader, or of another model with a method `features`, is applied to, for stacked networks."""
    return _features(reader, on_device(weights))


@eqx.filter_jit
def _features(reader: Reader, weights: PyTree) -> Array:
    # Not the bound method: a compiled function is known by what it is given.
    return read_all(lambda w: reader.features(w), weights)[0]  # type: ignore[attr-defined]


def nt_xent(
    embeddings: Float[Array, "views size"], objects: Int[Array, " networks"], temperature: Scalar = 0.1
) -> Float[Array, ""]:
    """The normalized, temperature-scaled cross-entropy of two views of each of B networks.

    `-mean_i log(exp(s_ij / T) / (exp(s_ij / T) + sum_k exp(s_ik / T)))` over all 2B views i: s are cosines, j is the
    other view of i's network, and k runs over the views of networks of another object than i's. Where all B
    objects differ that is the loss of the paper. One product of matrices gives it; `optax.losses.ntxent` compares all
    pairs entry by entry, which on a CPU takes as long as the rest of a step.

    The embeddings are those of the networks in one view, then of the same networks in the same order in the other.

    Source: SimCLR, arXiv 2002.05709, equation 1. That two networks of one object do not repel each other is ours.
    """
    logits = _cosines(embeddings, objects) / jnp.asarray(temperature, embeddings.dtype)
    return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, _partners(len(objects))))


def agree(embeddings: Float[Array, "views size"], objects: Int[Array, " networks"]) -> Bool[Array, " views"]:
    """Whether each view's nearest by cosine, among those that the loss compares, is its network's other view."""
    return jnp.argmax(_cosines(embeddings, objects), axis=1) == _partners(len(objects))


def _partners(networks: int) -> Int[Array, " views"]:
    """Where each view's other one stands."""
    return (jnp.arange(2 * networks) + networks) % (2 * networks)


def _cosines(x: Float[Array, "views size"], objects: Int[Array, " networks"]) -> Float[Array, "views views"]:
    """The cosines of all pairs of views; -inf for what is not compared, itself and others of the same object."""
    squares = jnp.sum(jnp.square(x), axis=1, keepdims=True)
    unit = x * jax.lax.rsqrt(jnp.maximum(squares, jnp.finfo(x.dtype).tiny))
    twice, places = jnp.tile(objects, 2), jnp.arange(len(x))
    own = places[None, :] == _partners(len(objects))[:, None]
    return jnp.where(own | (twice[:, None] != twice[None, :]), unit @ unit.T, -jnp.inf)
