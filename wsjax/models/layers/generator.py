"""Learned inputs at which a reader runs networks: parameters, or the output of a deep linear generator."""

import functools
from collections.abc import Sequence
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from wsjax.errors import check_number, check_range
from wsjax.models.layers.draws import normal, uniform
from wsjax.typing import Key, Layer

LATENT = 32
"""Numbers in the latent vector of one input."""


class LinearGenerator(eqx.Module):
    """Learned inputs, one for each latent vector z, by `depth` dense layers without activations between them:

        x = (... (z K_1 + b_1) K_2 + b_2 ...) K_depth + b_depth

    At depth 0 the latent vectors are the inputs. Deeper, nothing more can be expressed, but what the inputs share is
    learned by all of them together. Whatever the depth, they are initialized alike, uniform over the range: the
    kernels are orthogonal, and each latent vector is the one nearest to a normal draw that gives its input.

    Args:
        inputs: numbers in one input of the networks that are read.
        probes: how many inputs.
        depth: layers of the generator.
        coordinate_range: of every number of an input.
        key: a typed key.

    Raises:
        ValueError: a depth below 0, or an empty range.

    Source: ProbeGen, arXiv 2410.10811, for the latent vectors and the linear layers. The initialization over the range
    is ours.

    Example:
        >>> jax.eval_shape(lambda key: LinearGenerator(2, 5, 3, (0.0, 1.0), key=key)(), jax.random.key(0)).shape
        (5, 2)
    """

    KEEPS_DTYPE: ClassVar = True

    latents: Array
    layers: tuple[Layer, ...]

    def __init__(self, inputs: int, probes: int, depth: int, coordinate_range: tuple[float, float], *, key: Key):
        check_number("generator", depth, low=0, integer=True)
        check_range("coordinate_range", coordinate_range)
        low, high = coordinate_range
        target = uniform(key, (probes, inputs), low, high)
        if depth == 0:
            self.latents, self.layers = target, ()
            return
        width = max(LATENT, inputs)
        keys = [jax.random.fold_in(key, i) for i in range(depth + 1)]
        initial = jax.nn.initializers.orthogonal()
        kernels = [initial(k, (width, n)) for k, n in zip(keys[1:], [*[width] * (depth - 1), inputs], strict=True)]
        spread = (high - low) / 12**0.5  # the deviation of a uniform draw, as that of a normal latent vector's image
        kernels[-1] = spread * kernels[-1]
        biases = [*[jnp.zeros(width)] * (depth - 1), jnp.full(inputs, (low + high) / 2)]
        self.layers = tuple(Layer(kernel, bias) for kernel, bias in zip(kernels, biases, strict=True))
        drawn = normal(keys[0], (probes, width))
        back = functools.reduce(jnp.matmul, kernels).T / spread**2  # the pseudo-inverse of all layers in one
        self.latents = drawn + (target - _through(self.layers, drawn)) @ back

    def __call__(self) -> Float[Array, "probes inputs"]:
        """The inputs."""
        return _through(self.layers, self.latents)


def _through(layers: Sequence[Layer], x: Array) -> Array:
    for layer in layers:
        x = x @ layer.kernel + layer.bias[None, :]
    return x
