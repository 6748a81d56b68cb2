"""`ZooRecipe`: how the classifiers of a zoo are fitted, and the ranges that each one's own settings are drawn from."""

import math
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from wsjax.data.sources.images import Images
from wsjax.errors import check_choice, check_number, check_seed, check_several, check_sizes, fields_as_python
from wsjax.networks import CNN, Network, mlp_apply
from wsjax.networks.mlp import Between, unchanged
from wsjax.typing import Key

OPTIMIZERS = ("adam", "sgd")
"""Adam, and gradient descent with momentum 0.9; the column `optimizer` is an index into them."""

LOGARITHMIC = ("learning_rate", "weight_decay", "init_scale")
UNIFORM = {"train_fraction": 1.0, "dropout": 0.99, "label_noise": 1.0}
"""The settings drawn for each network: log-uniformly, and uniformly up to a largest number."""
LARGEST = 1e38
"""What float32 holds, in which settings are drawn."""

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
    the squared kernels in the loss; init_scale, which multiplies the initial kernels. Uniformly: train_fraction, of the
    source's training images that the network is trained on; dropout, of the hidden units or channels; label_noise, the
    fraction of those images whose labels are drawn anew, once. A range of two equal numbers sets that number.

    A network's label is its accuracy on the source's test images. The zoo's own split is over networks: of every five
    numbers the first three are training, the fourth validation, the fifth test, with all snapshots of a network in one.
    Columns: `run`, the network's number, also called `image`; `view`, which of its snapshots; `steps`, the snapshot's;
    `split`; `train_accuracy` and `train_loss`, on the images and labels that it is trained on, `test_accuracy` and
    `test_loss`, losses being mean cross-entropies in nats; every setting drawn; and `diverged`: 1 for a network whose
    next step would have made a weight larger than 10,000, or no number, and which keeps its last weights from then on.

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
        check_sizes(count=self.count, steps=self.steps, batch_size=self.batch_size, slots=self.slots)
        for before, after in zip((-1, *self.snapshots), self.stops, strict=True):
            check_number("each of snapshots, ascending", after, low=before + 1, high=self.steps, integer=True)
        check_several("optimizers", self.optimizers)
        check_number("number of optimizers", len(self.optimizers), low=1)
        for name in self.optimizers:
            check_choice("optimizer", name, OPTIMIZERS)
        for name, most in {**dict.fromkeys(LOGARITHMIC, LARGEST), **UNIFORM}.items():
            _check_range(name, getattr(self, name), most)

    @property
    def stops(self) -> tuple[int, ...]:
        """The numbers of steps after which a network is stored."""
        return (*self.snapshots, self.steps)

    @property
    def program(self) -> "ZooRecipe":
        """What the compiled programs depend on: zoos of any number of networks, steps and snapshots share them."""
        return replace(self, count=1, steps=1, snapshots=())

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
        kind = network["kind"] if network["kind"] == "mlp" else network.pop("kind")
        return cls(**{**plain, "network": (Network if kind == "mlp" else CNN).from_json(network)})


def _check_range(name: str, found: Range, most: float) -> None:
    """Raise ValueError for a range that leaves [0, most] or runs backwards, or one that no logarithm can span."""
    if not isinstance(found, tuple | list) or len(found) != 2:
        raise ValueError(f"{name} is {found}; expected two numbers, the lower first: give the same twice to set it")
    for end in found:
        check_number(f"each end of {name}", end, low=0.0, high=most)
    if found[0] > found[1] or (name in LOGARITHMIC and found[0] == 0 < found[1]):
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
        activation: a name in `networks.mlp.ACTIVATIONS`.

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


def check_network(recipe: ZooRecipe, images: Images) -> None:
    """Raise ValueError where a recipe's network does not take the images, or gives not as many logits as classes."""
    shape, classes, network = images.pixels.shape[1:], len(images.classes), recipe.network
    if isinstance(network, CNN):
        found, expected = (network.image_shape, recipe.classes), (shape, classes)
    else:
        found, expected = (network.widths[0], recipe.classes), (math.prod(shape), classes)
    if found != expected:
        raise ValueError(
            f"the recipe's network takes {found[0]} and gives {found[1]} logits; the images of {images.name} need "
            f"{expected[0]} and {expected[1]}: use data.zoo.zoo_network"
        )


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
    """A network's own settings, each from a key of its own."""
    *keys, last = (jax.random.fold_in(key, i) for i in range(len(Drawn._fields)))
    drawn = {
        name: _draw(k, getattr(recipe, name), name) for name, k in zip((*LOGARITHMIC, *UNIFORM), keys, strict=True)
    }
    chosen = jax.random.randint(last, (), 0, len(recipe.optimizers))
    return Drawn(**drawn, optimizer=jnp.asarray([OPTIMIZERS.index(name) for name in recipe.optimizers])[chosen])


def _draw(key: Key, ends: Range, name: str) -> Float[Array, ""]:
    low, high = ends
    if low == high:
        return jnp.float32(low)
    fraction = jax.random.uniform(key)
    if name in LOGARITHMIC:
        return jnp.clip(jnp.exp(math.log(low) + (math.log(high) - math.log(low)) * fraction), low, high)
    return jnp.clip(low + (high - low) * fraction, low, high)
