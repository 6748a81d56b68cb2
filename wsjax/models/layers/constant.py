"""Arrays of a reader that no optimizer changes."""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, ArrayLike, Float, Int


class Constant(eqx.Module):
    """Numbers in float32, stored as the integers of the same bits.

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
            self.bits = jax.device_put(np.asarray(values, np.float32).view(np.int32))

    @property
    def value(self) -> Float[Array, "*shape"]:
        return jax.lax.bitcast_convert_type(self.bits, jnp.float32)
