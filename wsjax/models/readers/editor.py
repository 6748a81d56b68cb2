"""The editor: a network's weights in, the same network's weights out, a little changed."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from wsjax.floats import common, floating
from wsjax.models.layers.equivariant import EquivariantLinear
from wsjax.models.layers.feature_layout import Feature, features, lift, unlift
from wsjax.models.layers.normalizer import Normalizer, normalizer_for
from wsjax.models.layers.stack import check_arguments, dropout, numbers_as_python
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
        symmetry, normalizer: of the data set; without a normalizer the weights are read as they are.
        channels, layers, activation, pooling, maps, heads: of the layers, as in a `DWS`.

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

    @numbers_as_python
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
        check_arguments(symmetry, Symmetry, 1, normalizer, layers=layers)
        keys = [jax.random.fold_in(key, i) for i in range(layers + 1)]
        self.normalizer, self.symmetry, self.activation = normalizer_for(symmetry, normalizer), symmetry, activation
        self.layers = equivariant_layers(symmetry, channels, activation, pooling, maps, heads, keys[1:])
        self.last = EquivariantLinear(symmetry, channels + 1, 1, pooling=pooling, key=keys[0])
        self.spec = features(symmetry)
        self.scale = jnp.asarray(0.01)

    def __call__(self, weights: Weights, *, key: Key | None = None, dropout_rate: Scalar = 0.0) -> Weights:
        """Edit one network; with a key, channels of the last layer's input are dropped at the given rate."""
        leaves = self.symmetry.leaves(weights)
        plain = lift(self.normalizer(leaves, self.scale.dtype), self.spec)
        ys = run_trunk(self.layers, plain, self.activation)
        ys = [dropout(y, key, dropout_rate, index=i) for i, y in enumerate(ys)]
        both = [jnp.concatenate([x, y], axis=-1) for x, y in zip(plain, ys, strict=True)]
        deltas = unlift(self.last(both), self.spec, self.symmetry)
        return self.symmetry.unflatten(edited(leaves, deltas, self.scale, self.normalizer))


def edited(leaves: list[Array], deltas: list[Array], scale: Array, normalizer: Normalizer) -> list[Array]:
    """theta + scale * deviation * delta for each array, rounded once: a step in bfloat16 does not round the weights."""

    def moved(leaf: Array, step: Array) -> Array:
        if not floating(leaf):
            return leaf
        dtype = common((leaf, step))
        return (leaf.astype(dtype) + step.astype(dtype)).astype(leaf.dtype)

    deviations = normalizer.scale.value.astype(scale.dtype)
    steps = [scale * deviation * delta for deviation, delta in zip(deviations, deltas, strict=True)]
    return [moved(leaf, step) for leaf, step in zip(leaves, steps, strict=True)]
