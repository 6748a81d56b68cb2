"""The one map behind every known transformation of the output, by an exact change of the last layer.

A network whose last layer is linear, h K + b, decodes to v = f + offset, and

    v' = v M + d      <=>      K' = K M,   b' = b M + offset (1 M - 1) + d

with values as rows, one column for each output channel, and 1 the row of ones. The `offset` is what decoding adds to
the network's own output (0.5 for networks of the DWSNets family, 0 for most; a data set's card has it). Where a map
leaves every grey as it is, 1 M = 1, the offset drops out and is no argument.

No input is touched, so any network upstream of its last layer serves: dense, convolutional, or any pytree whose
Symmetry has a fixed axis with the role "output", made by kernels and biases alone.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from wsjax.augment.ends import along, check_size, end_axis, numbers_along, place_of
from wsjax.errors import listing
from wsjax.floats import wide
from wsjax.symmetry import Symmetry
from wsjax.symmetry.axes import consumes
from wsjax.typing import Scalar, Weights


def output_affine(
    weights: Weights,
    *,
    symmetry: Symmetry,
    matrix: Float[ArrayLike, "outputs outputs"] | Scalar | None = None,
    shift: Float[ArrayLike, " outputs"] | Scalar | None = None,
    offset: Scalar | None = None,
) -> Weights:
    """Map every decoded value: v' = v M + d, where v = f + offset.

    K' = K M for every kernel that makes the output, b' = b M for every bias beside them, and one of these biases
    takes offset (1 M - 1) + d besides.

    **Transforms** the function exactly so.

    Args:
        weights: one network.
        symmetry: its Symmetry, with a fixed axis of role "output".
        matrix: M, (outputs, outputs), acting on values as rows; one number is a gain for all; None is the identity.
        shift: d, (outputs,), in units of the values; one number shifts all alike; None is 0.
        offset: [] what decoding adds to the network's output, which matters beside a matrix; None is 0.

    Raises:
        ValueError: no output axis, an output axis that is part of a product or a sum, that an array multiplies
            (a normalisation behind the last layer) or reads, no bias where a shift or an offset needs one, or sizes
            that do not fit.

    Source: from the definition; the public code of arXiv 2402.04081 has no transformation of the output.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from wsjax import networks, symmetry
        >>> w, x = networks.siren_init(jax.random.key(0), (2, 4, 1)), jnp.ones((1, 2))
        >>> before = networks.siren_apply(w, x, offset=0.5)
        >>> negative = output_affine(w, symmetry=symmetry.siren((2, 4, 1)), matrix=-1.0, shift=1.0, offset=0.5)
        >>> bool(jnp.allclose(networks.siren_apply(negative, x, offset=0.5), 1 - before, atol=1e-6))
        True
    """
    leaves = symmetry.leaves(weights)
    name, size = end_axis(symmetry, "output")
    check_size("matrix", matrix, ((), (size, size)), name)
    check_size("shift", shift, ((), (size,)), name)
    makers = numbers_along(symmetry, leaves, _makers(symmetry, name), "output")
    biases = [i for i in makers if symmetry.axes[i].bias]
    drifts = shift is not None or (matrix is not None and offset is not None)
    if drifts and not biases:
        raise ValueError(
            f"a shift or an offset needs a bias along the output axis {name!r}, and only "
            f"{listing(symmetry.names[i] for i in makers)} make it. Mark its bias with Axes({name!r}, bias=True), or "
            f"give neither of the two"
        )
    moved = list(leaves)
    for i, axis in makers.items():
        new = leaves[i].astype(wide(leaves[i]))
        if matrix is not None:
            m = jnp.asarray(matrix).astype(new.dtype)
            new = m * new if m.ndim == 0 else along(m.T, new, axis)
        if drifts and i == biases[0]:
            drift = _drift(matrix, shift, offset, size, new.dtype)
            new = new + jnp.expand_dims(drift, [a for a in range(new.ndim) if a != axis])
        moved[i] = new.astype(leaves[i].dtype)
    return symmetry.unflatten(moved)


def _makers(symmetry: Symmetry, name: str) -> dict[int, int]:
    """The arrays whose sum is the output, kernels and biases, and the place of the output among their axes."""
    found = {}
    for i, axes in enumerate(symmetry.axes):
        if name not in axes.names:
            continue
        leaf = symmetry.names[i]
        place = place_of(name, axes, leaf, "output")
        if axes.names.count(name) > 1 or consumes(str(axes.entries[place])):
            raise ValueError(
                f"{leaf} reads the output axis {name!r}; to transform what a network decodes to, its output must be "
                f"what its last kernels and biases make, and read by none"
            )
        if len(axes.entries) == 1 and not axes.bias:
            raise ValueError(
                f"{leaf} is a vector along the output axis {name!r} and no bias, such as a normalisation's scale, so "
                f"the output is not linear in the last kernel; fold it into the last layer, or mark a bias as one"
            )
        found[i] = place
    return found


def _drift(
    matrix: ArrayLike | None, shift: ArrayLike | None, offset: ArrayLike | None, size: int, dtype: np.dtype
) -> Float[Array, " outputs"]:
    """offset (1 M - 1) + d."""
    d = jnp.zeros(size, dtype) if shift is None else jnp.broadcast_to(jnp.asarray(shift).astype(dtype), (size,))
    if matrix is None or offset is None:
        return d
    m = jnp.asarray(matrix).astype(dtype)
    gain = m if m.ndim == 0 else jnp.sum(m, axis=0)
    return jnp.asarray(offset).astype(dtype) * (gain - 1) + d
