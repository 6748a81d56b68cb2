"""The plain JAX contestant: a SIREN as one would write it first, many by `vmap`, all steps in one scan."""

import functools

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PyTree

from wsjax.data.fit import psnr
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


def start(recipe: Recipe, image: int | Int[Array, ""]) -> tuple[Layer, ...]:
    """The weights from which wsjax fits an image's first view."""
    return recipe.network.init(jax.random.fold_in(jax.random.fold_in(jax.random.key(recipe.seed), image), 0))


@functools.partial(jax.jit, static_argnums=0)
def fit(
    recipe: Recipe,
    points: Float[Array, "points inputs"],
    values: Float[Array, "lanes points channels"],
    image: Int[Array, " lanes"],
) -> Float[Array, " lanes"]:
    """Fit one network to each image by Adam with the recipe's cosine schedule; each one's PSNR."""
    optimiser = optax.adam(optax.cosine_decay_schedule(recipe.learning_rate, recipe.steps))

    def loss(weights: PyTree, target: Array) -> Array:
        return jnp.mean(jnp.square(apply(recipe.network, weights, points) - target))

    def step(carry, _):
        weights, state = carry
        gradient = jax.vmap(jax.grad(loss))(weights, values)
        with jax.numpy_dtype_promotion("standard"):
            updates, state = optimiser.update(gradient, state, weights)
            return (optax.apply_updates(weights, updates), state), None

    weights = jax.vmap(functools.partial(start, recipe))(image)
    (weights, _), _ = jax.lax.scan(step, (weights, optimiser.init(weights)), None, length=recipe.steps)
    return psnr(jax.vmap(loss)(weights, values))
