"""A reader of weights and of activations at learned coordinates, which join the first equivariant layer."""

import equinox as eqx
import jax
from jaxtyping import Array, Float

from wsjax.floats import all_widened
from wsjax.models.layers.activations import activations, nodes
from wsjax.models.layers.arguments import check_arguments
from wsjax.models.layers.draws import normal
from wsjax.models.layers.equivariant import EquivariantLinear, invariant
from wsjax.models.layers.feature_layout import Feature, features, lift
from wsjax.models.layers.generator import LinearGenerator
from wsjax.models.layers.normalizer import Normalizer, normalizer_for
from wsjax.models.layers.stack import Stack, dropout
from wsjax.models.readers.dws import activate, run_residual
from wsjax.models.readers.probe import centered
from wsjax.networks import Network
from wsjax.typing import Key, Scalar, Weights


class ProbedDWS(eqx.Module):
    """DWS with the activations at learned coordinates as further features of each neuron.

    The first equivariant layer maps the weights; to its output for the bias of each hidden group it adds a linear
    map of the group's activations, (neurons, probes), and for the last bias one of the values: the identity term of an
    equivariant layer whose biases have `probes` channels more. Gated activations, an average over all neurons and two
    dense layers follow, as in DWS.

    **Preserves**: the output is invariant to every permutation of the Symmetry.

    Args:
        network: the architecture of the networks that are read.
        out_size: the number of outputs.
        channels: features for each weight.
        layers: equivariant layers.
        head: width of the head's hidden layer.
        probes: learned coordinates.
        generator: linear layers that make them from latent vectors; 0 learns them directly.
        coordinate_range: of the coordinates that the networks were fitted on, over which the learned ones are
            initialized.
        value_range: of the decoded values.
        normalizer: of the data set, `dataset.normalizer()`; None reads the weights as they are.
        key: a typed key.

    Raises:
        ValueError: an empty range.

    Source: probe features of neural graphs, arXiv 2403.12143, on the layers of arXiv 2301.12780.

    Example:
        >>> net = Network("siren", (2, 4, 1))
        >>> reader = ProbedDWS(net, 10, channels=2, layers=1, probes=3, key=jax.random.key(0))
        >>> weights = net.init(jax.random.key(1))
        >>> [jax.eval_shape(read, weights).shape for read in (reader.features, reader)]
        [(10,), (10,)]
    """

    normalizer: Normalizer
    points: LinearGenerator
    entries: tuple[Array, ...]
    layers: tuple[EquivariantLinear, ...]
    head: Stack
    network: Network = eqx.field(static=True)
    value_range: tuple[float, float] = eqx.field(static=True)
    spec: tuple[Feature, ...] = eqx.field(static=True)
    nodes: tuple[int, ...] = eqx.field(static=True)

    def __init__(
        self,
        network: Network,
        out_size: int,
        *,
        channels: int = 16,
        layers: int = 3,
        head: int = 64,
        probes: int = 32,
        generator: int = 0,
        normalizer: Normalizer | None = None,
        coordinate_range: tuple[float, float] = (-1.0, 1.0),
        value_range: tuple[float, float] = (0.0, 1.0),
        key: Key,
    ):
        check_arguments(
            network, Network, out_size, normalizer, channels=channels, layers=layers, head=head, probes=probes
        )
        points_key, entries_key, layers_key, head_key = jax.random.split(key, 4)
        symmetry, width = network.symmetry, 2 * channels
        self.normalizer, self.network, self.value_range = normalizer_for(symmetry, normalizer), network, value_range
        self.spec, self.nodes = features(symmetry), nodes(symmetry)
        inputs, values = network.widths[0], network.widths[-1]
        self.points = LinearGenerator(inputs, probes, generator, coordinate_range, key=points_key)
        shapes = [*[(probes, width)] * len(symmetry.groups), (probes * values, values * width)]
        self.entries = tuple(
            normal(jax.random.fold_in(entries_key, i), shape, shape[0] ** -0.5) for i, shape in enumerate(shapes)
        )
        self.layers = tuple(
            EquivariantLinear(symmetry, n, width, key=jax.random.fold_in(layers_key, i))
            for i, n in enumerate([1, *[channels] * (layers - 1)])
        )
        self.head = Stack(sum(f.fixed * channels for f in self.spec), out_size, head, 1, key=head_key)

    def features(
        self, weights: Weights, *, key: Key | None = None, dropout_rate: Scalar = 0.0
    ) -> Float[Array, " pooled"]:
        """The averages over all neurons of one network; with a key, drop them at the given rate."""
        raw = all_widened(weights, self.points.latents)
        leaves = self.normalizer(self.network.symmetry.leaves(raw), self.head.dtype)
        hidden, values = activations(self.network, raw, self.points())
        probed = [*[a.T for a in hidden], centered(values, self.value_range)]
        ys = self.layers[0](lift(leaves, self.spec))
        for node, a, kernel in zip(self.nodes, probed, self.entries, strict=True):
            ys[node] = ys[node] + a.astype(kernel.dtype) @ kernel
        xs = run_residual(self.layers[1:], [activate(y, "gated") for y in ys], "gated")
        return dropout(invariant(xs, self.spec), key, dropout_rate, index=1)  # the head's hidden layer takes index 0

    def __call__(
        self, weights: Weights, *, key: Key | None = None, dropout_rate: Scalar = 0.0
    ) -> Float[Array, " outputs"]:
        """Read one network; with a key, drop pooled channels and hidden units of the head at the given rate."""
        return self.head(self.features(weights, key=key, dropout_rate=dropout_rate), key=key, dropout_rate=dropout_rate)
