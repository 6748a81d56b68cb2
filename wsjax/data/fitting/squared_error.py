"""The error that a fit lowers: at all points, or at some drawn anew in each step."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from wsjax.data.recipe import Recipe

DRAWS = 2**32 - 1
"""What the key of the points drawn is folded with; no signal has that number, and no view."""


def squared_errors(
    recipe: Recipe,
    weights: PyTree,
    points: Float[Array, "*own points inputs"],
    values: Float[Array, "slots points channels"],
) -> Float[Array, " slots"]:
    """Each network's mean squared error at all points, which the slots share or not.

    Example:
        >>> from wsjax.networks import Network
        >>> from wsjax.typing import Layer
        >>> recipe = Recipe(Network("mlp", (1, 2, 1)))
        >>> two = [Layer(jnp.zeros((2, 1, 2)), jnp.zeros((2, 2))), Layer(jnp.zeros((2, 2, 1)), jnp.zeros((2, 1)))]
        >>> errors = jax.jit(squared_errors, static_argnums=0)
        >>> errors(recipe, tuple(two), jnp.zeros((5, 1)), jnp.full((2, 5, 1), 3.0)).tolist()
        [9.0, 9.0]
    """
    error = lambda *one: _squared_error(recipe, *one)
    return jax.vmap(error, (0, _slots_of(points), 0))(weights, points, values)


def gradients(
    recipe: Recipe,
    weights: PyTree,
    points: Float[Array, "*own points inputs"],
    values: Float[Array, "slots points channels"],
    steps: Int[Array, "*slots"] | None,
) -> PyTree:
    """The gradient of each network's mean squared error, at all points or at those drawn for its step.

    Args:
        recipe: architecture, and how many points a step looks at.
        weights: stacked networks.
        points: coordinates, those of all slots or a row of them for each.
        values: what each network should give there.
        steps: how many each network has made, or all of them; None where a step looks at all points.
    """

    def error(weights: PyTree, points: Array, values: Array, step: Array | None) -> Array:
        if step is not None and recipe.batch_points is not None:
            rows = drawn_points(recipe, len(points), step)
            points, values = points[rows], values[rows]
        return _squared_error(recipe, weights, points, values)

    axes = (0, _slots_of(points), 0, None if steps is None or not steps.ndim else 0)
    return jax.vmap(jax.grad(error), axes)(weights, points, values, steps)


def drawn_points(recipe: Recipe, count: int, step: Int[Array, ""] | int) -> Int[Array, " batch"]:
    """The rows of the points that a network looks at in its step of that number, uniform and with replacement.

    The key derives from the recipe's seed and the step alone, so all networks of a fit look at the same rows.

    Example:
        >>> from wsjax.networks import Network
        >>> recipe = Recipe(Network("siren", (2, 4, 1)), batch_points=3)
        >>> drawn_points(recipe, 100, 0).shape
        (3,)
    """
    assert recipe.batch_points is not None
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(recipe.seed), DRAWS), step)
    return jax.random.randint(key, (recipe.batch_points,), 0, count)


def _squared_error(recipe: Recipe, weights: PyTree, points: Array, values: Array) -> Array:
    return jnp.mean(jnp.square(recipe.network.apply(weights, points) - values))


def _slots_of(points: Array) -> int | None:
    """The axis of slots of points that each slot has for itself."""
    return 0 if points.ndim == 3 else None
