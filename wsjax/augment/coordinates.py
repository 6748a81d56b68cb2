"""Known transformations of the input: moves, zooms, shears and mirrors, each a random `affine` map."""

import jax
import jax.numpy as jnp

from wsjax.augment.affine import affine
from wsjax.augment.ends import end_axis
from wsjax.errors import as_whole, check_number
from wsjax.symmetry import Symmetry
from wsjax.typing import Key, Scalar, Weights


def translate(key: Key, weights: Weights, *, symmetry: Symmetry, max_shift: Scalar = 0.1) -> Weights:
    """Shift a field along every input axis by t uniform on [-max_shift, max_shift].

    f'(x) = f(x + t), so b_0' = b_0 + t W_0 and nothing else; the picture moves by -t.

    **Transforms** the function exactly so.

    Args:
        key: a typed key.
        weights: one network.
        symmetry: its Symmetry.
        max_shift: [] units of the coordinates, 0 or more; 0.25 on [-1, 1] is an eighth of the picture. 0 is the
            identity.

    Raises:
        ValueError: no input axis, or a first layer without a bias.

    Source: arXiv 2402.04081, section 4. Its code adds t W_0 ... W_{k-1} to b_{k-1} at a random depth k, a
    translation for k = 1 only.

    Example:
        >>> import jax
        >>> from wsjax import networks, symmetry
        >>> w = networks.siren_init(jax.random.key(0), (3, 4, 1))
        >>> moved = translate(jax.random.key(1), w, symmetry=symmetry.siren((3, 4, 1)))
        >>> bool((moved[0].kernel == w[0].kernel).all())
        True
    """
    _, size = end_axis(symmetry, "input")
    check_number("max_shift", max_shift, low=0)
    shift = jax.random.uniform(key, (size,), minval=-1.0, maxval=1.0) * max_shift
    return affine(weights, symmetry=symmetry, shift=shift)


def scale(key: Key, weights: Weights, *, symmetry: Symmetry, max_log: Scalar = 0.2) -> Weights:
    """Zoom a field about the coordinate origin, by the same factor along every input axis.

    f'(x) = f(s x), so W_0' = s W_0, with log s uniform on [-max_log, max_log]; s > 1 makes the picture smaller.

    **Transforms** the function exactly so.

    Args:
        key: a typed key.
        weights: one network.
        symmetry: its Symmetry.
        max_log: [] natural logarithm of the largest factor, 0 or more; 0.2 allows 0.82 to 1.22. 0 is the identity.

    Raises:
        ValueError: no input axis, or a negative max_log.

    Source: arXiv 2402.04081, section 4, where s is uniform on [0.8, 1.2]; a uniform logarithm makes zooming in and
    out equally likely.

    Example:
        >>> import jax
        >>> from wsjax import networks, symmetry
        >>> w = networks.siren_init(jax.random.key(0), (2, 4, 1))
        >>> zoomed = scale(jax.random.key(1), w, symmetry=symmetry.siren((2, 4, 1)))
        >>> bool((zoomed[0].bias == w[0].bias).all())
        True
    """
    _, size = end_axis(symmetry, "input")
    check_number("max_log", max_log, low=0)
    factor = jnp.exp(jax.random.uniform(key, minval=-1.0, maxval=1.0) * max_log)
    return affine(weights, symmetry=symmetry, matrix=factor * jnp.eye(size))


def scale_axes(key: Key, weights: Weights, *, symmetry: Symmetry, max_log: Scalar = 0.2) -> Weights:
    """Zoom a field about the coordinate origin, by a factor of its own along each input axis.

    f'(x) = f(x diag(s)), so row i of W_0 times s_i, with every log s_i uniform on [-max_log, max_log]; s_i > 1 makes
    the picture narrower along axis i.

    **Transforms** the function exactly so.

    Args:
        key: a typed key.
        weights: one network.
        symmetry: its Symmetry.
        max_log: [] natural logarithm of the largest factor, 0 or more; 0.2 allows 0.82 to 1.22. 0 is the identity.

    Raises:
        ValueError: no input axis, or a negative max_log.

    Source: `scale` along each axis; not in arXiv 2402.04081, whose one factor serves all axes.

    Example:
        >>> import jax
        >>> from wsjax import networks, symmetry
        >>> w = networks.siren_init(jax.random.key(0), (2, 4, 1))
        >>> zoomed = scale_axes(jax.random.key(1), w, symmetry=symmetry.siren((2, 4, 1)))
        >>> factor = zoomed[0].kernel / w[0].kernel
        >>> bool((abs(factor[:, 0] - factor[:, 1]) < 1e-6).all()), bool(abs(factor[0, 0] - factor[1, 0]) < 1e-3)
        (True, False)
    """
    _, size = end_axis(symmetry, "input")
    check_number("max_log", max_log, low=0)
    factors = jnp.exp(jax.random.uniform(key, (size,), minval=-1.0, maxval=1.0) * max_log)
    return affine(weights, symmetry=symmetry, matrix=jnp.diag(factors))


def shear(key: Key, weights: Weights, *, symmetry: Symmetry, max_shear: Scalar = 0.2) -> Weights:
    """Slant a field: along each input axis, shift it in proportion to every other coordinate.

    f'(x) = f(x A), so W_0' = A W_0, with ones on the diagonal of A and every other entry uniform on
    [-max_shear, max_shear]. A_ij > 0 moves the picture at x_i > 0 towards smaller x_j. Areas change by 1 / det A.

    **Transforms** the function exactly so.

    Args:
        key: a typed key.
        weights: one network.
        symmetry: its Symmetry, with two inputs or more.
        max_shear: [] slope, 0 or more; 0.2 slants by up to 11 degrees. 0 is the identity; from 1 / (inputs - 1) on
            the picture may collapse to a line.

    Raises:
        ValueError: a network of one input, or a negative max_shear.

    Source: the general W_0' = A W_0; not in arXiv 2402.04081.

    Example:
        >>> import jax
        >>> from wsjax import networks, symmetry
        >>> w = networks.siren_init(jax.random.key(0), (2, 4, 1))
        >>> slanted = shear(jax.random.key(1), w, symmetry=symmetry.siren((2, 4, 1)))
        >>> bool((slanted[0].bias == w[0].bias).all())
        True
    """
    axis, size = end_axis(symmetry, "input")
    if size < 2:
        raise ValueError(
            f"shear slants one coordinate by another, and this network's input axis {axis!r} has size {size}; "
            f"use it on networks of 2 inputs or more, or leave it out of the pipeline"
        )
    check_number("max_shear", max_shear, low=0)
    slopes = jax.random.uniform(key, (size, size), minval=-1.0, maxval=1.0) * max_shear
    one = jnp.eye(size, dtype=slopes.dtype)
    return affine(weights, symmetry=symmetry, matrix=jnp.where(one > 0, one, slopes))


def flip(
    key: Key, weights: Weights, *, symmetry: Symmetry, probability: Scalar = 0.5, axis: Scalar | None = None
) -> Weights:
    """Mirror a field at the coordinate origin, along each input axis, or one, with a given chance.

    f'(x) = f(x diag(s)), so row i of W_0 times s_i, with s_i = -1 with that chance and 1 otherwise. The picture is
    mirrored along axis i: left and right change places, or top and bottom.

    **Transforms** the function exactly so.

    Args:
        key: a typed key.
        weights: one network.
        symmetry: its Symmetry.
        probability: [] chance for each axis, in [0, 1]; 0 is the identity.
        axis: [] the only one that is mirrored, from 0; None for all. Of images fitted here 0 is x: left and right
            change places.

    Raises:
        ValueError: no input axis, no such axis, or a probability outside [0, 1].

    Source: the general W_0' = A W_0; not in arXiv 2402.04081.

    Example:
        >>> import jax
        >>> from wsjax import networks, symmetry
        >>> w = networks.siren_init(jax.random.key(0), (2, 4, 1))
        >>> mirrored = flip(jax.random.key(1), w, symmetry=symmetry.siren((2, 4, 1)), probability=1.0)
        >>> bool((mirrored[0].kernel == -w[0].kernel).all())
        True
    """
    _, size = end_axis(symmetry, "input")
    check_number("probability", probability, low=0, high=1)
    chosen = jax.random.bernoulli(key, probability, (size,))
    if axis is not None:
        check_number("axis", as_whole(axis), low=0, high=size - 1, whole=True)
        chosen = chosen & (jnp.arange(size, dtype=jnp.float32) == jnp.asarray(axis, jnp.float32))
    signs = jnp.where(chosen, -1.0, 1.0)
    return affine(weights, symmetry=symmetry, matrix=jnp.diag(signs))
