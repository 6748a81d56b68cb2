"""The baseline: a dense network on the flattened weights, which uses no symmetry."""

import math

import equinox as eqx
import jax.numpy as jnp

from wsjax.errors import check_choice
from wsjax.floats import all_widened
from wsjax.models.layers.normalizer import Normalizer, normalizer_for
from wsjax.models.layers.stack import HeadedReader, Stack, Vector, check_arguments
from wsjax.symmetry import Symmetry, canonicalize
from wsjax.typing import Key, Scalar, Weights


class FlatMLP(HeadedReader):
    """Flatten, normalize, dense layers. The output depends on the order of neurons.

    With `canonical`, each network is first brought to its orbit's representative (`symmetry.canonicalize`), where that
    can be had in closed form.

    **Preserves**: nothing without `canonical`. With it the output is invariant to the whole group of the Symmetry, but
    not continuous: networks that are close can have representatives far apart. The normalizer's statistics are those of
    the networks as they are.

    Args:
        symmetry, normalizer: of the data set; without a normalizer the weights are read as they are.
        width, depth: width and number of the hidden layers.
        canonical: bring each network to the representative of its orbit first.

    Source: the baseline of arXiv 2301.12780; canonical weights in place of its alignment are ours.

    Example:
        >>> import jax
        >>> from wsjax.symmetry import siren
        >>> spec = siren((2, 4, 1))
        >>> reader = FlatMLP(spec, 10, canonical=True, key=jax.random.key(0))
        >>> weights = spec.unflatten([jnp.ones(shape) for shape in spec.shapes])
        >>> [jax.eval_shape(read, weights).shape for read in (reader.features, reader)]
        [(17,), (10,)]
    """

    normalizer: Normalizer
    head: Stack
    symmetry: Symmetry = eqx.field(static=True)
    canonical: bool = eqx.field(static=True)

    def __init__(
        self,
        symmetry: Symmetry,
        out_size: int,
        *,
        width: int = 128,
        depth: int = 2,
        canonical: bool = False,
        normalizer: Normalizer | None = None,
        key: Key,
    ):
        check_arguments(symmetry, Symmetry, out_size, normalizer, width=width, depth=depth)
        check_choice("canonical", canonical, (False, True))
        self.normalizer, self.symmetry, self.canonical = normalizer_for(symmetry, normalizer), symmetry, canonical
        self.head = Stack(sum(map(math.prod, symmetry.shapes)), out_size, width, depth, key=key)

    def features(self, weights: Weights, *, key: Key | None = None, dropout_rate: Scalar = 0.0) -> Vector:
        """All normalized weights of one network as one vector; nothing of them is dropped."""
        weights = all_widened(weights, self.head.layers[0].weight)
        weights = canonicalize(weights, self.symmetry) if self.canonical else weights
        leaves = self.normalizer(self.symmetry.leaves(weights), self.head.dtype)
        return jnp.concatenate([leaf.reshape(-1) for leaf in leaves])
