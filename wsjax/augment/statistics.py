"""The mean and deviations of a data set of networks, for perturbations in units of it."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from wsjax.augment.compose import stack_size
from wsjax.errors import check_shape, check_structure, leaf_names
from wsjax.floats import floating, widened
from wsjax.typing import Weights


class Statistics(NamedTuple):
    """The element-wise mean network of a data set, and one standard deviation for each array.

    That of all its entries in all networks about one mean. `statistics_of` makes it.
    """

    mean: PyTree
    deviation: PyTree


def statistics_of(weights: PyTree) -> Statistics:
    """The mean network of stacked networks, and one standard deviation for each array.

    Half types are averaged in float32. Of arrays that are not floating point the mean is the first network's, and
    the deviation 0.

    Args:
        weights: networks stacked along a leading axis, the training split's.

    Raises: ValueError: no network, or arrays that are not stacked alike.

    Example:
        >>> found = statistics_of((jnp.array([[1.0, 3.0], [5.0, 7.0]]),))
        >>> found.mean[0].tolist(), round(float(found.deviation[0]), 3)
        ([3.0, 5.0], 2.236)
    """

    def deviation(stack: Array) -> Array:
        # Each network first, then all: one float32 sum over every entry of a large data set loses digits.
        entries = widened(stack).reshape(len(stack), -1)
        square = jnp.square(entries - jnp.mean(jnp.mean(entries, axis=1)))
        return jnp.sqrt(jnp.mean(jnp.mean(square, axis=1)))

    if not stack_size(weights, "weights"):
        raise ValueError("weights holds no network; expected one at least: give the stacked networks of a split")
    stacks = jax.tree.map(jnp.asarray, weights)
    return Statistics(
        jax.tree.map(lambda x: jnp.mean(widened(x), axis=0) if floating(x) else x[0], stacks),
        jax.tree.map(lambda x: deviation(x) if floating(x) else jnp.zeros(()), stacks),
    )


def check_statistics(weights: Weights, statistics: Statistics) -> None:
    check_structure(weights, jax.tree.structure(statistics.mean), "the data set's statistics")
    leaves, means = jax.tree.leaves(weights), jax.tree.leaves(statistics.mean)
    for name, leaf, mean in zip(leaf_names(weights), leaves, means, strict=True):
        check_shape(name, jnp.shape(leaf), jnp.shape(mean), "the data set's mean network")
