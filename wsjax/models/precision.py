"""A reader that computes in another dtype than its parameters are kept in."""

from typing import Any, TypeVar

import equinox as eqx
import jax
import numpy as np

from wsjax.errors import check_choice

Model = TypeVar("Model")

DTYPES = ("float32", "bfloat16")
"""What readers compute in; float16's range is too small for their gradients."""


def computing_in(model: Model, dtype: str) -> Model:
    """A reader whose floating arrays are rounded to a dtype, which it then computes in.

    Take the gradient through it, and it arrives at the parameters as they were: kept and moved in float32, used in
    bfloat16. What a rounding would spoil stays as it is: modules whose class says `KEEPS_DTYPE = True`, which are the
    generators of learned inputs, at which networks are run in float32, and the units of targets. Norms, the reader's
    normaliser and statistics compute in float32 and round once.

    **Preserves** what the reader preserves, to the accuracy of the dtype.

    Args:
        model: any reader.
        dtype: `"float32"` or `"bfloat16"`.

    Raises:
        ValueError: another dtype.

    Example:
        >>> from wsjax.models import FlatConfig, FlatMLP, Normaliser
        >>> from wsjax.symmetry import siren
        >>> import jax.numpy as jnp
        >>> spec = siren((2, 4, 1))
        >>> plain = Normaliser((jnp.zeros(()),) * 4, (jnp.ones(()),) * 4)
        >>> weights = spec.unflatten([np.ones(shape, np.float32) for shape in spec.shapes])
        >>> make = lambda key: FlatMLP(spec, plain, 3, FlatConfig(), key=key)
        >>> outputs = lambda key: (make(key)(weights), computing_in(make(key), "bfloat16")(weights))
        >>> tuple(output.dtype for output in jax.eval_shape(outputs, jax.random.key(0)))
        (dtype('float32'), dtype(bfloat16))
    """
    check_choice("dtype to compute in", dtype, DTYPES)
    rounded = np.dtype(dtype)
    return jax.tree.map(
        lambda node: node.astype(rounded) if eqx.is_inexact_array(node) else node, model, is_leaf=_keeps_dtype
    )


def _keeps_dtype(node: Any) -> bool:
    return getattr(type(node), "KEEPS_DTYPE", False)
