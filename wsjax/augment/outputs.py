"""Known transformations of the output: contrast, brightness, the negative, by `output_affine`."""

import jax
import jax.numpy as jnp

from wsjax.augment.output_affine import output_affine
from wsjax.errors import check_number
from wsjax.symmetry import Symmetry
from wsjax.typing import Key, Scalar, Weights


def contrast(
    key: Key,
    weights: Weights,
    *,
    symmetry: Symmetry,
    max_log: Scalar = 0.2,
    centre: Scalar = 0.5,
    offset: Scalar = 0.0,
) -> Weights:
    """Stretch all values about one that stays: v' = c + g (v - c), with log g uniform on [-max_log, max_log].

    K' = g K, b' = g b + (1 - g) (c - offset). With g > 1 light parts of the picture become lighter and dark ones
    darker.

    **Transforms** the function exactly so.

    Args:
        key: a typed key.
        weights: one network.
        symmetry: its Symmetry.
        max_log: [] natural logarithm of the largest gain, 0 or more; 0.2 allows 0.82 to 1.22. 0 is the identity.
        centre: [] c, the value that stays: the middle of the values' range. 0.5 for pictures on [0, 1]; for signed
            distances 0, where the shape's surface is.
        offset: [] what decoding adds to the network's output.

    Raises:
        ValueError: no output axis, no bias, or a negative max_log.

    Source: the usual augmentation of pictures, on weights; not in arXiv 2402.04081.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from wsjax import networks, symmetry
        >>> w = networks.siren_init(jax.random.key(0), (2, 4, 1))
        >>> moved = contrast(jax.random.key(1), w, symmetry=symmetry.siren((2, 4, 1)))
        >>> gain = moved[1].kernel / w[1].kernel
        >>> bool(jnp.allclose(moved[1].bias - 0.5, gain[0] * (w[1].bias - 0.5), atol=1e-6))
        True
    """
    check_number("max_log", max_log, low=0)
    gain = jnp.exp(jax.random.uniform(key, minval=-1.0, maxval=1.0) * max_log)
    return output_affine(weights, symmetry=symmetry, matrix=gain, shift=(1 - gain) * centre, offset=offset)


def brightness(key: Key, weights: Weights, *, symmetry: Symmetry, max_shift: Scalar = 0.1) -> Weights:
    """Add one number to all values: v' = v + d in every channel, with d uniform on [-max_shift, max_shift].

    b' = b + d. The picture becomes lighter for d > 0. A signed distance moves its surface: the shape shrinks.

    **Transforms** the function exactly so, whatever the offset.

    Args:
        key: a typed key.
        weights: one network.
        symmetry: its Symmetry.
        max_shift: [] units of the values, 0 or more; 0.1 on [0, 1] is a tenth of the range. 0 is the identity.

    Raises:
        ValueError: no output axis, no bias, or a negative max_shift.

    Source: the usual augmentation of pictures, on weights; not in arXiv 2402.04081.

    Example:
        >>> import jax
        >>> from wsjax import networks, symmetry
        >>> w = networks.siren_init(jax.random.key(0), (2, 4, 3))
        >>> moved = brightness(jax.random.key(1), w, symmetry=symmetry.siren((2, 4, 3)))
        >>> added = moved[1].bias - w[1].bias
        >>> bool((moved[1].kernel == w[1].kernel).all()), bool(abs(added - added[0]).max() < 1e-6)
        (True, True)
    """
    check_number("max_shift", max_shift, low=0)
    shift = jax.random.uniform(key, minval=-1.0, maxval=1.0) * max_shift
    return output_affine(weights, symmetry=symmetry, shift=shift)


def invert(
    key: Key,
    weights: Weights,
    *,
    symmetry: Symmetry,
    probability: Scalar = 0.5,
    low: Scalar = 0.0,
    high: Scalar = 1.0,
    offset: Scalar = 0.0,
) -> Weights:
    """Turn the picture into its negative, with a given chance: v' = low + high - v.

    K' = -K, b' = -b + low + high - 2 offset. Light becomes dark and every colour its complement.

    **Transforms** the function exactly so.

    Args:
        key: a typed key.
        weights: one network.
        symmetry: its Symmetry.
        probability: [] chance, in [0, 1]; 0 is the identity.
        low, high: [] the values' range; its ends change places. -1 and 1 for signed values: v' = -v.
        offset: [] what decoding adds to the network's output.

    Raises:
        ValueError: no output axis, no bias, or a probability outside [0, 1].

    Source: the usual augmentation of pictures, on weights; not in arXiv 2402.04081.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from wsjax import networks, symmetry
        >>> w, spec = networks.siren_init(jax.random.key(0), (2, 4, 1)), symmetry.siren((2, 4, 1))
        >>> negative = invert(jax.random.key(1), w, symmetry=spec, probability=1.0)
        >>> bool(jnp.allclose(negative[1].bias, 1 - w[1].bias))
        True
    """
    check_number("probability", probability, low=0, high=1)
    inverted = jax.random.bernoulli(key, probability)
    gain = jnp.where(inverted, -1.0, 1.0)
    shift = jnp.where(inverted, 1.0, 0.0) * (jnp.asarray(low) + jnp.asarray(high))
    return output_affine(weights, symmetry=symmetry, matrix=gain, shift=shift, offset=offset)
