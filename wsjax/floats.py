"""The floating-point arrays of a network, and the type to compute one of them in: half types round once, at the end."""

from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, PyTree

from wsjax.typing import Weights


def floating(leaf: ArrayLike | np.ndarray) -> bool:
    return jnp.issubdtype(jnp.result_type(leaf), jnp.floating)


def inexact(leaf: ArrayLike | np.ndarray) -> bool:
    """Whether a leaf holds floating-point or complex numbers, which factors multiply; others only move."""
    return jnp.issubdtype(jnp.result_type(leaf), jnp.inexact)


def as_array(leaf: ArrayLike | np.ndarray) -> Array:
    """A leaf as a JAX array, without the program that `jnp.asarray` compiles for each shape of a NumPy array."""
    return on_device(np.asarray(leaf)) if isinstance(leaf, np.ndarray | np.generic) else jnp.asarray(leaf)


def on_device(tree: PyTree, place: Any = None) -> PyTree:
    """A tree on a device, spread by a sharding, or on the default device, without a program for each shape.

    NumPy arrays are copied: on a CPU `jax.device_put` alone may share their memory, which others may write to.
    """
    copied = lambda leaf: jax.device_put(np.array(leaf) if isinstance(leaf, np.ndarray) else leaf, place)
    return jax.tree.map(copied, tree)


def uncut(leaf: ArrayLike | np.ndarray) -> Array | np.ndarray:
    """A leaf as a JAX array; NumPy integers of 64 bits, which JAX would cut to 32, as they are."""
    if isinstance(leaf, np.ndarray | np.generic) and leaf.dtype.kind in "iu":
        return np.asarray(leaf) if jax.dtypes.canonicalize_dtype(leaf.dtype) != leaf.dtype else as_array(leaf)
    return as_array(leaf)


def wide(leaf: Array | np.ndarray) -> np.dtype:
    """The dtype to compute a leaf in: at least float32, so that half types round once."""
    dtype = np.promote_types(leaf.dtype, np.float32)  # JAX's own refuses under strict promotion
    return np.dtype(jax.dtypes.canonicalize_dtype(dtype))  # of integers NumPy makes float64


def widened(leaf: ArrayLike | np.ndarray, like: Array | np.ndarray | None = None) -> Array:
    """A leaf in the dtype to compute it in, or to compute another in."""
    leaf = as_array(leaf)
    return leaf.astype(wide(leaf if like is None else like))


def all_widened(tree: PyTree, like: Array | np.ndarray) -> PyTree:
    """Every leaf in the dtype to compute another in, whatever the networks are stored in."""
    return jax.tree.map(lambda leaf: widened(leaf, like), tree)


def common(leaves: Iterable[Array]) -> np.dtype:
    """The one dtype to compute several arrays in, of those that are floating point; at least float32."""
    dtype = np.dtype(np.float32)
    for leaf in leaves:
        dtype = np.promote_types(dtype, leaf.dtype) if floating(leaf) else dtype
    return dtype


def floats_of(weights: Weights) -> list[Array]:
    return [as_array(leaf) for leaf in jax.tree.leaves(weights) if floating(leaf)]


def with_floats(weights: Weights, floats: list[Array]) -> Weights:
    """The weights with other floating leaves, in order."""
    others = iter(floats)
    return jax.tree.map(lambda leaf: next(others) if floating(leaf) else uncut(leaf), weights)
