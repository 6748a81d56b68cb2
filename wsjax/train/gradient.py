"""The gradient of a batch, whole or summed over microbatches."""

from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

Parameters = TypeVar("Parameters")


def value_and_mean_gradient(
    loss: Callable[[Parameters, PyTree], Float[Array, ""]],
    parameters: Parameters,
    batch: PyTree,
    microbatches: int = 1,
) -> tuple[Float[Array, ""], Parameters]:
    """A loss that is a mean over networks, and its gradient, one microbatch after the other.

    `1/m sum_k L(p, B_k)` and its gradient over the m equal microbatches `B_k = batch[k::m]`: what the whole batch
    gives, up to rounding, with an m-th of what the backward pass keeps of the forward one. Each takes every m-th
    network, so that a batch spread over devices stays where it is.

    Args:
        loss: of the parameters and a batch, a mean over its leading axis.
        parameters: arrays to differentiate by.
        batch: a pytree whose leaves share their leading axis.
        microbatches: m; it divides that axis.

    Raises:
        ValueError: it does not.

    Example:
        >>> import jax.numpy as jnp
        >>> square = lambda p, x: jnp.mean((p * x) ** 2)
        >>> value_and_mean_gradient(square, jnp.float32(3), jnp.arange(4.0), microbatches=2)
        (Array(31.5, dtype=float32), Array(21., dtype=float32))
    """
    networks = len(jax.tree.leaves(batch)[0])
    check_microbatches(networks, microbatches)
    if microbatches == 1:
        return jax.value_and_grad(loss)(parameters, batch)
    cut = jax.tree.map(lambda x: x.reshape(-1, microbatches, *x.shape[1:]).swapaxes(0, 1), batch)

    def add(total: PyTree, part: PyTree) -> tuple[PyTree, None]:
        return jax.tree.map(jnp.add, total, jax.value_and_grad(loss)(parameters, part)), None

    nothing = jnp.zeros(()), jax.tree.map(jnp.zeros_like, parameters)
    return jax.tree.map(lambda x: x / microbatches, jax.lax.scan(add, nothing, cut)[0])


def check_microbatches(batch_size: int, microbatches: int) -> None:
    """Refuse microbatches of unequal sizes.

    Raises:
        ValueError: the number of microbatches does not divide the batch.
    """
    if batch_size % microbatches:
        raise ValueError(
            f"batch_size is {batch_size} and microbatches {microbatches}; the first must be a multiple of the second, "
            f"so that every network counts the same"
        )
