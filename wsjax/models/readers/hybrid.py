"""Any reader of weights as a hybrid: activations of each neuron at learned inputs join the weights."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import equinox as eqx
import jax
from jaxtyping import Array, PyTree

from wsjax.models.layers.draws import normal
from wsjax.models.layers.normalizer import Normalizer, normalizer_for
from wsjax.models.layers.stack import Vector, check_arguments, numbers_as_python
from wsjax.models.readers.probe import NetworkProbes
from wsjax.models.readers.scale_gmn import ScaleGMN
from wsjax.networks import Network
from wsjax.symmetry import Axes, Fixed, Symmetry, symmetry_of
from wsjax.typing import Key, Reader, Scalar, Weights


class WithProbeFeatures(NamedTuple):
    """A network's weights, and for each hidden layer and the outputs an array (neurons, probe_features)."""

    weights: PyTree
    neurons: tuple[PyTree, ...]
    values: PyTree


def symmetry_with_probe_features(network: Network, probe_features: int) -> Symmetry:
    """The Symmetry of a network's weights together with the probe features of its neurons.

    The probe features of a hidden layer are one more array that its neurons produce, so they take its permutations,
    signs and scales. Phases are no part of it: a half turn moves a bias and leaves the size of an activation.

    Example:
        >>> spec = symmetry_with_probe_features(Network("siren", (2, 8, 1)), 4)
        >>> spec.names[-2:], spec.shapes[-2:]
        (['weights.neurons[0]', 'weights.values'], [(8, 4), (1, 4)])
        >>> spec
        Symmetry(h1: 8 sine (permute/sign))
    """
    own = network.symmetry
    neurons = tuple(Axes(name, "probe_features") for name in own.groups)
    axes = WithProbeFeatures(own.unflatten(own.axes), neurons, Axes("out", "probe_features"))
    without_phase = lambda group: replace(group, actions=tuple(a for a in group.actions or () if a != "phase"))
    groups = {name: without_phase(group) for name, group in own.groups.items()}
    return symmetry_of(axes, {**dict(own.dimensions), **groups, "probe_features": Fixed(probe_features)})


class Hybrid(eqx.Module):
    """A reader of weights and of activations of each neuron at learned inputs x_1, ..., x_probes:

        F_k = A_k E_k       A_k: (neurons, probes) activations of hidden layer k, E_k: (probes, probe_features) learned
        F   = V E           V: (outputs, probes) decoded values, centered by their range
        output = reader((weights, F_1, ..., F))

    The probe features F are arrays beside the weights with axes in the Symmetry, so the reader is any that takes
    `symmetry_with_probe_features(network, probe_features)`. The maps E add no constants, which would break signs and
    scales.

    **Preserves** what the reader preserves: the output is invariant to every permutation, and with a reader that is
    invariant to signs and positive scales, to those. Phases change the probe features.

    Args:
        network: of the data set, `dataset.metadata.network`.
        reader, settings: make the reader of weights, `reader(symmetry, out_size, normalizer=, key=, **settings)`.
        probe_features: numbers for each neuron and each output. The parameters of `DWS` and `NFN` grow with the square
            of their product with the channels: take few channels there rather than few probe features.
        probes, generator, coordinate_range, value_range: as in a `Probe`.
        normalizer: of the data set, for the weights; probe features are not normalized.

    Raises:
        ValueError: an empty range; weights that are not the network's.

    Source: probe features at the nodes of neural graphs, arXiv 2403.12143, section 3; here for any reader.

    Example:
        >>> from wsjax.models import NFN
        >>> net, keys = Network("siren", (2, 4, 1)), jax.random.split(jax.random.key(0))
        >>> hybrid = Hybrid(net, 10, reader=NFN, settings={"channels": 2}, probes=5, probe_features=2, key=keys[0])
        >>> jax.eval_shape(hybrid, net.init(jax.random.key(1))).shape
        (10,)
    """

    probes: NetworkProbes
    entries: tuple[Array, ...]
    reader: Any

    @numbers_as_python
    def __init__(
        self,
        network: Network,
        out_size: int,
        *,
        reader: Callable[..., Reader] = ScaleGMN,
        settings: Mapping[str, Any] | None = None,
        probes: int = 32,
        probe_features: int = 16,
        generator: int = 0,
        coordinate_range: tuple[float, float] = (-1.0, 1.0),
        value_range: tuple[float, float] = (0.0, 1.0),
        normalizer: Normalizer | None = None,
        key: Key,
    ):
        check_arguments(network, Network, out_size, normalizer, probes=probes, probe_features=probe_features)
        reader_key, own_key = jax.random.split(key)
        points_key, entries_key = jax.random.split(own_key)
        symmetry = symmetry_with_probe_features(network, probe_features)
        own = normalizer_for(network.symmetry, normalizer)
        joined = own.extended(len(symmetry.names) - len(own))
        self.reader = reader(symmetry, out_size, normalizer=joined, key=reader_key, **(settings or {}))
        self.probes = NetworkProbes(network, probes, generator, coordinate_range, value_range, key=points_key)
        keys = [jax.random.fold_in(entries_key, i) for i in range(len(network.widths) - 1)]
        self.entries = tuple(normal(k, (probes, probe_features), probes**-0.5) for k in keys)

    def _with_probe_features(self, weights: Weights) -> WithProbeFeatures:
        hidden, values = self.probes.activations(weights)
        *neurons, last = [a.T.astype(e.dtype) @ e for a, e in zip((*hidden, values), self.entries, strict=True)]
        return WithProbeFeatures(weights, tuple(neurons), last)

    def head(self, features: Vector, *, key: Key | None = None, dropout_rate: Scalar = 0.0) -> Vector:
        """The head of the reader of weights."""
        return self.reader.head(features, key=key, dropout_rate=dropout_rate)

    def features(self, weights: Weights, *, key: Key | None = None, dropout_rate: Scalar = 0.0) -> Vector:
        """The features of the reader of weights."""
        return self.reader.features(self._with_probe_features(weights), key=key, dropout_rate=dropout_rate)

    def __call__(self, weights: Weights, *, key: Key | None = None, dropout_rate: Scalar = 0.0) -> Vector:
        """Read one network; with a key, drop what the reader of weights drops."""
        return self.reader(self._with_probe_features(weights), key=key, dropout_rate=dropout_rate)
