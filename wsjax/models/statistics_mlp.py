"""A baseline that sees no neuron at all: seven numbers of each array, then dense layers."""

from dataclasses import dataclass

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from wsjax.errors import check_number
from wsjax.floats import widened
from wsjax.models.flat import Stack
from wsjax.models.normalise import Normaliser
from wsjax.symmetry import Symmetry
from wsjax.typing import Key, Scalar, Weights

QUANTILES = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class StatisticsConfig:
    """width and depth of the hidden layers."""

    width: int = 128
    depth: int = 2

    def __post_init__(self):
        for name in ("width", "depth"):
            check_number(name, getattr(self, name), low=1, whole=True)


def seven(x: Float[Array, " entries"]) -> Float[Array, "7"]:
    """Mean, variance and the quantiles 0, 1/4, 1/2, 3/4 and 1.

    Example:
        >>> seven(jnp.arange(5.0)).tolist()
        [2.0, 2.0, 0.0, 1.0, 2.0, 3.0, 4.0]
    """
    return jnp.concatenate([jnp.stack([jnp.mean(x), jnp.var(x)]), jnp.quantile(x, jnp.asarray(QUANTILES, x.dtype))])


class StatisticsMLP(eqx.Module):
    """Mean, variance and quantiles of each normalised array, then dense layers.

    **Preserves**: the output is invariant to every reordering of the entries of an array, so to every permutation of
    the Symmetry and to much that changes the function. What it does better than, a reader owes to the distributions
    of weights alone.

    Args:
        symmetry: of the networks that are read.
        normaliser: theirs.
        outputs: numbers that the reader gives.
        config: its settings.
        key: a typed key.

    Source: Unterthiner et al., arXiv 2002.11448, as StatNN in arXiv 2302.14040.

    Example:
        >>> import jax
        >>> from wsjax.symmetry import siren
        >>> spec = siren((2, 4, 1))
        >>> plain = Normaliser((jnp.zeros(()),) * 4, (jnp.ones(()),) * 4)
        >>> reader = StatisticsMLP(spec, plain, 10, StatisticsConfig(), key=jax.random.key(0))
        >>> weights = spec.unflatten([jnp.ones(shape) for shape in spec.shapes])
        >>> [jax.eval_shape(read, weights).shape for read in (reader.features, reader)]
        [(28,), (10,)]
    """

    normaliser: Normaliser
    head: Stack
    symmetry: Symmetry = eqx.field(static=True)

    def __init__(self, symmetry: Symmetry, normaliser: Normaliser, outputs: int, config: StatisticsConfig, *, key: Key):
        self.normaliser, self.symmetry = normaliser, symmetry
        self.head = Stack(7 * len(symmetry.shapes), outputs, config.width, config.depth, key=key)

    def features(self, weights: Weights, *, key: Key | None = None, rate: Scalar = 0.0) -> Float[Array, " statistics"]:
        """Seven numbers of each array of one network; none is dropped."""
        leaves = self.normaliser(self.symmetry.leaves(weights))
        return jnp.concatenate([seven(widened(leaf).reshape(-1)).astype(leaf.dtype) for leaf in leaves])

    def __call__(self, weights: Weights, *, key: Key | None = None, rate: Scalar = 0.0) -> Float[Array, " outputs"]:
        """Read one network; with a key, drop hidden units at the given rate."""
        return self.head(self.features(weights, key=key, rate=rate), key=key, rate=rate)
