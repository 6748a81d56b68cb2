"""The DWS network: equivariant layers, a pointwise activation, an invariant head."""

from dataclasses import dataclass
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from wsjax.errors import check_choice, check_number
from wsjax.models.attention import EquivariantAttention
from wsjax.models.draws import linear
from wsjax.models.dropout import dropout
from wsjax.models.equivariant import EquivariantLinear, ends, invariant
from wsjax.models.normalise import Normaliser
from wsjax.models.pieces import Feature, features, lift
from wsjax.models.terms import POOLINGS
from wsjax.symmetry import Symmetry
from wsjax.typing import Key, Weights

EquivariantLayer = EquivariantLinear | EquivariantAttention


@dataclass(frozen=True)
class DWSConfig:
    """channels: features for each weight. layers: equivariant layers. head: width of the head's hidden layer.

    activation: `"gated"`, u * tanh(v) of two halves of the channels, which lets a layer multiply a weight by an
    average of its neighbours, or `"relu"` as published.
    pooling: what a layer and the head take over neurons, `"mean"`, `"sum"` or `"max"`.
    maps: what mixes the neurons of one group, `"linear"` or `"attention"` with so many `heads`.
    """

    channels: int = 16
    layers: int = 3
    head: int = 64
    activation: str = "gated"
    pooling: str = "mean"
    maps: str = "linear"
    heads: int = 4

    def __post_init__(self):
        for name in ("channels", "layers", "head", "heads"):
            check_number(name, getattr(self, name), low=1, whole=True)
        check_choice("activation", self.activation, ("gated", "relu"))
        check_choice("pooling", self.pooling, tuple(POOLINGS))
        check_choice("maps", self.maps, ("linear", "attention"))
        if self.maps == "attention" and self.channels % self.heads:
            raise ValueError(
                f"channels is {self.channels} and heads is {self.heads}; attention expects heads that divide the "
                f"channels: set one of them to suit"
            )

    def trunk(self, symmetry: Symmetry, keys: list[Key]) -> tuple[EquivariantLayer, ...]:
        """The equivariant layers, untrained."""
        width = self.channels * (2 if self.activation == "gated" else 1)
        sizes = [1] + [self.channels] * (self.layers - 1)

        def layer(inputs: int, key: Key) -> EquivariantLayer:
            if self.maps == "linear":
                return EquivariantLinear(symmetry, inputs, width, pooling=self.pooling, key=key)
            return EquivariantAttention(symmetry, inputs, width, heads=self.heads, pooling=self.pooling, key=key)

        return tuple(layer(n, k) for n, k in zip(sizes, keys, strict=True))


def activate(x: Array, activation: str) -> Array:
    if activation == "relu":
        return jax.nn.relu(x)
    u, v = jnp.split(x, 2, axis=-1)
    return u * jnp.tanh(v)


def run_trunk(layers: tuple[EquivariantLayer, ...], xs: list[Array], activation: str) -> list[Array]:
    """Layers and activations in turn, each but the first added to its input."""
    return run_residual(layers[1:], [activate(y, activation) for y in layers[0](xs)], activation)


def run_residual(layers: tuple[EquivariantLayer, ...], xs: list[Array], activation: str) -> list[Array]:
    """Layers and activations in turn, each added to its input."""
    for layer in layers:
        xs = [x + activate(y, activation) for x, y in zip(xs, layer(xs), strict=True)]
    return xs


class DWS(eqx.Module):
    """A reader of weights that no reordering of neurons can fool.

    Normalise, lift, `layers` times (complete equivariant map, activation, each but the first added to its input),
    pool over all neurons, two dense layers. It computes in the dtype of its normaliser, whatever the networks are
    stored in.

    **Preserves**: the output is invariant to every permutation of the Symmetry.

    Source: Navon et al., arXiv 2301.12780. The default has linear set layers (identity and average), which span all
    equivariant linear maps, in place of the published attention and maximum, `maps="attention"` and
    `pooling="max"`; see `models.equivariant` for what earlier code leaves out.

    Example:
        >>> from wsjax import networks
        >>> from wsjax.models import DWS, DWSConfig, normaliser
        >>> from wsjax.symmetry import siren
        >>> spec, w = siren((2, 4, 1)), networks.siren_init(jax.random.key(0), (2, 4, 1))
        >>> norm = normaliser(spec, {name: {"mean": 0.0, "std": 1.0, "rms": 1.0} for name in spec.names})
        >>> reader = DWS(spec, norm, 3, DWSConfig(channels=2), key=jax.random.key(1))
        >>> jax.eval_shape(reader.features, w).shape   # (2 + 1 + 1 + 1) fixed entries times 2 channels
        (10,)
        >>> jax.eval_shape(reader, w).shape
        (3,)
    """

    HEAD_FIELDS: ClassVar = ("hidden", "last")

    normaliser: Normaliser
    layers: tuple[EquivariantLayer, ...]
    hidden: eqx.nn.Linear
    last: eqx.nn.Linear
    symmetry: Symmetry = eqx.field(static=True)
    spec: tuple[Feature, ...] = eqx.field(static=True)
    activation: str = eqx.field(static=True)
    pooling: str = eqx.field(static=True)

    def __init__(self, symmetry: Symmetry, normaliser: Normaliser, outputs: int, config: DWSConfig, *, key: Key):
        keys = [jax.random.fold_in(key, i) for i in range(config.layers + 2)]
        self.normaliser, self.symmetry = normaliser, symmetry
        self.activation, self.pooling = config.activation, config.pooling
        self.layers = config.trunk(symmetry, keys[2:])
        self.spec = features(symmetry)
        summands = [pattern.pooled(f.sizes) for f in self.spec for pattern in ends(f) for _ in range(f.fixed)]
        self.hidden = linear(len(summands) * config.channels, config.head, key=keys[0])
        if config.pooling == "sum":  # starts as the average does
            shares = 1 / jnp.repeat(jnp.array(summands, self.hidden.weight.dtype), config.channels)
            self.hidden = eqx.tree_at(lambda linear: linear.weight, self.hidden, self.hidden.weight * shares[None, :])
        self.last = linear(config.head, outputs, key=keys[1])

    def features(
        self, weights: Weights, *, key: Key | None = None, rate: Float[ArrayLike, ""] | float = 0.0
    ) -> Float[Array, " features"]:
        """What no reordering of neurons changes of one network; with a key, channels are dropped at the given rate."""
        leaves = self.normaliser(self.symmetry.leaves(weights))
        xs = run_trunk(self.layers, lift(leaves, self.spec), self.activation)
        return dropout(invariant(xs, self.spec, self.pooling), key, rate, salt=0)

    def head(
        self,
        vector: Float[Array, " features"],
        *,
        key: Key | None = None,
        rate: Float[ArrayLike, ""] | float = 0.0,
    ) -> Float[Array, " outputs"]:
        """Two dense layers on the features; with a key, hidden units are dropped at the given rate."""
        return self.last(dropout(jax.nn.relu(self.hidden(vector)), key, rate, salt=1))

    def __call__(
        self, weights: Weights, *, key: Key | None = None, rate: Float[ArrayLike, ""] | float = 0.0
    ) -> Float[Array, " outputs"]:
        """Read one network; with a key, drop pooled channels and hidden units of the head at the given rate."""
        return self.head(self.features(weights, key=key, rate=rate), key=key, rate=rate)
