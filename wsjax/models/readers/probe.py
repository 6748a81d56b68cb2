"""A reader that runs the network at learned coordinates and takes its values alone."""

import equinox as eqx
import jax
from jaxtyping import Array, Float

from wsjax.errors import check_range
from wsjax.floats import all_widened
from wsjax.models.layers.arguments import Runnable, check_arguments
from wsjax.models.layers.generator import LinearGenerator
from wsjax.models.layers.stack import Stack
from wsjax.typing import Key, Scalar, Weights


def centered(values: Array, value_range: tuple[float, float]) -> Array:
    """Decoded values as one vector, their range mapped to [-1, 1]."""
    check_range("value_range", value_range)
    low, high = value_range
    return (values.reshape(-1) - (low + high) / 2) * (2 / (high - low))


class Probe(eqx.Module):
    """Values of the network at learned coordinates, then dense layers.

    It depends on the function of the network alone. It runs raw weights, so it takes no normalizer. Values are
    mapped from the range that the metadata records to [-1, 1].

    **Preserves**: the output is invariant to every symmetry that preserves the function, by construction.

    Args:
        network: the architecture of the networks that are read. For networks of your own anything with `widths`, whose
            first and last are inputs and channels, and `apply(weights, points)`, which maps (points, inputs) to
            (points, channels).
        out_size: the number of outputs.
        probes: learned coordinates.
        width, depth: width and number of the dense layers that read their values.
        generator: linear layers that make the coordinates from latent vectors; 0 learns the coordinates themselves.
        coordinate_range: of the coordinates that the networks were fitted on, over which the learned ones are
            initialized.
        value_range: of the decoded values.
        key: a typed key.

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

    points: LinearGenerator
    head: Stack
    network: Runnable = eqx.field(static=True)
    value_range: tuple[float, float] = eqx.field(static=True)

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
        self.network, self.value_range = network, value_range
        inputs, channels = network.widths[0], network.widths[-1]
        self.points = LinearGenerator(inputs, probes, generator, coordinate_range, key=points_key)
        self.head = Stack(probes * channels, out_size, width, depth, key=head_key)

    def features(
        self, weights: Weights, *, key: Key | None = None, dropout_rate: Scalar = 0.0
    ) -> Float[Array, " values"]:
        """The values of one network at the learned coordinates; nothing of them is dropped."""
        values = self.network.apply(all_widened(weights, self.points.latents), self.points())
        return centered(values, self.value_range).astype(self.head.dtype)

    def __call__(
        self, weights: Weights, *, key: Key | None = None, dropout_rate: Scalar = 0.0
    ) -> Float[Array, " outputs"]:
        """Read one network; with a key, drop hidden units at the given rate."""
        return self.head(self.features(weights, key=key, dropout_rate=dropout_rate), key=key, dropout_rate=dropout_rate)
