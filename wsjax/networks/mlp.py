"""Dense networks with one activation: init and apply for one network."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from wsjax.errors import check_choice, check_each
from wsjax.networks.sine import sine
from wsjax.typing import Key, Layer, Points, Weights

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "relu": jax.nn.relu,
    "leaky_relu": jax.nn.leaky_relu,
    "tanh": jnp.tanh,
    "sine": sine,
    "gelu": jax.nn.gelu,
    "silu": jax.nn.silu,
    "linear": lambda z: z,
}
Between: TypeAlias = Callable[[int, Array], Array]
"""Between layers: (a hidden layer's number, its activations, features last) -> what the next layer gets."""


def unchanged(layer: int, activations: Array) -> Array:
    """The activations as they are."""
    return activations


def mlp_init(key: Key, widths: Sequence[int]) -> tuple[Layer, ...]:
    """He-normal kernels, N(0, 2 / fan_in), and zero biases; a tuple of `Layer`.

    `key` is a typed key, and `widths` are the sizes from input to output.

    Raises:
        ValueError: fewer than two widths, or one below 1.

    Example:
        >>> import jax
        >>> [layer.kernel.shape for layer in jax.eval_shape(lambda key: mlp_init(key, (2, 8, 1)), jax.random.key(0))]
        [(2, 8), (8, 1)]
    """
    check_each("widths", widths, fewest=2)
    layers = []
    for i, (fan_in, fan_out) in enumerate(pairwise(map(int, widths))):
        kernel = jax.random.normal(jax.random.fold_in(key, i), (fan_in, fan_out)) * (2 / fan_in) ** 0.5
        layers.append(Layer(kernel, jnp.zeros(fan_out)))
    return tuple(layers)


def mlp_apply(
    weights: Weights, x: Points, *, activation: str = "relu", between: Between = unchanged
) -> Float[Array, "points outputs"]:
    """a(x W0 + b0) W1 + b1 ..., linear at the end.

    Args:
        weights, x: a tuple of `Layer`, and (points, inputs).
        activation: a name in `networks.mlp.ACTIVATIONS`.
        between: what is done to each hidden layer's activations, dropout for example.

    Raises:
        ValueError: an unknown activation.

    Example:
        >>> import jax
        >>> w = jax.eval_shape(lambda key: mlp_init(key, (2, 8, 3)), jax.random.key(0))
        >>> jax.eval_shape(mlp_apply, w, jax.numpy.ones((5, 2))).shape
        (5, 3)
    """
    check_choice("activation", activation, tuple(ACTIVATIONS))
    nonlinearity = ACTIVATIONS[activation]
    *hidden, last = weights
    h = jnp.asarray(x)
    for i, layer in enumerate(hidden):
        h = between(i, nonlinearity(h @ layer.kernel + layer.bias[None, :]))
    return h @ last.kernel + last.bias[None, :]
