"""The DWS network: equivariant layers, a pointwise activation, an invariant head."""

from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from wsjax.errors import check_choice, check_sizes
from wsjax.models.layers.attention import EquivariantAttention, check_heads
from wsjax.models.layers.equivariant import EquivariantLinear, invariant, pooled
from wsjax.models.layers.feature_layout import Feature, features, lift
from wsjax.models.layers.normalizer import Normalizer, normalizer_for
from wsjax.models.layers.stack import HeadedReader, Stack, Vector, check_arguments, dropout
from wsjax.models.layers.terms import POOLINGS
from wsjax.symmetry import Symmetry
from wsjax.typing import Key, Scalar, Weights

EquivariantLayer = EquivariantLinear | EquivariantAttention


def equivariant_layers(
    symmetry: Symmetry, channels: int, activation: str, pooling: str, maps: str, heads: int, keys: list[Key]
) -> tuple[EquivariantLayer, ...]:
    """The equivariant layers of a `DWS` and of an `Editor`, untrained, one for each key; the settings are theirs."""
    check_sizes(channels=channels, heads=heads)
    check_choice("activation", activation, ("gated", "relu"))
    check_choice("pooling", pooling, tuple(POOLINGS))
    check_choice("maps", maps, ("linear", "attention"))
    if maps == "attention":
        check_heads("channels", channels, heads)
    width = channels * (2 if activation == "gated" else 1)

    def layer(inputs: int, key: Key) -> EquivariantLayer:
        if maps == "linear":
            return EquivariantLinear(symmetry, inputs, width, pooling=pooling, key=key)
        return EquivariantAttention(symmetry, inputs, width, heads=heads, pooling=pooling, key=key)

    return tuple(layer(n, k) for n, k in zip([1, *[channels] * (len(keys) - 1)], keys, strict=True))


def activate(x: Array, activation: str) -> Array:
    if activation == "relu":
        return jax.nn.relu(x)
    u, v = jnp.split(x, 2, axis=-1)
    return u * jnp.tanh(v)


def run_trunk(layers: Sequence[Callable[[list[Array]], list[Array]]], xs: list[Array], activation: str) -> list[Array]:
    """Layers and activations in turn, each but the first added to its input."""
    xs = [activate(y, activation) for y in layers[0](xs)]
    for layer in layers[1:]:
        xs = [x + activate(y, activation) for x, y in zip(xs, layer(xs), strict=True)]
    return xs


class DWS(HeadedReader):
    """A reader of weights that is invariant to permutations of neurons.

    Normalize, lift, `layers` times (complete equivariant map, activation, each but the first added to its input),
    pool over all neurons, two dense layers. It computes in the dtype of its parameters, whatever that of the weights.

    **Preserves**: the output is invariant to every permutation of the Symmetry.

    Args:
        symmetry, normalizer: of the data set; without a normalizer the weights are read as they are.
        channels, layers: features for each weight, and equivariant layers.
        head: width of the head's hidden layer.
        activation: `"gated"`, u * tanh(v) of two halves of the channels, which lets a layer multiply a weight by an
            average of its neighbors, or `"relu"` as published.
        pooling: how a layer and the head pool over neurons, `"mean"`, `"sum"` or `"max"`.
        maps: what mixes the neurons of one group, `"linear"` or `"attention"` with so many `heads`.

    Source: Navon et al., arXiv 2301.12780. The default has linear set layers (identity and average), which span all
    equivariant linear maps, in place of the published attention and maximum, `maps="attention"` and
    `pooling="max"`; see `models.layers.equivariant` for what earlier code leaves out.

    Example:
        >>> from wsjax import networks
        >>> from wsjax.symmetry import siren
        >>> spec, w = siren((2, 4, 1)), networks.siren_init(jax.random.key(0), (2, 4, 1))
        >>> reader = DWS(spec, 3, channels=2, key=jax.random.key(1))
        >>> jax.eval_shape(reader.features, w).shape   # (2 + 1 + 1 + 1) fixed entries times 2 channels
        (10,)
        >>> jax.eval_shape(reader, w).shape
        (3,)
    """

    normalizer: Normalizer
    layers: tuple[EquivariantLayer, ...]
    head: Stack
    symmetry: Symmetry = eqx.field(static=True)
    spec: tuple[Feature, ...] = eqx.field(static=True)
    activation: str = eqx.field(static=True)
    pooling: str = eqx.field(static=True)

    def __init__(
        self,
        symmetry: Symmetry,
        out_size: int,
        *,
        channels: int = 16,
        layers: int = 3,
        head: int = 64,
        activation: str = "gated",
        pooling: str = "mean",
        maps: str = "linear",
        heads: int = 4,
        normalizer: Normalizer | None = None,
        key: Key,
    ):
        check_arguments(symmetry, Symmetry, out_size, normalizer, head=head, layers=layers)
        keys = [jax.random.fold_in(key, 2 + i) for i in range(layers)]  # the head takes 0 and 1
        self.normalizer, self.symmetry = normalizer_for(symmetry, normalizer), symmetry
        self.activation, self.pooling = activation, pooling
        self.layers = equivariant_layers(symmetry, channels, activation, pooling, maps, heads, keys)
        self.spec = features(symmetry)
        summands = [pattern.pooled(f.sizes) for f in self.spec for pattern in pooled(f) for _ in range(f.fixed)]
        self.head = Stack(len(summands) * channels, out_size, head, 1, key=key)
        if pooling == "sum":  # initialized as for the average
            fractions = 1 / jnp.repeat(jnp.array(summands, self.head.dtype), channels)
            scaled = self.head.layers[0].weight * fractions[None, :]
            self.head = eqx.tree_at(lambda stack: stack.layers[0].weight, self.head, scaled)

    def features(self, weights: Weights, *, key: Key | None = None, dropout_rate: Scalar = 0.0) -> Vector:
        """The invariant features of one network; with a key, channels are dropped at the given rate."""
        leaves = self.normalizer(self.symmetry.leaves(weights), self.head.dtype)
        xs = run_trunk(self.layers, lift(leaves, self.spec), self.activation)
        x = invariant(xs, self.spec, self.pooling)
        return dropout(x, key, dropout_rate, index=1)  # the head's hidden layer takes index 0
