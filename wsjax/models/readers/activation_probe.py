"""A probe of hidden neurons too, through features invariant to all symmetries of the network."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from wsjax.models.layers.draws import linear, uniform
from wsjax.models.layers.stack import HeadedReader, Stack, Vector, check_arguments
from wsjax.models.readers.probe import NetworkProbes
from wsjax.networks import Network
from wsjax.symmetry import Group
from wsjax.typing import Key, Scalar, Weights


class NeuronSet(eqx.Module):
    """One group's neurons as a set, each given by its activations a at the probes:

        u = W (a / rms(a) where scales act, else a)
        features = mean over neurons of relu(V (relu(u + b) + relu(-u + b) where signs act, else relu(u + b)) + c)

    The sum over both signs keeps all of a but its sign; absolute values alone lose where activations change sign. So it
    is invariant to reordering the neurons, and to the signs, half turns and scales that the group allows.
    """

    first: eqx.nn.Linear
    bias: Array
    second: eqx.nn.Linear
    even: bool = eqx.field(static=True)
    homogeneous: bool = eqx.field(static=True)

    def __init__(self, group: Group, probes: int, width: int, *, key: Key):
        self.even = group.allows("sign") or group.allows("phase")
        self.homogeneous = group.allows("rescale")
        keys = jax.random.split(key, 3)
        self.first = linear(probes, width, use_bias=False, key=keys[0])
        self.bias = uniform(keys[1], (width,), -(probes**-0.5), probes**-0.5)
        self.second = linear(width, width, key=keys[2])

    def __call__(self, a: Float[Array, "neurons probes"]) -> Float[Array, " width"]:
        if self.homogeneous:
            square = jnp.mean(a * a, axis=1, keepdims=True)
            a = a / jnp.sqrt(jnp.where(square > 0, square, 1.0))  # a dead neuron stays at 0
        u, bias = jax.vmap(self.first)(a), self.bias[None, :]
        h = jax.nn.relu(u + bias)
        h = h + jax.nn.relu(bias - u) if self.even else h
        return jnp.mean(jax.nn.relu(jax.vmap(self.second)(h)), axis=0)


class ActivationProbe(HeadedReader):
    """Values of the network at learned coordinates, and activations of each hidden layer there, then dense layers.

    It depends on activations of hidden layers, which the function alone does not determine. It runs raw weights, so it
    takes no normalizer.

    **Preserves**: the output is invariant to the whole group of the network's Symmetry.

    Args:
        network: of the data set, `dataset.metadata.network`.
        neuron: features of each hidden neuron.
        probes, width, depth, generator, coordinate_range, value_range: as in a `Probe`.

    Raises:
        ValueError: an empty range.

    Source: probing as ProbeGen, arXiv 2410.10811; activations at the probes as node features are arXiv 2403.12143's
    (neural graphs), which reads them as they are; the invariant features of signs and scales are those of ScaleGMN,
    arXiv 2406.10685.

    Example:
        >>> net = Network("siren", (2, 8, 8, 1))
        >>> reader = ActivationProbe(net, 10, probes=4, neuron=3, key=jax.random.key(0))
        >>> weights = net.init(jax.random.key(1))
        >>> [jax.eval_shape(read, weights).shape for read in (reader.features, reader)]
        [(10,), (10,)]
    """

    probes: NetworkProbes
    neurons: tuple[NeuronSet, ...]
    head: Stack

    def __init__(
        self,
        network: Network,
        out_size: int,
        *,
        probes: int = 64,
        neuron: int = 32,
        width: int = 128,
        depth: int = 2,
        generator: int = 0,
        coordinate_range: tuple[float, float] = (-1.0, 1.0),
        value_range: tuple[float, float] = (0.0, 1.0),
        key: Key,
    ):
        check_arguments(network, Network, out_size, probes=probes, neuron=neuron, width=width, depth=depth)
        points_key, head_key, neurons_key = jax.random.split(key, 3)
        self.probes = NetworkProbes(network, probes, generator, coordinate_range, value_range, key=points_key)
        groups = network.symmetry.groups.values()
        keys = jax.random.split(neurons_key, len(groups))
        self.neurons = tuple(NeuronSet(g, probes, neuron, key=k) for g, k in zip(groups, keys, strict=True))
        features = probes * network.widths[-1] + len(groups) * neuron
        self.head = Stack(features, out_size, width, depth, key=head_key)

    def features(self, weights: Weights, *, key: Key | None = None, dropout_rate: Scalar = 0.0) -> Vector:
        """The values of one network, then the features of each hidden layer; nothing of them is dropped."""
        hidden, values = self.probes.activations(weights)
        sets = [read(a.T.astype(self.head.dtype)) for read, a in zip(self.neurons, hidden, strict=True)]
        return jnp.concatenate([values.reshape(-1).astype(self.head.dtype), *sets])
