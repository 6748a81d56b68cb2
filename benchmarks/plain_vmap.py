"""The plain JAX contestant: a SIREN as one would write it first, many by `vmap`, all steps in one scan."""

import functools

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PyTree

from wsjax.data.recipe import Recipe
from wsjax.networks import Network
from wsjax.typing import Layer


def apply(
    network: Network, weights: tuple[Layer, ...], x: Float[Array, "points inputs"]
) -> Float[Array, "points outputs"]:
    """Points as rows and `jnp.sin`."""
    *hidden, last = weights
    for layer, w in zip(hidden, network.w0, strict=True):
        x = jnp.sin(w * (x @ layer.kernel + layer.bias[None, :]))
    return x @ last.kernel + last.bias[None, :] + network.offset


def start(recipe: Recipe, number: int | Int[Array, ""]) -> tuple[Layer, ...]:
    """The weights from which wsjax fits the first view of the signal of that number."""
    return recipe.network.init(jax.random.fold_in(jax.random.fold_in(jax.random.key(recipe.seed), number), 0))


@functools.partial(jax.jit, static_argnums=0)
def fit(
    recipe: Recipe,
    points: Float[Array, "*lanes points inputs"],
    values: Float[Array, "lanes points channels"],
    number: Int[Array, " lanes"],
) -> Float[Array, " lanes"]:
    """Fit one network to each signal by Adam with the recipe's cosine schedule; each one's mean squared error."""
    optimiser = optax.adam(optax.cosine_decay_schedule(recipe.learning_rate, recipe.steps))
    own = 0 if points.ndim == 3 else None
    count = values.shape[1]

    def loss(weights: PyTree, points: Array, target: Array) -> Array:
        return jnp.mean(jnp.square(apply(recipe.network, weights, points) - target))

    def step(carry, step):
        weights, state = carry
        seen = points, values
        if recipe.batch_points is not None:
            key = jax.random.fold_in(jax.random.key(recipe.seed), step)
            rows = jax.random.randint(key, (recipe.batch_points,), 0, count)
            seen = points[..., rows, :], values[:, rows]
        gradient = jax.vmap(jax.grad(loss), (0, own, 0))(weights, *seen)
        with jax.numpy_dtype_promotion("standard"):
            updates, state = optimiser.update(gradient, state, weights)
            return (optax.apply_updates(weights, updates), state), None

    weights = jax.vmap(functools.partial(start, recipe))(number)
    (weights, _), _ = jax.lax.scan(step, (weights, optimiser.init(weights)), jnp.arange(recipe.steps))
    return jax.vmap(loss, (0, own, 0))(weights, points, values)
