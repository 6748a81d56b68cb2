"""Probing a network's hidden neurons too, on features that none of its symmetries can change."""

from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from wsjax.errors import check_number
from wsjax.floats import all_widened
from wsjax.models.activations import activations
from wsjax.models.draws import linear, uniform
from wsjax.models.flat import Stack
from wsjax.models.generator import LinearGenerator
from wsjax.models.probe import centred
from wsjax.networks import Network
from wsjax.symmetry import Group
from wsjax.typing import Key, Scalar, Weights


@dataclass(frozen=True)
class ActivationProbeConfig:
    """probes: learned coordinates. neuron: features of each hidden neuron. width and depth of the dense layers.

    generator: linear layers that make the coordinates from latent vectors; 0 learns the coordinates themselves.
    """

    probes: int = 64
    neuron: int = 32
    width: int = 128
    depth: int = 2
    generator: int = 0

    def __post_init__(self):
        for name in ("probes", "neuron", "width", "depth"):
            check_number(name, getattr(self, name), low=1, whole=True)
        check_number("generator", self.generator, low=0, whole=True)


class NeuronSet(eqx.Module):
    """One group's neurons as a set, each known by its activations a at the probes:

        u = W (a / rms(a) where scales act, else a)
        features = mean over neurons of relu(V (relu(u + b) + relu(-u + b) where signs act, else relu(u + b)) + c)

    The sum over both signs is all that can be known of a up to its sign: absolute values alone would forget where a
    neuron's activations change sign.

    **Preserves**: invariant to reordering the neurons, and to the signs, half turns and scales that the group allows.

    Example:
        >>> import numpy as np
        >>> neurons = eqx.filter_jit(NeuronSet(Group(3, "tanh"), 5, 4, key=jax.random.key(0)))
        >>> a = np.arange(15, dtype=np.float32).reshape(3, 5)
        >>> np.allclose(neurons(a), neurons(-a[::-1]), rtol=1e-5)
        True
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


class ActivationProbe(eqx.Module):
    """Values of the network at learned coordinates, and what each hidden layer gives there, then dense layers.

    It sees what the hidden layers compute, which the function alone does not show, and needs raw weights, so it has no
    normaliser of them.

    **Preserves**: the output is invariant to the whole group of the network's Symmetry.

    Args:
        network: the architecture of the networks that are read.
        outputs: numbers that the reader gives.
        config: its settings.
        coordinate_range: of the coordinates that the networks were fitted on, over which the learned ones start.
        value_range: of what the networks decode to.
        key: a typed key.

    Raises:
        ValueError: a range that holds nothing.

    Source: probing as ProbeGen, arXiv 2410.10811; activations at the probes as node features are arXiv 2403.12143's
    (neural graphs), which reads them as they are; the invariant features of signs and scales are those of ScaleGMN,
    arXiv 2406.10685.

    Example:
        >>> net = Network("siren", (2, 8, 8, 1))
        >>> config, key = ActivationProbeConfig(probes=4, neuron=3), jax.random.key(0)
        >>> reader = eqx.filter_eval_shape(ActivationProbe, net, 10, config, key=key)
        >>> weights = jax.eval_shape(net.init, key)
        >>> [eqx.filter_eval_shape(read, weights).shape for read in (reader.features, reader)]
        [(10,), (10,)]
    """

    points: LinearGenerator
    neurons: tuple[NeuronSet, ...]
    head: Stack
    network: Network = eqx.field(static=True)
    value_range: tuple[float, float] = eqx.field(static=True)

    def __init__(
        self,
        network: Network,
        outputs: int,
        config: ActivationProbeConfig,
        *,
        coordinate_range: tuple[float, float] = (-1.0, 1.0),
        value_range: tuple[float, float] = (0.0, 1.0),
        key: Key,
    ):
        points_key, head_key, neurons_key = jax.random.split(key, 3)
        self.network, self.value_range = network, value_range
        inputs, channels = network.widths[0], network.widths[-1]
        self.points = LinearGenerator(inputs, config.probes, config.generator, coordinate_range, key=points_key)
        groups = network.symmetry.groups.values()
        keys = jax.random.split(neurons_key, len(groups))
        self.neurons = tuple(
            NeuronSet(g, config.probes, config.neuron, key=k) for g, k in zip(groups, keys, strict=True)
        )
        known = config.probes * channels + len(groups) * config.neuron
        self.head = Stack(known, outputs, config.width, config.depth, key=head_key)

    def features(self, weights: Weights, *, key: Key | None = None, rate: Scalar = 0.0) -> Float[Array, " known"]:
        """The values of one network, then the features of each hidden layer; nothing of them is dropped."""
        run = all_widened(weights, self.points.latents)
        hidden, values = activations(self.network, run, self.points())
        known = centred(values, self.value_range).astype(self.head.dtype)
        sets = [read(a.T.astype(known.dtype)) for read, a in zip(self.neurons, hidden, strict=True)]
        return jnp.concatenate([known, *sets])

    def __call__(self, weights: Weights, *, key: Key | None = None, rate: Scalar = 0.0) -> Float[Array, " outputs"]:
        """Read one network; with a key, drop hidden units at the given rate."""
        return self.head(self.features(weights, key=key, rate=rate), key=key, rate=rate)
