"""The reader's normaliser: one shift and one scale for each array, so that equivariance survives it."""

from collections.abc import Mapping

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from wsjax.errors import listing
from wsjax.floats import widened
from wsjax.symmetry import Symmetry


class Normaliser(eqx.Module):
    """(w - shift) / scale for each array, with one number each for the whole array.

    An element-wise normaliser would tell neurons apart and break permutation equivariance. An array that signs or
    scales act on is only divided by its root mean square: a shift would break their equivariance.

    The statistics belong to the training split and never train. It computes in float32 at least and gives its own
    dtype, in which the reader then computes.
    """

    shift: tuple[Array, ...]
    scale: tuple[Array, ...]

    def __call__(self, leaves: list[Array]) -> list[Array]:
        return [_normalised(leaf, m, s) for leaf, m, s in zip(leaves, self.shift, self.scale, strict=True)]


def _normalised(leaf: Array, shift: Array, scale: Array) -> Array:
    return ((widened(leaf, shift) - widened(shift)) / widened(scale)).astype(shift.dtype)


def normaliser(symmetry: Symmetry, statistics: Mapping[str, Mapping[str, float]]) -> Normaliser:
    """Build the normaliser of a data set.

    Args:
        symmetry: the networks' Symmetry.
        statistics: for each leaf's name its `mean`, `std` and `rms` over the training split.

    Raises:
        ValueError: statistics missing for a leaf, or one of them.

    Example:
        >>> from wsjax.symmetry import siren
        >>> spec = siren((2, 4, 1))
        >>> norm = normaliser(spec, {name: {"mean": 1.0, "std": 2.0, "rms": 3.0} for name in spec.names})
        >>> [float(s) for s in norm.shift]   # only the last bias, on which nothing acts, is shifted
        [0.0, 0.0, 0.0, 1.0]
    """
    missing = [name for name in symmetry.names if name not in statistics]
    if missing:
        raise ValueError(f"the card has no statistics for {listing(missing)}; it has: {listing(statistics)}")
    signed = {n for n, g in symmetry.groups.items() if g.allows("sign") or g.allows("rescale")}
    shift, scale = [], []
    for name, axes in zip(symmetry.names, symmetry.axes, strict=True):
        found = statistics[name]
        acted_on = signed & set(axes.names)
        lacking = [needed for needed in (("rms",) if acted_on else ("mean", "std")) if needed not in found]
        if lacking:
            raise ValueError(
                f"the card's statistics of {name} lack {listing(lacking)}; found {listing(found) or 'none'}, expected "
                f"mean, std and rms: make them of the training split, as card.with_statistics(weights, rows) does"
            )
        shift.append(0.0 if acted_on else found["mean"])
        scale.append((found["rms"] if acted_on else found["std"]) or 1.0)
    dtype = jax.dtypes.canonicalize_dtype(float)  # that of the reader's other arrays: float64 where that is enabled
    return Normaliser(*(tuple(jnp.asarray(number, dtype) for number in numbers) for numbers in (shift, scale)))
