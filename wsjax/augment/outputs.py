"""Transformations of the output, of brightness and of color: exact for every network with a linear last layer.

They refuse networks without an output axis, and those that `output_affine` refuses.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from wsjax.augment.draws import normals
from wsjax.augment.io_axes import along, check_size, io_axis, io_size, numbers_along, place_of
from wsjax.augment.register import FRACTION, MAGNITUDE, Range, register
from wsjax.errors import listing
from wsjax.floats import common, floats_of, wide
from wsjax.symmetry import Symmetry
from wsjax.symmetry.axes import consumes
from wsjax.typing import Key, Scalar, Weights

VALUE = Range(low=-np.inf)


def output_affine(
    weights: Weights,
    *,
    symmetry: Symmetry,
    matrix: Float[ArrayLike, "outputs outputs"] | Scalar | None = None,
    shift: Float[ArrayLike, " outputs"] | Scalar | None = None,
    offset: Scalar | None = None,
) -> Weights:
    """Map every decoded value: v' = v M + d, where v = f + offset.

    **Transforms** the function exactly: K' = K M for every kernel that makes the output, b' = b M for every bias beside
    them, and one of these biases takes offset (1 M - 1) + d besides.

    Args:
        weights: one network.
        symmetry: its Symmetry, with a fixed axis of role "output".
        matrix: M, (outputs, outputs), acting on values as rows; one number is a gain for all; None is the identity.
        shift: d, (outputs,), in units of the values; one number shifts all alike; None is 0.
        offset: [] what decoding adds to the network's output, which matters beside a matrix; None is 0.

    Raises: ValueError: no output axis, an output axis that is part of a product or a sum, that an array multiplies (a
    normalization behind the last layer) or reads, no bias where a shift or an offset needs one, or sizes that do not
    fit.

    Source: from the definition; the public code of arXiv 2402.04081 has no transformation of the output.

    Example:
        >>> from wsjax import networks, symmetry
        >>> w, x = networks.siren_init(jax.random.key(0), (2, 4, 1)), jnp.ones((1, 2))
        >>> before = networks.siren_apply(w, x, offset=0.5)
        >>> negative = output_affine(w, symmetry=symmetry.siren((2, 4, 1)), matrix=-1.0, shift=1.0, offset=0.5)
        >>> bool(jnp.allclose(networks.siren_apply(negative, x, offset=0.5), 1 - before, atol=1e-6))
        True
    """
    leaves = symmetry.leaves(weights)
    name, size = io_axis(symmetry, "output")
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
                f"{leaf} is a vector along the output axis {name!r} and no bias, such as a normalization's scale, so "
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


@register(
    effect="transforms",
    formula="v' = c + g (v - c), v the decoded value",
    ranges={"max_log": MAGNITUDE, "center": VALUE, "offset": VALUE},
)
def contrast(
    key: Key, weights: Weights, symmetry: Symmetry, *, max_log: Scalar = 0.2, center: Scalar = 0.5, offset: Scalar = 0.0
) -> Weights:
    """Stretch all values about one that stays: v' = c + g (v - c), with log g uniform on [-max_log, max_log].

    **Transforms** the function exactly: K' = g K, b' = g b + (1 - g) (c - offset). With g > 1 light parts of an image
    become lighter and dark ones darker.

    Args:
        symmetry: its Symmetry.
        max_log: [] natural logarithm of the largest gain; 0.2 allows 0.82 to 1.22. 0 is the identity.
        center: [] c, the value that stays: the middle of the values' range. 0.5 for images on [0, 1]; for signed
            distances 0, where the shape's surface is.
        offset: [] what decoding adds to the network's output.

    Raises: ValueError: no bias along the output, a negative max_log, or a center or offset that is no number.

    Source: the usual augmentation of images, on weights; not in arXiv 2402.04081.

    Example:
        >>> from wsjax import networks, symmetry
        >>> w = networks.siren_init(jax.random.key(0), (2, 4, 1))
        >>> moved = contrast(symmetry.siren((2, 4, 1)))(jax.random.key(1), w)
        >>> gain = moved[1].kernel / w[1].kernel
        >>> bool(jnp.allclose(moved[1].bias - 0.5, gain[0] * (w[1].bias - 0.5), atol=1e-6))
        True
    """
    gain = jnp.exp(jax.random.uniform(key, minval=-1.0, maxval=1.0) * max_log)
    return output_affine(weights, symmetry=symmetry, matrix=gain, shift=(1 - gain) * center, offset=offset)


@register(effect="transforms", formula="v' = v + d", ranges={"max_shift": MAGNITUDE})
def brightness(key: Key, weights: Weights, symmetry: Symmetry, *, max_shift: Scalar = 0.1) -> Weights:
    """Add one number to all values: v' = v + d in every channel, with d uniform on [-max_shift, max_shift].

    **Transforms** the function exactly, whatever the offset: b' = b + d. An image becomes lighter for d > 0. A signed
    distance moves its surface: the shape shrinks.

    Args:
        symmetry: its Symmetry.
        max_shift: [] units of the values; 0.1 on [0, 1] is a tenth of the range. 0 is the identity.

    Raises: ValueError: no bias along the output, or a negative max_shift.

    Source: as `contrast`.

    Example:
        >>> from wsjax import networks, symmetry
        >>> w = networks.siren_init(jax.random.key(0), (2, 4, 3))
        >>> moved = brightness(symmetry.siren((2, 4, 3)))(jax.random.key(1), w)
        >>> added = moved[1].bias - w[1].bias
        >>> bool((moved[1].kernel == w[1].kernel).all()), bool(abs(added - added[0]).max() < 1e-6)
        (True, True)
    """
    shift = jax.random.uniform(key, minval=-1.0, maxval=1.0) * max_shift
    return output_affine(weights, symmetry=symmetry, shift=shift)


@register(
    effect="transforms",
    formula="v' = low + high - v",
    ranges={"probability": FRACTION, "low": VALUE, "high": VALUE, "offset": VALUE},
)
def invert(
    key: Key,
    weights: Weights,
    symmetry: Symmetry,
    *,
    probability: Scalar = 0.5,
    low: Scalar = 0.0,
    high: Scalar = 1.0,
    offset: Scalar = 0.0,
) -> Weights:
    """Turn an image into its negative, with a given chance: v' = low + high - v.

    **Transforms** the function exactly: K' = -K, b' = -b + low + high - 2 offset. Light becomes dark and every color
    its complement.

    Args:
        symmetry: its Symmetry.
        probability: [] chance, in [0, 1]; 0 is the identity.
        low, high: [] the values' range; its ends change places. -1 and 1 for signed values: v' = -v.
        offset: [] what decoding adds to the network's output.

    Raises: ValueError: no bias along the output, a probability outside [0, 1], or another setting that is no number.

    Source: as `contrast`.

    Example:
        >>> from wsjax import networks, symmetry
        >>> w, spec = networks.siren_init(jax.random.key(0), (2, 4, 1)), symmetry.siren((2, 4, 1))
        >>> negative = invert(spec, probability=1.0)(jax.random.key(1), w)
        >>> bool(jnp.allclose(negative[1].bias, 1 - w[1].bias))
        True
    """
    inverted = jax.random.bernoulli(key, probability)
    gain = jnp.where(inverted, -1.0, 1.0)
    shift = jnp.where(inverted, 1.0, 0.0) * (jnp.asarray(low) + jnp.asarray(high))
    return output_affine(weights, symmetry=symmetry, matrix=gain, shift=shift, offset=offset)


LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in gray, ITU-R BT.601."""


@register(
    effect="transforms", formula="v' = v M, the columns of M summing to 1: gray stays gray", ranges={"std": MAGNITUDE}
)
def mix_channels(key: Key, weights: Weights, symmetry: Symmetry, *, std: Scalar = 0.1) -> Weights:
    """Mix the colors at random and leave grays as they are: v' = v M, with every column of M summing to 1.

    **Transforms** the function exactly, whatever the offset, a gray itself: K' = K M, b' = b M, with M = I + D, D
    normal with its columns centered, D_ij = std (N_ij - mean_k N_kj).

    Args:
        symmetry: its Symmetry, with two outputs or more.
        std: [] deviation of the entries of M before centering; 0 is the identity.

    Raises: ValueError: a network of one output, or a negative std.

    Source: W' = W C from the definition; not in arXiv 2402.04081.

    Example:
        >>> from wsjax import networks, symmetry
        >>> w = networks.siren_init(jax.random.key(0), (2, 4, 3))
        >>> gray = (w[0], w[1]._replace(kernel=jnp.ones((4, 3)), bias=jnp.ones(3)))
        >>> mix = jax.jit(lambda key, w: mix_channels(symmetry.siren((2, 4, 3)))(key, w))
        >>> moved = mix(jax.random.key(1), gray)
        >>> bool(jnp.allclose(moved[1].kernel, 1.0)), bool(jnp.allclose(moved[1].bias, 1.0))
        (True, True)
    """
    size = io_size(symmetry, "output", "mix_channels mixes colors", low=2)
    draw = normals(key, (size, size), dtype=common(floats_of(weights)))
    drift = std * (draw - jnp.mean(draw, axis=0, keepdims=True))
    return output_affine(weights, symmetry=symmetry, matrix=jnp.eye(size, dtype=drift.dtype) + drift)


@register(effect="transforms", formula="v' = (1 - s) v + s luma(v)", ranges={"max_fraction": FRACTION})
def gray(key: Key, weights: Weights, symmetry: Symmetry, *, max_fraction: Scalar = 1.0) -> Weights:
    """Fade an RGB image to gray: v' = (1 - s) v + s luma(v), with s uniform on [0, max_fraction].

    **Transforms** the function exactly, whatever the offset, a gray itself: K' = K M, b' = b M, with M = (1 - s) I + s
    l 1, l the column (0.299, 0.587, 0.114), so that luma(v) = 0.299 R + 0.587 G + 0.114 B in all channels.

    Args:
        symmetry: its Symmetry, with three outputs: red, green, blue.
        max_fraction: [] of gray, in [0, 1]; 0 is the identity.

    Raises: ValueError: a network whose outputs are not three, or a max_fraction outside [0, 1].

    Source: the weights, ITU-R BT.601; not in arXiv 2402.04081.

    Example:
        >>> from wsjax import networks, symmetry
        >>> w = networks.siren_init(jax.random.key(0), (2, 4, 3))
        >>> before, after = w[1].bias, gray(symmetry.siren((2, 4, 3)))(jax.random.key(1), w)[1].bias
        >>> bool(after.max() - after.min() < before.max() - before.min())
        True
    """
    way_out = "augment.outputs.output_affine with weights of your own"
    io_size(symmetry, "output", "gray fades red, green and blue", 3, 3, way_out)
    fraction = jax.random.uniform(key) * max_fraction
    luma = jnp.asarray(LUMA)[:, None] * jnp.ones((1, 3))
    return output_affine(weights, symmetry=symmetry, matrix=(1 - fraction) * jnp.eye(3) + fraction * luma)
