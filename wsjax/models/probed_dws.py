"""A weight reader that also runs the network: its neurons carry what they give at learned coordinates."""

from dataclasses import dataclass

import equinox as eqx
import jax
from jaxtyping import Array, Float

from wsjax.errors import check_number
from wsjax.floats import all_widened
from wsjax.models.activations import activations, nodes
from wsjax.models.draws import normal
from wsjax.models.dropout import dropout
from wsjax.models.dws import activate, run_residual
from wsjax.models.equivariant import EquivariantLinear, invariant
from wsjax.models.flat import Stack
from wsjax.models.generator import LinearGenerator
from wsjax.models.normalise import Normaliser
from wsjax.models.pieces import Feature, features, lift
from wsjax.models.probe import centred
from wsjax.networks import Network
from wsjax.typing import Key, Scalar, Weights


@dataclass(frozen=True)
class ProbedDWSConfig:
    """channels: features for each weight. layers: equivariant layers. head: width of the head's hidden layer.

    probes: learned coordinates. generator: linear layers that make them from latent vectors; 0 learns them directly.
    """

    channels: int = 16
    layers: int = 3
    head: int = 64
    probes: int = 32
    generator: int = 0

    def __post_init__(self):
        for name in ("channels", "layers", "head", "probes"):
            check_number(name, getattr(self, name), low=1, whole=True)
        check_number("generator", self.generator, low=0, whole=True)


class ProbedDWS(eqx.Module):
    """DWS with the activations at learned coordinates as further features of each neuron.

    The first equivariant layer maps the weights; to what it gives for the bias of each hidden group it adds a linear
    map of the group's activations, (neurons, probes), and for the last bias one of the values: the identity term of an
    equivariant layer whose biases have `probes` channels more. Gated activations, an average over all neurons and two
    dense layers follow, as in DWS.

    **Preserves**: the output is invariant to every permutation of the Symmetry.

    Args:
        network: the architecture of the networks that are read.
        normaliser: theirs, for the weights; the network runs on them as they are.
        outputs: numbers that the reader gives.
        config: its settings.
        coordinate_range: of the coordinates that the networks were fitted on, over which the learned ones start.
        value_range: of what the networks decode to.
        key: a typed key.

    Raises:
        ValueError: a range that holds nothing.

    Source: probe features of neural graphs, arXiv 2403.12143, on the layers of arXiv 2301.12780.

    Example:
        >>> net = Network("siren", (2, 4, 1))
        >>> plain = Normaliser((jax.numpy.zeros(()),) * 4, (jax.numpy.ones(()),) * 4)
        >>> reader = ProbedDWS(net, plain, 10, ProbedDWSConfig(channels=2, layers=1, probes=3), key=jax.random.key(0))
        >>> weights = net.init(jax.random.key(1))
        >>> [jax.eval_shape(read, weights).shape for read in (reader.features, reader)]
        [(10,), (10,)]
    """

    normaliser: Normaliser
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
        normaliser: Normaliser,
        outputs: int,
        config: ProbedDWSConfig,
        *,
        coordinate_range: tuple[float, float] = (-1.0, 1.0),
        value_range: tuple[float, float] = (0.0, 1.0),
        key: Key,
    ):
        points_key, entries_key, layers_key, head_key = jax.random.split(key, 4)
        symmetry, width = network.symmetry, 2 * config.channels
        self.normaliser, self.network, self.value_range = normaliser, network, value_range
        self.spec, self.nodes = features(symmetry), nodes(symmetry)
        inputs, channels = network.widths[0], network.widths[-1]
        self.points = LinearGenerator(inputs, config.probes, config.generator, coordinate_range, key=points_key)
        shapes = [*[(config.probes, width)] * len(symmetry.groups), (config.probes * channels, channels * width)]
        self.entries = tuple(
            normal(jax.random.fold_in(entries_key, i), shape, shape[0] ** -0.5) for i, shape in enumerate(shapes)
        )
        self.layers = tuple(
            EquivariantLinear(symmetry, n, width, key=jax.random.fold_in(layers_key, i))
            for i, n in enumerate([1, *[config.channels] * (config.layers - 1)])
        )
        self.head = Stack(sum(f.fixed * config.channels for f in self.spec), outputs, config.head, 1, key=head_key)

    def features(self, weights: Weights, *, key: Key | None = None, rate: Scalar = 0.0) -> Float[Array, " pooled"]:
        """The averages over all neurons of one network; with a key, drop them at the given rate."""
        raw = all_widened(weights, self.points.latents)
        leaves = self.normaliser(self.network.symmetry.leaves(raw))
        hidden, values = activations(self.network, raw, self.points())
        seen = [*[a.T for a in hidden], centred(values, self.value_range)]
        ys = self.layers[0](lift(leaves, self.spec))
        for node, a, kernel in zip(self.nodes, seen, self.entries, strict=True):
            ys[node] = ys[node] + a.astype(kernel.dtype) @ kernel
        xs = run_residual(self.layers[1:], [activate(y, "gated") for y in ys], "gated")
        return dropout(invariant(xs, self.spec), key, rate, salt=1)  # the head's hidden layer takes salt 0

    def __call__(self, weights: Weights, *, key: Key | None = None, rate: Scalar = 0.0) -> Float[Array, " outputs"]:
        """Read one network; with a key, drop pooled channels and hidden units of the head at the given rate."""
        return self.head(self.features(weights, key=key, rate=rate), key=key, rate=rate)
