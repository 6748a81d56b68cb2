"""Perturbations: the function changes a little, in no known way."""

import jax
import jax.numpy as jnp
import numpy as np

from wsjax.errors import check_number
from wsjax.typing import Key, Scalar, Weights


def noise(key: Key, weights: Weights, *, std: Scalar = 0.1) -> Weights:
    """Add Gaussian noise to every array, in units of that array's own deviation.

    w' = w + std * sd(w) * N(0, 1), sd over the entries of one array of one network. An array of one entry has
    deviation 0 and stays.

    **Perturbs** the function.

    Args:
        key: a typed key.
        weights: one network, any pytree; leaves that are not floating point stay.
        std: [] multiples of each array's standard deviation; 0 is the identity.

    Raises:
        ValueError: a negative std.

    Source: arXiv 2402.04081, section 4. The code of arXiv 2301.12780 adds the same constant to every entry instead
    of noise.

    Example:
        >>> import jax
        >>> from wsjax import networks
        >>> w = networks.siren_init(jax.random.key(0), (2, 4, 1))
        >>> bool((noise(jax.random.key(1), w, std=0.5)[0].kernel == w[0].kernel).any())
        False
    """
    check_number("std", std, low=0)
    leaves, treedef = jax.tree.flatten(weights)
    noisy = []
    for i, leaf in enumerate(map(jnp.asarray, leaves)):
        if jnp.issubdtype(leaf.dtype, jnp.floating):
            wide = np.promote_types(leaf.dtype, np.float32)  # JAX's own refuses under strict promotion
            deviation = jnp.std(leaf.astype(wide)) * jnp.asarray(std, wide)
            draw = jax.random.normal(jax.random.fold_in(key, i), leaf.shape, wide)
            leaf = leaf + (deviation * draw).astype(leaf.dtype)
        noisy.append(leaf)
    return jax.tree.unflatten(treedef, noisy)
