"""Known transformations of the output: colours mixed or faded to grey, by `output_affine`."""

import jax
import jax.numpy as jnp

from wsjax.augment.draws import normals
from wsjax.augment.ends import end_axis
from wsjax.augment.output_affine import output_affine
from wsjax.errors import check_number
from wsjax.floats import common, floats_of
from wsjax.symmetry import Symmetry
from wsjax.typing import Key, Scalar, Weights

LUMA = (0.299, 0.587, 0.114)


def mix_channels(key: Key, weights: Weights, *, symmetry: Symmetry, std: Scalar = 0.1) -> Weights:
    """Mix the colours at random and leave greys as they are: v' = v M, with every column of M summing to 1.

    M = I + D, D normal with its columns centred: D_ij = std (N_ij - mean_k N_kj). K' = K M, b' = b M. Colours drift;
    black, white and every grey between stay, so the offset, a grey itself, does not matter.

    **Transforms** the function exactly so, whatever the offset.

    Args:
        key: a typed key.
        weights: one network.
        symmetry: its Symmetry, with two outputs or more.
        std: [] deviation of the entries of M before centring, 0 or more; 0 is the identity.

    Raises:
        ValueError: a network of one output, or a negative std.

    Source: W' = W C from the definition; not in arXiv 2402.04081.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from wsjax import networks, symmetry
        >>> w = networks.siren_init(jax.random.key(0), (2, 4, 3))
        >>> grey = (w[0], w[1]._replace(kernel=jnp.ones((4, 3)), bias=jnp.ones(3)))
        >>> mix = jax.jit(lambda key, w: mix_channels(key, w, symmetry=symmetry.siren((2, 4, 3))))
        >>> moved = mix(jax.random.key(1), grey)
        >>> bool(jnp.allclose(moved[1].kernel, 1.0)), bool(jnp.allclose(moved[1].bias, 1.0))
        (True, True)
    """
    name, size = end_axis(symmetry, "output")
    if size < 2:
        raise ValueError(
            f"mix_channels mixes colours, and this network's output axis {name!r} has size {size}; use it on networks "
            f"of 2 outputs or more, or leave it out of the pipeline"
        )
    check_number("std", std, low=0)
    draw = normals(key, (size, size), dtype=common(floats_of(weights)))
    drift = std * (draw - jnp.mean(draw, axis=0, keepdims=True))
    return output_affine(weights, symmetry=symmetry, matrix=jnp.eye(size, dtype=drift.dtype) + drift)


def grey(key: Key, weights: Weights, *, symmetry: Symmetry, max_share: Scalar = 1.0) -> Weights:
    """Fade an RGB picture towards its grey one: v' = (1 - s) v + s luma(v), with s uniform on [0, max_share].

    luma(v) = 0.299 R + 0.587 G + 0.114 B in all three channels. K' = K M, b' = b M, with M = (1 - s) I + s l 1, l the
    column of these weights. Greys stay, so the offset, a grey itself, does not matter.

    **Transforms** the function exactly so, whatever the offset.

    Args:
        key: a typed key.
        weights: one network.
        symmetry: its Symmetry, with three outputs: red, green, blue.
        max_share: [] largest share of grey, in [0, 1]; 0 is the identity.

    Raises:
        ValueError: a network whose outputs are not three, or a max_share outside [0, 1].

    Source: the weights, ITU-R BT.601; not in arXiv 2402.04081.

    Example:
        >>> import jax
        >>> from wsjax import networks, symmetry
        >>> w = networks.siren_init(jax.random.key(0), (2, 4, 3))
        >>> before, after = w[1].bias, grey(jax.random.key(1), w, symmetry=symmetry.siren((2, 4, 3)))[1].bias
        >>> bool(after.max() - after.min() < before.max() - before.min())
        True
    """
    name, size = end_axis(symmetry, "output")
    if size != 3:
        raise ValueError(
            f"grey fades red, green and blue, and this network's output axis {name!r} has size {size}; use it on "
            f"networks of 3 outputs, or augment.output_affine with weights of your own"
        )
    check_number("max_share", max_share, low=0, high=1)
    share = jax.random.uniform(key) * max_share
    luma = jnp.asarray(LUMA)[:, None] * jnp.ones((1, 3))
    return output_affine(weights, symmetry=symmetry, matrix=(1 - share) * jnp.eye(3) + share * luma)
