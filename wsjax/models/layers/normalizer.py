"""The reader's normalizer: one shift and one scale for each array, so that equivariance survives it."""

from collections.abc import Mapping, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import DTypeLike
from jaxtyping import Array, ArrayLike, Float, Int

from wsjax.errors import check_number, listing
from wsjax.symmetry import Symmetry


class Constant(eqx.Module):
    """Numbers in float32 that no optimizer changes, stored as the integers of the same bits.

    `eqx.is_inexact_array`, which selects the parameters in Equinox, does not select integers: so
    `eqx.partition(reader, eqx.is_inexact_array)` leaves statistics and frequencies out of the parameters, and neither a
    gradient nor weight decay reaches them. They are arrays all the same: readers that differ in them alone share one
    compiled program.

    Example:
        >>> constant = Constant([0.5, 2.0])
        >>> constant.value.tolist(), eqx.filter(constant, eqx.is_inexact_array)
        ([0.5, 2.0], Constant(bits=None))
    """

    bits: Int[Array, "*shape"]

    def __init__(self, values: ArrayLike | Sequence[float]):
        if isinstance(values, Tracer):
            self.bits = jax.lax.bitcast_convert_type(values.astype(jnp.float32), jnp.int32)
        else:
            self.bits = jax.device_put(np.array(values, np.float32).view(np.int32))  # a copy, see `floats`

    @property
    def value(self) -> Float[Array, "*shape"]:
        return jax.lax.bitcast_convert_type(self.bits, jnp.float32)


class Normalizer(eqx.Module):
    """(w - shift) / scale for each array, with one number each for the whole array.

    An element-wise normalizer would distinguish neurons and break permutation equivariance. An array that signs, half
    turns or scales act on is only divided by its root mean square: a shift would break their equivariance.

    The statistics belong to the training split and never train (`Constant`). It computes in float32 at least and rounds
    once, to the dtype of the reader's parameters.

    Raises: ValueError for anything but one shift and one scale for each array.

    Example:
        >>> Normalizer([1.0], [2.0])([jnp.array([3.0, 5.0])], jnp.bfloat16)
        [Array([1, 2], dtype=bfloat16)]
    """

    shift: Constant
    scale: Constant

    def __init__(self, shift: Sequence[float] | ArrayLike, scale: Sequence[float] | ArrayLike):
        if np.ndim(shift) != 1 or np.shape(shift) != np.shape(scale):
            raise ValueError(
                f"the shifts have shape {np.shape(shift)} and the scales {np.shape(scale)}; expected one of each for "
                f"each array: make them of a data set, as dataset.normalizer() does"
            )
        self.shift, self.scale = Constant(shift), Constant(scale)

    def __len__(self) -> int:
        return len(self.shift.bits)

    def extended(self, arrays: int) -> "Normalizer":
        """One for so many arrays more, which it leaves as they are."""
        more = lambda constant, fill: jnp.pad(constant.value, (0, arrays), constant_values=fill)
        return Normalizer(more(self.shift, 0.0), more(self.scale, 1.0))

    def __call__(self, leaves: list[Array], dtype: DTypeLike) -> list[Array]:
        """Each array normalized, in a dtype."""
        wide = np.promote_types(dtype, np.float32)
        shifts, scales = self.shift.value.astype(wide), self.scale.value.astype(wide)
        return [
            ((jnp.asarray(leaf).astype(wide) - shift) / scale).astype(dtype)
            for leaf, shift, scale in zip(leaves, shifts, scales, strict=True)
        ]


def normalizer_for(symmetry: Symmetry, given: Normalizer | None) -> Normalizer:
    """The normalizer that a reader is given, checked for the number of arrays; the identity where it is given none."""
    count = len(symmetry.names)
    if given is not None and len(given) != count:
        raise ValueError(
            f"the normalizer is for {len(given)} arrays; the Symmetry names {count}: {listing(symmetry.names)}. "
            f"Make it of the same data set, as dataset.normalizer() does"
        )
    return Normalizer([0.0] * count, [1.0] * count) if given is None else given


def normalizer(symmetry: Symmetry, statistics: Mapping[str, Mapping[str, float]]) -> Normalizer:
    """Build the normalizer of a data set, of each leaf's `mean`, `std` and `rms` over the training split.

    Raises: ValueError for statistics missing for a leaf, or one of them, or one that is no number or is negative.

    Example:
        >>> from wsjax.symmetry import siren
        >>> spec = siren((2, 4, 1))
        >>> norm = normalizer(spec, {name: {"mean": 1.0, "std": 2.0, "rms": 3.0} for name in spec.names})
        >>> norm.shift.value.tolist()   # only the last bias, on which nothing acts, is shifted
        [0.0, 0.0, 0.0, 1.0]
    """
    missing = [name for name in symmetry.names if name not in statistics]
    if missing:
        raise ValueError(f"the metadata has no statistics for {listing(missing)}; it has: {listing(statistics)}")
    signed = {n for n, g in symmetry.groups.items() if any(map(g.allows, ("sign", "phase", "rescale")))}
    shift, scale = [], []
    for name, axes in zip(symmetry.names, symmetry.axes, strict=True):
        found = statistics[name]
        acted_on = signed & set(axes.names)
        needed = ("rms",) if acted_on else ("mean", "std")
        lacking = [kind for kind in needed if kind not in found]
        if lacking:
            raise ValueError(
                f"the metadata's statistics of {name} lack {listing(lacking)}; "
                f"found {listing(found) or 'none'}, expected mean, std and rms: make them of the "
                f"training split, as metadata.with_statistics(weights, rows) does"
            )
        for kind in needed:
            check_number(f"the statistic {kind} of {name}", found[kind], low=-np.inf if kind == "mean" else 0)
        shift.append(0.0 if acted_on else found["mean"])
        scale.append((found["rms"] if acted_on else found["std"]) or 1.0)
    return Normalizer(shift, scale)
