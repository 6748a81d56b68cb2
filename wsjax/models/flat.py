"""The baseline: a dense network on the flattened weights, blind to every symmetry."""

import math
from dataclasses import dataclass
from itertools import pairwise

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from wsjax.errors import check_number
from wsjax.models.dropout import dropout
from wsjax.models.normalise import Normaliser, in_float32
from wsjax.symmetry import Symmetry
from wsjax.typing import Key, Weights


@dataclass(frozen=True)
class FlatConfig:
    """width and depth of the hidden layers."""

    width: int = 128
    depth: int = 2

    def __post_init__(self):
        check_number("width", self.width, low=1)
        check_number("depth", self.depth, low=1)


class Stack(eqx.Module):
    """Dense layers with ReLU and dropout between them."""

    layers: tuple[eqx.nn.Linear, ...]

    def __init__(self, inputs: int, outputs: int, width: int, depth: int, *, key: Key):
        sizes = [inputs, *[width] * depth, outputs]
        pairs = pairwise(sizes)
        self.layers = tuple(eqx.nn.Linear(a, b, key=jax.random.fold_in(key, i)) for i, (a, b) in enumerate(pairs))

    def __call__(self, x: Array, *, key: Key | None, rate: Float[ArrayLike, ""] | float) -> Array:
        for i, layer in enumerate(self.layers[:-1]):
            x = dropout(jax.nn.relu(layer(x)), key, rate, salt=i)
        return self.layers[-1](x)


class FlatMLP(eqx.Module):
    """Flatten, normalise, dense layers. It sees the order of neurons and must unlearn it."""

    normaliser: Normaliser
    stack: Stack
    symmetry: Symmetry = eqx.field(static=True)

    def __init__(self, symmetry: Symmetry, normaliser: Normaliser, outputs: int, config: FlatConfig, *, key: Key):
        self.normaliser, self.symmetry = normaliser, symmetry
        total = sum(map(math.prod, symmetry.shapes))
        self.stack = Stack(total, outputs, config.width, config.depth, key=key)

    def __call__(
        self, weights: Weights, *, key: Key | None = None, rate: Float[ArrayLike, ""] | float = 0.0
    ) -> Float[Array, " outputs"]:
        """Read one network; with a key, drop hidden units at the given rate."""
        leaves = self.normaliser(self.symmetry.leaves(in_float32(weights)))
        return self.stack(jnp.concatenate([leaf.reshape(-1) for leaf in leaves]), key=key, rate=rate)
