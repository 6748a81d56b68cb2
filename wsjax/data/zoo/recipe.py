"""`ZooRecipe`: how the classifiers of a zoo are fitted, and the ranges that each one's own settings are drawn from."""

import math
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from wsjax.data.sources.images import Images
from wsjax.errors import check_choice, check_number, check_seed, fields_as_python
from wsjax.networks import CNN, Network, mlp_apply
from wsjax.networks.mlp import Between, unchanged
from wsjax.typing import Key

OPTIMIZERS = ("adam", "sgd")
"""Adam, and gradient descent with momentum 0.9; the column `optimizer` is an index into them."""

Range: TypeAlias = tuple[float, float]


@dataclass(frozen=True)
class ZooRecipe:
    """How the classifiers of a zoo are fitted.

    network: an MLP over flattened pixels, or a CNN; count: how many are fitted; steps: of each one's optimizer;
    batch_size: images a step, drawn with replacement from the network's training images; slots: how many networks one
    program fits side by side: the count changes the last bits of the result, so it is fixed, and recorded; seed: every
    key derives from it and the network's number; snapshots: numbers of steps, ascending and below `steps`, after which
    a network is stored too; optimizers: names in `OPTIMIZERS` to draw from.

    The ranges that settings are drawn from, log-uniformly: learning_rate, constant; weight_decay, the factor of half
    the squared kernels in the loss; init_scale, which multiplies the initial kernels. Uniformly:
    train_fraction, of the source's training images that the network is trained on; dropout, of the hidden units or
    channels; label_noise, the fraction of those images whose labels are drawn anew, once. A range of two equal numbers
    sets that number.

    A network's label is its accuracy on the source's test images. The zoo's own split is over networks: of every five
    numbers the first three are training, the fourth validation, the fifth test, with all snapshots of a network in one.
    Columns: `run`, the network's number, also called `image`; `view`, which of its snapshots; `steps`, the snapshot's;
    `split`; `train_accuracy` and `train_loss`, on the images and labels that it is trained on, `test_accuracy` and
    `test_loss`, losses being mean cross-entropies in nats; every setting drawn; and `diverged`: 1 for a network whose
    next step would have made a weight larger than 10,000, or no number. It stays at its last weights, which later
    snapshots repeat: a zoo that dropped it would hide what large learning rates do.

    Source: arXiv 2002.11448, section 3, for the kind of settings and most ranges.

    Example:
        >>> recipe = ZooRecipe(Network("mlp", (64, 16, 10), "relu"), count=8, steps=20, snapshots=(0, 10))
        >>> recipe.stops
        (0, 10, 20)
        >>> ZooRecipe.from_json(recipe.to_json()) == recipe
        True
    """

    network: Network | CNN
    count: int = 1000
    steps: int = 600
    batch_size: int = 64
    slots: int = 16
    seed: int = 0
    snapshots: tuple[int, ...] = ()
    optimizers: tuple[str, ...] = OPTIMIZERS
    learning_rate: Range = (5e-4, 5e-2)
    weight_decay: Range = (1e-8, 1e-2)
    init_scale: Range = (0.3, 3.0)
    train_fraction: Range = (0.1, 1.0)
    dropout: Range = (0.0, 0.5)
    label_noise: Range = (0.0, 0.0)

    def __post_init__(self):
        fields_as_python(self)
        check_seed("seed", self.seed)
        if isinstance(self.network, Network):
            check_choice("kind of a classifier", self.network.kind, ("mlp",))
        for name in ("count", "steps", "batch_size", "slots"):
            check_number(name, getattr(self, name), low=1, integer=True)
        for before, after in zip((-1, *self.snapshots), self.stops, strict=True):
            check_number("each of snapshots, ascending", after, low=before + 1, high=self.steps, integer=True)
        check_number("number of optimizers", len(self.optimizers), low=1)
        for name in self.optimizers:
            check_choice("optimizer", name, OPTIMIZERS)
        for name in ("learning_rate", "weight_decay", "init_scale"):
            _check_range(name, getattr(self, name), 0.0, math.inf, logarithmic=True)
        for name, most in (("train_fraction", 1.0), ("dropout", 0.99), ("label_noise", 1.0)):
            _check_range(name, getattr(self, name), 0.0, most)

    @property
    def stops(self) -> tuple[int, ...]:
        """The numbers of steps after which a network is stored."""
        return (*self.snapshots, self.steps)

    @property
    def classes(self) -> int:
        return self.network.outputs if isinstance(self.network, CNN) else self.network.widths[-1]

    def apply(
        self, weights: PyTree, images: Float[Array, "images rows columns channels"], between: Between = unchanged
    ) -> Float[Array, "images classes"]:
        """The logits of one network of the zoo."""
        if isinstance(self.network, CNN):
            return self.network.apply(weights, images, between=between)
        flat = images.reshape(len(images), -1)
        return mlp_apply(weights, flat, activation=self.network.activation, between=between)

    def to_json(self) -> dict[str, Any]:
        kind = "cnn" if isinstance(self.network, CNN) else "mlp"
        return {**asdict(self), "network": {**self.network.to_json(), "kind": kind}}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "ZooRecipe":
        """The recipe of metadata: `ZooRecipe.from_json(dataset.metadata.recipe)`."""
        plain = {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}
        network = dict(fields["network"])
        if network["kind"] == "mlp":
            return cls(**{**plain, "network": Network.from_json(network)})
        del network["kind"]
        return cls(**{**plain, "network": CNN.from_json(network)})


def _check_range(name: str, found: Range, low: float, high: float, *, logarithmic: bool = False) -> None:
    """Raise ValueError for a range that leaves [low, high] or runs backwards, or one that no logarithm can span."""
    for end in found:
        check_number(f"each end of {name}", end, low=low, high=high)
    if found[0] > found[1] or (logarithmic and found[0] == 0 < found[1]):
        why = "it runs backwards" if found[0] > found[1] else "it is drawn log-uniformly, which never gives zero"
        raise ValueError(f"{name} is {found}; {why}: give two numbers, the lower first, or the same number twice")


def zoo_network(
    architecture: str, images: Images, hidden: tuple[int, ...] | None = None, activation: str = "relu"
) -> Network | CNN:
    """A classifier of some images, by the name of its architecture.

    Args:
        architecture: "mlp" or "cnn".
        images: what it classifies.
        hidden: neurons of each hidden layer, or channels of each convolution; None makes two layers of 16 neurons, or
            three of 16 channels.
        activation: a name in `networks.ACTIVATIONS`.

    Raises:
        ValueError: an unknown architecture or activation.

    Example:
        >>> from wsjax.data import load_images
        >>> zoo_network("mlp", load_images("digits")).widths
        (64, 16, 16, 10)
    """
    check_choice("architecture", architecture, ("mlp", "cnn"))
    for width in hidden or ():
        check_number("hidden", width, low=1, integer=True)
    shape, classes = images.pixels.shape[1:], len(images.classes)
    if architecture == "cnn":
        return CNN((shape[0], shape[1], shape[2]), hidden or (16, 16, 16), classes, activation)
    return Network("mlp", (math.prod(shape), *(hidden or (16, 16)), classes), activation)


class Drawn(NamedTuple):
    """The settings of one network, scalars: `optimizer` is an index into `OPTIMIZERS`."""

    learning_rate: Array
    weight_decay: Array
    init_scale: Array
    train_fraction: Array
    dropout: Array
    label_noise: Array
    optimizer: Array


def draw(recipe: ZooRecipe, key: Key) -> Drawn:
    """A network's own settings, each from a key of its own.

    Example:
        >>> recipe = ZooRecipe(Network("mlp", (64, 16, 10), "relu"), train_fraction=(0.5, 0.5))
        >>> float(draw(recipe, jax.random.key(0)).train_fraction)
        0.5
    """
    keys = [jax.random.fold_in(key, i) for i in range(len(Drawn._fields))]
    chosen = jax.random.randint(keys[6], (), 0, len(recipe.optimizers))
    return Drawn(
        learning_rate=_log_uniform(keys[0], recipe.learning_rate),
        weight_decay=_log_uniform(keys[1], recipe.weight_decay),
        init_scale=_log_uniform(keys[2], recipe.init_scale),
        train_fraction=_uniform(keys[3], recipe.train_fraction),
        dropout=_uniform(keys[4], recipe.dropout),
        label_noise=_uniform(keys[5], recipe.label_noise),
        optimizer=jnp.asarray([OPTIMIZERS.index(name) for name in recipe.optimizers])[chosen],
    )


def _uniform(key: Key, ends: Range) -> Float[Array, ""]:
    low, high = ends
    return jnp.clip(low + (high - low) * jax.random.uniform(key), low, high)


def _log_uniform(key: Key, ends: Range) -> Float[Array, ""]:
    low, high = ends
    if low == high:
        return jnp.float32(low)
    return jnp.clip(jnp.exp(_uniform(key, (math.log(low), math.log(high)))), low, high)
