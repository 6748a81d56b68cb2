"""Learned inputs at which a reader runs networks, as a deep linear generator gives them; and activations there."""

import functools
from collections.abc import Sequence
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from wsjax.errors import check_number, check_range
from wsjax.models.layers.draws import full, normal, uniform
from wsjax.networks import Network, mlp_apply
from wsjax.typing import Key, Layer, Points, Weights

LATENT = 32
"""Numbers in the latent vector of one input."""


class LinearGenerator(eqx.Module):
    """Learned inputs, one for each latent vector z, by `depth` dense layers without activations between them:

        x = (... (z K_1 + b_1) K_2 + b_2 ...) K_depth + b_depth

    At depth 0 the latent vectors are the inputs. Deeper, nothing more can be expressed, but what the inputs share is
    learned by all of them together. Whatever the depth, they are initialized alike, uniform over the range: the
    kernels are orthogonal, and each latent vector is the one nearest to a normal draw that gives its input.

    Raises: ValueError for a depth below 0, or an empty range.

    Source: ProbeGen, arXiv 2410.10811, for the latent vectors and the linear layers. The initialization over the range
    is ours.
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
        biases = [*[full(width, 0.0)] * (depth - 1), full(inputs, (low + high) / 2)]
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


def activations(
    network: Network, weights: Weights, x: Points
) -> tuple[tuple[Float[Array, "points _"], ...], Float[Array, "points outputs"]]:
    """Activations (points, neurons) of every hidden layer at some inputs, and the decoded values, the offset included.

    Columns move with their neurons, times their sign, their scale, or -1 for an odd number of half turns; values stay.
    """
    network.symmetry.leaves(weights)
    found: list[Array] = []

    def note(_: int, hidden: Array) -> Array:
        found.append(hidden)
        return hidden

    values = mlp_apply(_dense(network, weights), x, activation=network.activation, between=note)
    return tuple(found), values + network.offset


def _dense(network: Network, weights: Weights) -> Weights:
    """A SIREN as a dense network of plain sines: its frequencies multiplied into its weights."""
    if network.kind == "mlp":
        return weights
    *hidden, last = weights
    affine = network.w0_convention == "affine"
    pairs = zip(hidden, network.w0, strict=True)
    return (*[Layer(w * layer.kernel, w * layer.bias if affine else layer.bias) for layer, w in pairs], last)
