"""The editor: a network's weights in, the same network's weights out, a little changed."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from wsjax.floats import common, floating
from wsjax.models.dropout import dropout
from wsjax.models.dws import DWSConfig, EquivariantLayer, run_trunk
from wsjax.models.equivariant import EquivariantLinear
from wsjax.models.normalise import Normaliser
from wsjax.models.pieces import Feature, features, lift, unlift
from wsjax.symmetry import Symmetry
from wsjax.typing import Key, Weights


class Editor(eqx.Module):
    """A map from weights to weights that does to a reordered network what it does to the network.

        theta' = theta + scale * deviation * delta(theta)

    with `delta` the layers of a `DWS` and one more equivariant linear layer that sees the weights themselves as
    well, so that every linear edit is at hand; `deviation` what the normaliser divides each array by; `scale` a
    learned number that starts at 0.01, so that an untrained editor hardly edits.

    **Preserves** equivariance: edit(g theta) = g edit(theta) for every permutation g of the Symmetry. Structure,
    shapes and dtypes stay; leaves that are not floating point are read, and pass untouched.

    Source: Navon et al., arXiv 2301.12780, section 7, domain adaptation, theta + 0.01 * delta; here in units of each
    array's deviation and with a learned scale.

    Example:
        >>> from wsjax import networks
        >>> from wsjax.models import DWSConfig, normaliser
        >>> from wsjax.symmetry import siren
        >>> spec, w = siren((2, 4, 1)), networks.siren_init(jax.random.key(0), (2, 4, 1))
        >>> norm = normaliser(spec, {name: {"mean": 0.0, "std": 1.0, "rms": 1.0} for name in spec.names})
        >>> edit = Editor(spec, norm, DWSConfig(channels=2), key=jax.random.key(1))
        >>> jax.eval_shape(edit, w)[0].kernel.shape
        (2, 4)
    """

    normaliser: Normaliser
    layers: tuple[EquivariantLayer, ...]
    last: EquivariantLinear
    scale: Array
    symmetry: Symmetry = eqx.field(static=True)
    spec: tuple[Feature, ...] = eqx.field(static=True)
    activation: str = eqx.field(static=True)

    def __init__(self, symmetry: Symmetry, normaliser: Normaliser, config: DWSConfig | None = None, *, key: Key):
        """`config` as of a `DWS`, whose head an editor has no use for."""
        config = DWSConfig() if config is None else config
        keys = [jax.random.fold_in(key, i) for i in range(config.layers + 1)]
        self.normaliser, self.symmetry, self.activation = normaliser, symmetry, config.activation
        self.layers = config.trunk(symmetry, keys[1:])
        self.last = EquivariantLinear(symmetry, config.channels + 1, 1, pooling=config.pooling, key=keys[0])
        self.spec = features(symmetry)
        self.scale = jnp.asarray(0.01)

    def __call__(
        self, weights: Weights, *, key: Key | None = None, rate: Float[ArrayLike, ""] | float = 0.0
    ) -> Weights:
        """Edit one network; with a key, channels of the last layer's input are dropped at the given rate."""
        leaves = self.symmetry.leaves(weights)
        plain = lift(self.normaliser(leaves), self.spec)
        ys = [dropout(y, key, rate, salt=i) for i, y in enumerate(run_trunk(self.layers, plain, self.activation))]
        both = [jnp.concatenate([x, y], axis=-1) for x, y in zip(plain, ys, strict=True)]
        deltas = unlift(self.last(both), self.spec, self.symmetry)
        steps = [self.scale * deviation * d for deviation, d in zip(self.normaliser.scale, deltas, strict=True)]
        return self.symmetry.unflatten([moved(leaf, step) for leaf, step in zip(leaves, steps, strict=True)])


def moved(leaf: Array, step: Array) -> Array:
    """An array after its step, rounded once: a step in bfloat16 does not round the weights."""
    if not floating(leaf):
        return leaf
    dtype = common((leaf, step))
    return (leaf.astype(dtype) + step.astype(dtype)).astype(leaf.dtype)
