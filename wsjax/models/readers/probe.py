"""A reader that runs the network at learned coordinates and takes its values alone."""

from typing import Any

import equinox as eqx
import jax
from jaxtyping import Array, Float

from wsjax.errors import check_range
from wsjax.floats import all_widened
from wsjax.models.layers.generator import LinearGenerator, activations
from wsjax.models.layers.stack import HeadedReader, Runnable, Stack, Vector, check_arguments
from wsjax.typing import Key, Scalar, Weights


class NetworkProbes(eqx.Module):
    """One network at learned inputs, run in float32 at least: its values, their range mapped to [-1, 1], and more."""

    points: LinearGenerator
    network: Any = eqx.field(static=True)
    value_range: tuple[float, float] = eqx.field(static=True)

    def __init__(
        self,
        network: Runnable,
        probes: int,
        generator: int,
        coordinate_range: tuple[float, float],
        value_range: tuple[float, float],
        *,
        key: Key,
    ):
        check_range("value_range", value_range)
        self.network, self.value_range = network, value_range
        self.points = LinearGenerator(network.widths[0], probes, generator, coordinate_range, key=key)

    def values(self, weights: Weights) -> Float[Array, "probes channels"]:
        decoded = self.network.apply(all_widened(weights, self.points.latents), self.points())
        return centered(decoded, self.value_range)

    def activations(self, weights: Weights) -> tuple[tuple[Float[Array, "probes _"], ...], Float[Array, "probes _"]]:
        """Those of each hidden layer, and the values."""
        hidden, values = activations(self.network, all_widened(weights, self.points.latents), self.points())
        return hidden, centered(values, self.value_range)


def centered(values: Float[Array, "*shape"], value_range: tuple[float, float]) -> Float[Array, "*shape"]:
    """Decoded values, their range mapped to [-1, 1]."""
    low, high = value_range
    return (values - (low + high) / 2) * (2 / (high - low))


class Probe(HeadedReader):
    """Values of the network at learned coordinates, then dense layers.

    It depends on the function of the network alone. It runs raw weights, so it takes no normalizer. Values are mapped
    from `value_range` to [-1, 1].

    **Preserves**: the output is invariant to every symmetry that preserves the function, by construction.

    Args:
        network: of the data set, `dataset.metadata.network`; or anything with `widths`, whose first and last are inputs
            and channels, and `apply(weights, points)`, which maps (points, inputs) to (points, channels).
        probes: learned coordinates.
        width, depth: width and number of the dense layers that read their values.
        generator: linear layers that make the coordinates from latent vectors; 0 learns the coordinates themselves.
        coordinate_range: of the coordinates that the networks were fitted on, over which the learned ones are
            initialized.
        value_range: of the decoded values.

    Raises:
        ValueError: an empty range.

    Source: ProbeGen, arXiv 2410.10811; at `generator=0` the learned coordinates of its first sections, without
    its generator.

    Example:
        >>> from wsjax.networks import Network
        >>> net = Network("siren", (2, 8, 1))
        >>> reader = Probe(net, 10, probes=4, generator=2, key=jax.random.key(0))
        >>> weights = net.init(jax.random.key(1))
        >>> [jax.eval_shape(read, weights).shape for read in (reader.features, reader)]
        [(4,), (10,)]
    """

    probes: NetworkProbes
    head: Stack

    def __init__(
        self,
        network: Runnable,
        out_size: int,
        *,
        probes: int = 64,
        width: int = 128,
        depth: int = 2,
        generator: int = 0,
        coordinate_range: tuple[float, float] = (-1.0, 1.0),
        value_range: tuple[float, float] = (0.0, 1.0),
        key: Key,
    ):
        check_arguments(network, Runnable, out_size, probes=probes, width=width, depth=depth)
        points_key, head_key = jax.random.split(key)
        self.probes = NetworkProbes(network, probes, generator, coordinate_range, value_range, key=points_key)
        self.head = Stack(probes * network.widths[-1], out_size, width, depth, key=head_key)

    def features(self, weights: Weights, *, key: Key | None = None, dropout_rate: Scalar = 0.0) -> Vector:
        """The values of one network at the learned coordinates; nothing of them is dropped."""
        return self.probes.values(weights).reshape(-1).astype(self.head.dtype)
