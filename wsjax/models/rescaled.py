"""A regressor in its target's own units: a reader of standardised numbers, and the units it answers in."""

from typing import Any, ClassVar

import equinox as eqx
from jaxtyping import Array, Float

from wsjax.typing import Key, Scalar, Weights


class Units(eqx.Module):
    """shift + scale * y: from standardised numbers to those of a target, one shift and one scale for each.

    They belong to the training split, and no optimiser touches them.

    Example:
        >>> import jax.numpy as jnp
        >>> Units(jnp.array([5.0]), jnp.array([2.0]))(jnp.array([1.5])).tolist()
        [8.0]
    """

    KEEPS_DTYPE: ClassVar = True

    shift: Float[Array, " targets"]
    scale: Float[Array, " targets"]

    def __call__(self, y: Float[Array, " targets"]) -> Float[Array, " targets"]:
        return self.shift + self.scale * y.astype(self.scale.dtype)


class Rescaled(eqx.Module):
    """A reader whose outputs are brought to other units: shift + scale * reader(weights).

    A regressor learns targets standardised, (t - mean) / std; with the mean as the shift and the deviation as the scale
    it gives them as they are. The features are the reader's own, and its head stays the head: `head_arrays` names the
    same arrays as for the reader alone.

    **Preserves**: whatever the reader is invariant to.

    Args:
        reader: any reader of this library, or another with `features` and `head`.
        units: a shift and a scale for each of its outputs.

    Example:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from wsjax.models import FlatConfig, FlatMLP, Normaliser
        >>> from wsjax.symmetry import siren
        >>> spec = siren((2, 4, 1))
        >>> plain = Normaliser((jnp.zeros(()),) * 4, (jnp.ones(()),) * 4)
        >>> reader = FlatMLP(spec, plain, 1, FlatConfig(), key=jax.random.key(0))
        >>> rescaled = Rescaled(reader, Units(jnp.array([20.0]), jnp.array([0.5])))
        >>> weights = spec.unflatten([jnp.ones(shape) for shape in spec.shapes])
        >>> bool(jnp.all(rescaled(weights) == 20 + 0.5 * reader(weights)))
        True
    """

    reader: Any
    units: Units

    def features(self, weights: Weights, *, key: Key | None = None, rate: Scalar = 0.0) -> Array:
        """What the reader's head sees of one network."""
        return self.reader.features(weights, key=key, rate=rate)

    def head(self, features: Array, *, key: Key | None = None, rate: Scalar = 0.0) -> Float[Array, " targets"]:
        """From features to targets in their own units."""
        return self.units(self.reader.head(features, key=key, rate=rate))

    def __call__(self, weights: Weights, *, key: Key | None = None, rate: Scalar = 0.0) -> Float[Array, " targets"]:
        """Read one network; with a key, drop what the reader drops, at the given rate."""
        return self.units(self.reader(weights, key=key, rate=rate))
