"""The editor: a network's weights in, the same network's weights out, a little changed."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from wsjax.floats import common, floating
from wsjax.models.layers.arguments import check_arguments
from wsjax.models.layers.equivariant import EquivariantLinear
from wsjax.models.layers.feature_layout import Feature, features, lift, unlift
from wsjax.models.layers.normalizer import Normalizer, normalizer_for
from wsjax.models.layers.stack import dropout
from wsjax.models.readers.dws import EquivariantLayer, equivariant_layers, run_trunk
from wsjax.symmetry import Symmetry
from wsjax.typing import Key, Scalar, Weights


class Editor(eqx.Module):
    """A map from weights to weights that does to a reordered network what it does to the network.

        theta' = theta + scale * deviation * delta(theta)

    with `delta` the layers of a `DWS` and one more equivariant linear layer that receives the weights themselves as
    well, so that every linear edit is at hand; `deviation` what the normalizer divides each array by; `scale` a
    learned number, initialized to 0.01, so that an untrained editor hardly edits.

    **Preserves** equivariance: edit(g theta) = g edit(theta) for every permutation g of the Symmetry. Structure,
    shapes and dtypes stay; leaves that are not floating point are read, and pass untouched.

    Args:
        symmetry: of the networks that are edited.
        channels, layers, activation, pooling, maps, heads: of the layers, as in a `DWS`.
        normalizer: of the data set, `dataset.normalizer()`; None reads the weights as they are.
        key: a typed key.

    Source: Navon et al., arXiv 2301.12780, section 7, domain adaptation, theta + 0.01 * delta; here in units of each
    array's deviation and with a learned scale.

    Example:
        >>> from wsjax import networks
        >>> from wsjax.symmetry import siren
        >>> spec, w = siren((2, 4, 1)), networks.siren_init(jax.random.key(0), (2, 4, 1))
        >>> edit = Editor(spec, channels=2, key=jax.random.key(1))
        >>> jax.eval_shape(edit, w)[0].kernel.shape
        (2, 4)
    """

    normalizer: Normalizer
    layers: tuple[EquivariantLayer, ...]
    last: EquivariantLinear
    scale: Array
    symmetry: Symmetry = eqx.field(static=True)
    spec: tuple[Feature, ...] = eqx.field(static=True)
    activation: str = eqx.field(static=True)

    def __init__(
        self,
        symmetry: Symmetry,
        *,
        channels: int = 16,
        layers: int = 3,
        activation: str = "gated",
        pooling: str = "mean",
        maps: str = "linear",
        heads: int = 4,
        normalizer: Normalizer | None = None,
        key: Key,
    ):
        check_arguments(symmetry, Symmetry, 1, normalizer)
        keys = [jax.random.fold_in(key, i) for i in range(layers + 1)]
        self.normalizer, self.symmetry, self.activation = normalizer_for(symmetry, normalizer), symmetry, activation
        self.layers = equivariant_layers(symmetry, channels, layers, activation, pooling, maps, heads, keys[1:])
        self.last = EquivariantLinear(symmetry, channels + 1, 1, pooling=pooling, key=keys[0])
        self.spec = features(symmetry)
        self.scale = jnp.asarray(0.01)

    def __call__(self, weights: Weights, *, key: Key | None = None, dropout_rate: Scalar = 0.0) -> Weights:
        """Edit one network; with a key, channels of the last layer's input are dropped at the given rate."""
        leaves = self.symmetry.leaves(weights)
        plain = lift(self.normalizer(leaves, self.scale.dtype), self.spec)
        ys = [
            dropout(y, key, dropout_rate, index=i) for i, y in enumerate(run_trunk(self.layers, plain, self.activation))
        ]
        both = [jnp.concatenate([x, y], axis=-1) for x, y in zip(plain, ys, strict=True)]
        deltas = unlift(self.last(both), self.spec, self.symmetry)
        deviations = self.normalizer.scale.value.astype(self.scale.dtype)
        steps = [self.scale * deviation * d for deviation, d in zip(deviations, deltas, strict=True)]
        return self.symmetry.unflatten([moved(leaf, step) for leaf, step in zip(leaves, steps, strict=True)])


def moved(leaf: Array, step: Array) -> Array:
    """An array after its step, rounded once: a step in bfloat16 does not round the weights."""
    if not floating(leaf):
        return leaf
    dtype = common((leaf, step))
    return (leaf.astype(dtype) + step.astype(dtype)).astype(leaf.dtype)
