"""Initial values of readers: those of `jax.random`, bit for bit, drawn by a few programs.

JAX compiles a program for each shape that is drawn, which is most of the time that an eagerly built reader takes. Its
default generator gives the same first numbers however many are drawn, so a draw here is the beginning of a longer one,
of which there are few lengths.
"""

import math
from collections.abc import Callable

import equinox as eqx
import jax
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, ArrayLike

from wsjax.typing import Key

SHORTEST, LONGER = 2**15, 2**4
"""The least length that is drawn, and what the next longer one is a multiple by."""

EMBEDDING = 0.5
"""Deviation of embeddings at initialization: about that of the features of the numbers to which they are added."""


def normal(key: Key, shape: tuple[int, ...], scale: float | np.ndarray = 1.0) -> Array:
    """N(0, scale^2), the scale one deviation or an array of them that broadcasts to the shape."""
    drawn = _first(jax.random.normal, key, shape)
    return _on_device(drawn * np.asarray(scale, drawn.dtype))


def uniform(key: Key, shape: tuple[int, ...], low: float, high: float) -> Array:
    """Uniform on [low, high)."""
    return _on_device(_first(lambda k, n: jax.random.uniform(k, n, minval=low, maxval=high), key, shape))


def full(size: int, value: float) -> Array:
    """One number throughout; `jnp.full` compiles a program for each size."""
    return jax.device_put(np.full(size, value))


def linear(inputs: int, outputs: int, *, use_bias: bool = True, key: Key) -> eqx.nn.Linear:
    """`eqx.nn.Linear` with its own initial values."""
    made = eqx.filter_eval_shape(eqx.nn.Linear, inputs, outputs, use_bias=use_bias, key=key)
    keys, limit = jax.random.split(key, 2), 1 / math.sqrt(max(inputs, 1))
    weight, bias = made.weight.shape, (outputs,)
    parts = [uniform(keys[0], weight, -limit, limit), uniform(keys[1], bias, -limit, limit) if use_bias else None]
    return eqx.tree_at(lambda one: [one.weight, one.bias], made, parts, is_leaf=lambda leaf: leaf is None)


def _first(draw: Callable[[Key, tuple[int, ...]], Array], key: Key, shape: tuple[int, ...]) -> Array | np.ndarray:
    """What `draw` gives of a shape: the first numbers of a longer draw, where the generator allows it."""
    counted = jax.config.jax_threefry_partitionable  # pyright: ignore[reportAttributeAccessIssue]
    if isinstance(key, Tracer) or not counted or str(jax.random.key_impl(key)) != "threefry2x32":
        return draw(key, shape)
    size, length = math.prod(shape), SHORTEST
    while length < size:
        length *= LONGER
    drawn = draw(key, (length,))
    if isinstance(drawn, Tracer):  # of a key that a traced function closes over
        return draw(key, shape)
    return np.array(np.asarray(drawn)[:size]).reshape(shape)


def _on_device(drawn: ArrayLike) -> Array:
    # Not jnp.asarray, which compiles a program for each shape.
    return drawn if isinstance(drawn, jax.Array) else jax.device_put(drawn)
