"""The maximum over axes, with a gradient that finds its place."""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def largest_of(x: Array, axis: int | tuple[int, ...]) -> Array:
    """`jnp.max(x, axis)`, whose gradient goes to the place of the largest entry, the first one where several are.

    The gradient of `jnp.max` looks for entries equal to the maximum and divides by their number. Where a compiler
    makes entries and maximum anew with other roundings there are none, and the gradient is no number.

    Example:
        >>> jax.grad(lambda x: largest_of(x, 0))(jnp.array([1.0, 3.0, 3.0])).tolist()
        [0.0, 1.0, 0.0]
    """
    return jnp.max(x, axis=axis)


@largest_of.defjvp
def _along(axis: int | tuple[int, ...], primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (x,), (slope,) = primals, tangents
    axes = (axis,) if isinstance(axis, int) else axis
    x_first, slope_first = (_first(y, axes) for y in (x, slope))
    place = jnp.argmax(x_first, axis=0)
    chosen = jax.lax.broadcasted_iota(place.dtype, x_first.shape, 0) == place[None]
    return largest_of(x, axis), jnp.sum(jnp.where(chosen, slope_first, 0), axis=0)


def _first(x: Array, axes: tuple[int, ...]) -> Array:
    """Some axes as one, before all others."""
    moved = jnp.moveaxis(x, axes, range(len(axes)))
    return moved.reshape(-1, *moved.shape[len(axes) :])
