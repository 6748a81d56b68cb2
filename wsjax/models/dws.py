"""The DWS network: equivariant linear layers, a pointwise activation, an invariant head."""

from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from wsjax.errors import check_choice, check_number
from wsjax.models.dropout import dropout
from wsjax.models.equivariant import EquivariantLinear, Feature, features, invariant
from wsjax.models.normalise import Normaliser, in_float32
from wsjax.symmetry import Symmetry
from wsjax.typing import Key, Weights


@dataclass(frozen=True)
class DWSConfig:
    """channels: features for each weight. layers: equivariant layers. head: width of the head's hidden layer.

    activation: `"gated"`, u * tanh(v) of two halves of the channels, which lets a layer multiply a weight by an
    average of its neighbours, or `"relu"` as published.
    """

    channels: int = 16
    layers: int = 3
    head: int = 64
    activation: str = "gated"

    def __post_init__(self):
        for name in ("channels", "layers", "head"):
            check_number(name, getattr(self, name), low=1)
        check_choice("activation", self.activation, ("gated", "relu"))


def _activate(x: Array, activation: str) -> Array:
    if activation == "relu":
        return jax.nn.relu(x)
    u, v = jnp.split(x, 2, axis=-1)
    return u * jnp.tanh(v)


class DWS(eqx.Module):
    """A reader of weights that no reordering of neurons can fool.

    Normalise, lift, `layers` times (complete equivariant linear map, activation, each but the first added to its
    input), average over all neurons, two dense layers.

    **Preserves**: the output is invariant to every permutation of the Symmetry.

    Source: Navon et al., arXiv 2301.12780, with the linear set layers (identity and average) in place of attention,
    which span all equivariant linear maps; see `models.equivariant` for what earlier code leaves out.
    """

    normaliser: Normaliser
    layers: tuple[EquivariantLinear, ...]
    hidden: eqx.nn.Linear
    last: eqx.nn.Linear
    symmetry: Symmetry = eqx.field(static=True)
    spec: tuple[Feature, ...] = eqx.field(static=True)
    activation: str = eqx.field(static=True)

    def __init__(self, symmetry: Symmetry, normaliser: Normaliser, outputs: int, config: DWSConfig, *, key: Key):
        keys = [jax.random.fold_in(key, i) for i in range(config.layers + 2)]
        width = config.channels * (2 if config.activation == "gated" else 1)
        sizes = [1] + [config.channels] * (config.layers - 1)
        self.normaliser, self.symmetry, self.activation = normaliser, symmetry, config.activation
        self.layers = tuple(EquivariantLinear(symmetry, n, width, key=k) for n, k in zip(sizes, keys[2:], strict=True))
        self.spec = features(symmetry)
        pooled = sum(f.fixed * config.channels for f in self.spec)
        self.hidden = eqx.nn.Linear(pooled, config.head, key=keys[0])
        self.last = eqx.nn.Linear(config.head, outputs, key=keys[1])

    def __call__(
        self, weights: Weights, *, key: Key | None = None, rate: Float[ArrayLike, ""] | float = 0.0
    ) -> Float[Array, " outputs"]:
        """Read one network; with a key, drop pooled channels and hidden units of the head at the given rate."""
        leaves = self.normaliser(self.symmetry.leaves(in_float32(weights)))
        xs = [f.lift(leaf) for f, leaf in zip(self.spec, leaves, strict=True)]
        for i, layer in enumerate(self.layers):
            ys = [_activate(y, self.activation) for y in layer(xs)]
            xs = ys if i == 0 else [x + y for x, y in zip(xs, ys, strict=True)]
        pooled = dropout(invariant(xs, self.spec), key, rate, salt=0)
        return self.last(dropout(jax.nn.relu(self.hidden(pooled)), key, rate, salt=1))
