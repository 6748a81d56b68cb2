"""A reader that evaluates the network on a regular grid, and reads its values by convolutions."""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from wsjax.errors import check_range, check_sizes
from wsjax.floats import all_widened
from wsjax.models.layers.draws import linear
from wsjax.models.layers.stack import HeadedReader, Runnable, Stack, Vector, check_arguments, dropout
from wsjax.models.readers.probe import centered
from wsjax.networks.grid import grid
from wsjax.typing import Key, Scalar, Weights

WINDOW, STRIDE = 3, 2


class GridProbe(HeadedReader):
    """Values of the network on a regular grid, convolutions over the grid, then dense layers.

        v = values on the grid, mapped from `value_range` to [-1, 1]
        v <- relu(conv(v)), `layers` times: windows of 3 cells along each axis, stride 2, zeros around
        output = dense layers of all that is left

    It depends on the function of the network alone, and the grid is no parameter. It runs raw weights, so it takes no
    normalizer.

    **Preserves**: the output is invariant to every symmetry that preserves the function, by construction.

    Args:
        network: as of a `Probe`.
        side: cells of the grid along each axis of the input; side^inputs evaluations of the network.
        channels, layers: of the convolutions.
        width, depth: width and number of the dense layers.
        coordinate_range: of the coordinates that the networks were fitted on, over which the grid lies, ends included.
        value_range: of the decoded values.

    Raises:
        ValueError: an empty range.

    Source: rendering a field and reading the result is the reference that readers of weights are compared with in
    arXiv 2302.14040; docs/readers.md has what it reaches here, and what was tried between the layers of the network.

    Example:
        >>> from wsjax.networks import Network
        >>> net = Network("siren", (2, 8, 1))
        >>> reader = GridProbe(net, 10, side=8, channels=4, layers=2, key=jax.random.key(0))
        >>> weights = net.init(jax.random.key(1))
        >>> [jax.eval_shape(read, weights).shape for read in (reader.features, reader)]
        [(16,), (10,)]
    """

    convolutions: tuple[eqx.nn.Linear, ...]
    head: Stack
    network: Any = eqx.field(static=True)
    side: int = eqx.field(static=True)
    coordinate_range: tuple[float, float] = eqx.field(static=True)
    value_range: tuple[float, float] = eqx.field(static=True)

    def __init__(
        self,
        network: Runnable,
        out_size: int,
        *,
        side: int = 20,
        channels: int = 64,
        layers: int = 3,
        width: int = 128,
        depth: int = 1,
        coordinate_range: tuple[float, float] = (-1.0, 1.0),
        value_range: tuple[float, float] = (0.0, 1.0),
        key: Key,
    ):
        check_arguments(network, Runnable, out_size, channels=channels, layers=layers, width=width, depth=depth)
        check_sizes(low=2, side=side)
        check_range("coordinate_range", coordinate_range)
        check_range("value_range", value_range)
        self.network, self.side = network, side
        self.coordinate_range, self.value_range = coordinate_range, value_range
        inputs, outputs = network.widths[0], network.widths[-1]
        keys = jax.random.split(key, layers + 1)
        received = [outputs, *[channels] * (layers - 1)]
        self.convolutions = tuple(
            linear(WINDOW**inputs * c, channels, key=k) for c, k in zip(received, keys[1:], strict=True)
        )
        for _ in range(layers):
            side = math.ceil(side / STRIDE)
        self.head = Stack(side**inputs * channels, out_size, width, depth, key=keys[0])

    def features(self, weights: Weights, *, key: Key | None = None, dropout_rate: Scalar = 0.0) -> Vector:
        """What the convolutions leave of one network's values; with a key, channels of theirs are dropped."""
        inputs = self.network.widths[0]
        low, high = self.coordinate_range
        weights = all_widened(weights, self.head.layers[0].weight)
        points = grid((self.side,) * inputs, low=low, high=high).astype(jax.tree.leaves(weights)[0].dtype)
        values = centered(self.network.apply(weights, points), self.value_range)
        x = values.reshape(*[self.side] * inputs, -1).astype(self.head.dtype)
        for i, layer in enumerate(self.convolutions):
            x = windows(x)
            made = jax.nn.relu(jax.vmap(layer)(x.reshape(-1, x.shape[-1])))
            x = dropout(made, key, dropout_rate, index=len(self.head.layers) + i).reshape(*x.shape[:-1], -1)
        return x.reshape(-1)


def windows(x: Float[Array, "*cells channels"]) -> Float[Array, "*fewer more"]:
    """The windows of a padded grid, each as one vector: a matrix times them is a convolution, also under `vmap` over
    matrices, where XLA's own convolutions become grouped ones, which are slow on a CPU."""
    for axis in range(x.ndim - 1):
        x = jnp.pad(x, [(WINDOW // 2,) * 2 if i == axis else (0, 0) for i in range(x.ndim)])
        end = x.shape[axis] - WINDOW + 1
        x = jnp.concatenate([jax.lax.slice_in_dim(x, i, end + i, STRIDE, axis) for i in range(WINDOW)], axis=-1)
    return x
