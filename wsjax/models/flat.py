"""The baseline: a dense network on the flattened weights, blind to every symmetry."""

import math
from dataclasses import dataclass
from itertools import pairwise

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from wsjax.errors import check_number
from wsjax.floats import all_widened
from wsjax.models.draws import linear
from wsjax.models.dropout import dropout
from wsjax.models.normalise import Normaliser
from wsjax.symmetry import Symmetry, canonicalize
from wsjax.typing import Key, Scalar, Weights


@dataclass(frozen=True)
class FlatConfig:
    """width and depth of the hidden layers. canonical: bring each network to the representative of its orbit first."""

    width: int = 128
    depth: int = 2
    canonical: bool = False

    def __post_init__(self):
        for name in ("width", "depth"):
            check_number(name, getattr(self, name), low=1, whole=True)


class Stack(eqx.Module):
    """Dense layers with ReLU and dropout between them."""

    layers: tuple[eqx.nn.Linear, ...]

    def __init__(self, inputs: int, outputs: int, width: int, depth: int, *, key: Key):
        sizes = [inputs, *[width] * depth, outputs]
        pairs = pairwise(sizes)
        self.layers = tuple(linear(a, b, key=jax.random.fold_in(key, i)) for i, (a, b) in enumerate(pairs))

    @property
    def dtype(self) -> np.dtype:
        """What it computes in."""
        return self.layers[0].weight.dtype

    def __call__(self, x: Array, *, key: Key | None = None, rate: Scalar = 0.0) -> Array:
        for i, layer in enumerate(self.layers[:-1]):
            x = dropout(jax.nn.relu(layer(x)), key, rate, salt=i)
        return self.layers[-1](x)


class FlatMLP(eqx.Module):
    """Flatten, normalise, dense layers. It sees the order of neurons and must unlearn it.

    With `canonical`, each network is first brought to its orbit's representative (`symmetry.canonicalize`), where that
    can be had in closed form.

    **Preserves**: nothing without `canonical`. With it the output is invariant to the whole group of the Symmetry, but
    not continuous: networks that are close can have representatives far apart. The normaliser's statistics are those of
    the networks as they are.

    Args:
        symmetry: of the networks that are read.
        normaliser: theirs.
        outputs: numbers that the reader gives.
        config: its settings.
        key: a typed key.

    Source: the baseline of arXiv 2301.12780; canonical weights in place of its alignment are ours.

    Example:
        >>> from wsjax.models import Normaliser
        >>> from wsjax.symmetry import siren
        >>> spec = siren((2, 4, 1))
        >>> plain = Normaliser((jnp.zeros(()),) * 4, (jnp.ones(()),) * 4)
        >>> reader = FlatMLP(spec, plain, 10, FlatConfig(canonical=True), key=jax.random.key(0))
        >>> weights = spec.unflatten([jnp.ones(shape) for shape in spec.shapes])
        >>> [jax.eval_shape(read, weights).shape for read in (reader.features, reader)]
        [(17,), (10,)]
    """

    normaliser: Normaliser
    head: Stack
    symmetry: Symmetry = eqx.field(static=True)
    canonical: bool = eqx.field(static=True)

    def __init__(self, symmetry: Symmetry, normaliser: Normaliser, outputs: int, config: FlatConfig, *, key: Key):
        self.normaliser, self.symmetry, self.canonical = normaliser, symmetry, config.canonical
        total = sum(map(math.prod, symmetry.shapes))
        self.head = Stack(total, outputs, config.width, config.depth, key=key)

    def features(self, weights: Weights, *, key: Key | None = None, rate: Scalar = 0.0) -> Float[Array, " entries"]:
        """All normalised weights of one network as one vector; nothing of them is dropped."""
        plain = all_widened(weights, self.head.layers[0].weight)
        read = canonicalize(plain, self.symmetry) if self.canonical else plain
        return jnp.concatenate([leaf.reshape(-1) for leaf in self.normaliser(self.symmetry.leaves(read))])

    def __call__(self, weights: Weights, *, key: Key | None = None, rate: Scalar = 0.0) -> Float[Array, " outputs"]:
        """Read one network; with a key, drop hidden units at the given rate."""
        return self.head(self.features(weights, key=key, rate=rate), key=key, rate=rate)
