"""A baseline on seven statistics of each array, which no order of entries changes."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from wsjax.floats import widened
from wsjax.models.layers.normalizer import Normalizer, normalizer_for
from wsjax.models.layers.stack import HeadedReader, Stack, Vector, check_arguments
from wsjax.symmetry import Symmetry
from wsjax.typing import Key, Scalar, Weights

QUANTILES = (0.0, 0.25, 0.5, 0.75, 1.0)


def seven(x: Float[Array, " entries"]) -> Float[Array, "7"]:
    """Mean, variance and the quantiles 0, 1/4, 1/2, 3/4 and 1.

    Example:
        >>> seven(jnp.arange(5.0)).tolist()
        [2.0, 2.0, 0.0, 1.0, 2.0, 3.0, 4.0]
    """
    return jnp.concatenate([jnp.stack([jnp.mean(x), jnp.var(x)]), jnp.quantile(x, jnp.asarray(QUANTILES, x.dtype))])


class StatisticsMLP(HeadedReader):
    """Mean, variance and quantiles of each normalized array, then dense layers.

    **Preserves**: the output is invariant to every reordering of the entries of an array, so to every permutation of
    the Symmetry and to many that change the function. Its accuracy is what the distributions of weights alone allow.

    Args:
        symmetry, normalizer: of the data set; without a normalizer the weights are read as they are.
        width, depth: width and number of the hidden layers.

    Source: Unterthiner et al., arXiv 2002.11448, as StatNN in arXiv 2302.14040.

    Example:
        >>> import jax
        >>> from wsjax.symmetry import siren
        >>> spec = siren((2, 4, 1))
        >>> reader = StatisticsMLP(spec, 10, key=jax.random.key(0))
        >>> weights = spec.unflatten([jnp.ones(shape) for shape in spec.shapes])
        >>> [jax.eval_shape(read, weights).shape for read in (reader.features, reader)]
        [(28,), (10,)]
    """

    normalizer: Normalizer
    head: Stack
    symmetry: Symmetry = eqx.field(static=True)

    def __init__(
        self,
        symmetry: Symmetry,
        out_size: int,
        *,
        width: int = 128,
        depth: int = 2,
        normalizer: Normalizer | None = None,
        key: Key,
    ):
        check_arguments(symmetry, Symmetry, out_size, normalizer, width=width, depth=depth)
        self.normalizer, self.symmetry = normalizer_for(symmetry, normalizer), symmetry
        self.head = Stack(7 * len(symmetry.shapes), out_size, width, depth, key=key)

    def features(self, weights: Weights, *, key: Key | None = None, dropout_rate: Scalar = 0.0) -> Vector:
        """Seven numbers of each array of one network; none is dropped."""
        leaves = self.normalizer(self.symmetry.leaves(weights), self.head.dtype)
        return jnp.concatenate([seven(widened(leaf).reshape(-1)).astype(leaf.dtype) for leaf in leaves])
