"""Any reader of weights as a hybrid: what each neuron gives at learned inputs joins the weights that are read."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import equinox as eqx
import jax
from jaxtyping import Array, Float, PyTree

from wsjax.errors import check_number
from wsjax.floats import all_widened
from wsjax.models.activations import activations
from wsjax.models.draws import normal
from wsjax.models.generator import LinearGenerator
from wsjax.models.probe import centred
from wsjax.networks import Network
from wsjax.symmetry import Axes, Fixed, Symmetry, symmetry_of
from wsjax.symmetry.group import Group
from wsjax.typing import Key, Scalar, Weights


@dataclass(frozen=True)
class HybridConfig:
    """reader: any reader of weights, by name. settings: its own; a mapping, the name of a size, or None.

    probes: learned inputs. seen: numbers that each neuron and each output keeps of what it gives there; the parameters
    of `dws` and `nfn` grow with its square, so 1 or 2 for those.
    generator: linear layers that make the inputs from latent vectors; 0 learns them directly.
    """

    reader: str = "scale_gmn"
    settings: Mapping[str, Any] | str | None = None
    probes: int = 32
    seen: int = 16
    generator: int = 0

    def __post_init__(self):
        for name in ("probes", "seen"):
            check_number(name, getattr(self, name), low=1, whole=True)
        check_number("generator", self.generator, low=0, whole=True)


class Seen(NamedTuple):
    """A network's weights and, of each hidden layer and of the outputs, (neurons, seen) numbers of what it gives."""

    weights: PyTree
    neurons: tuple[PyTree, ...]
    values: PyTree


def symmetry_of_seen(network: Network, seen: int) -> Symmetry:
    """What may act on a network's weights together with what its neurons give.

    The numbers of a hidden layer are one more array that its neurons make, so they take its permutations, signs and
    scales. Phases are no part of it: a half turn moves a bias and leaves an activation's size.

    Args:
        network: the architecture.
        seen: numbers of each neuron and each output.

    Example:
        >>> spec = symmetry_of_seen(Network("siren", (2, 8, 1)), 4)
        >>> spec.names[-2:], spec.shapes[-2:]
        (['weights.neurons[0]', 'weights.values'], [(8, 4), (1, 4)])
        >>> spec
        Symmetry(h1: 8 sine (permute/sign))
    """
    own = network.symmetry
    neurons = tuple(Axes(name, "seen") for name in own.groups)
    axes = Seen(own.unflatten(own.axes), neurons, Axes("out", "seen"))
    groups = {name: _without_phase(group) for name, group in own.groups.items()}
    return symmetry_of(axes, {**dict(own.dimensions), **groups, "seen": Fixed(seen)})


def _without_phase(group: Group) -> Group:
    return replace(group, actions=tuple(action for action in group.actions or () if action != "phase"))


def statistics_of_seen(symmetry: Symmetry, statistics: Mapping[str, Mapping[str, float]]) -> dict[str, dict]:
    """The statistics of a data set under the names of `symmetry_of_seen`: what neurons give is read as it is.

    Args:
        symmetry: `symmetry_of_seen` of the data set's network.
        statistics: of the data set's card, by the names of the network's own Symmetry.

    Example:
        >>> net = Network("siren", (2, 8, 1))
        >>> own = {name: {"mean": 0.5, "std": 2.0, "rms": 3.0} for name in net.symmetry.names}
        >>> joined = statistics_of_seen(symmetry_of_seen(net, 4), own)
        >>> joined["weights.weights[0].kernel"]["std"], joined["weights.values"]["std"]
        (2.0, 1.0)
    """
    own = {f"weights.{name}": dict(found) for name, found in statistics.items()}
    given = (name for name in symmetry.names if not name.startswith("weights.weights"))
    return own | {name: {"mean": 0.0, "std": 1.0, "rms": 1.0} for name in given}


class Hybrid(eqx.Module):
    """A reader of weights that is also told what each neuron gives at learned inputs x_1, ..., x_probes:

        seen_k = A_k E_k        A_k: (neurons, probes) activations of hidden layer k, E_k: (probes, seen) learned
        seen   = V E            V: (outputs, probes) decoded values, centred by their range
        output = reader((weights, seen_1, ..., seen))

    The numbers are arrays beside the weights with a place in the Symmetry, so the reader is any that is made for
    `symmetry_of_seen(network, seen)`. The E have no constants, as those would break signs and scales.

    **Preserves** what the reader preserves: the output is invariant to every permutation, and with a reader that is
    invariant to signs and positive scales, to those. Phases change what it reads.

    Args:
        network: the architecture of the networks that are read.
        reader: made for `symmetry_of_seen(network, config.seen)`.
        config: `probes`, `seen` and `generator`; the rest is `models.build`'s.
        coordinate_range: of what the networks were fitted on, over which the learned inputs start.
        value_range: of what the networks decode to.
        key: a typed key.

    Raises:
        ValueError: a range that holds nothing; weights that are not the network's.

    Source: probe features at the nodes of neural graphs, arXiv 2403.12143, section 3; here for any reader.

    Example:
        >>> from wsjax.models import NFN, NFNConfig, normaliser
        >>> net, config, keys = Network("siren", (2, 4, 1)), HybridConfig(probes=5), jax.random.split(jax.random.key(0))
        >>> spec = symmetry_of_seen(net, config.seen)
        >>> own = {name: {"mean": 0.0, "std": 1.0, "rms": 1.0} for name in spec.names}
        >>> reader = NFN(spec, normaliser(spec, own), 10, NFNConfig(channels=2), key=keys[0])
        >>> hybrid = Hybrid(net, reader, config, key=keys[1])
        >>> jax.eval_shape(hybrid, net.init(jax.random.key(1))).shape
        (10,)
    """

    points: LinearGenerator
    entries: tuple[Array, ...]
    reader: Any
    network: Network = eqx.field(static=True)
    value_range: tuple[float, float] = eqx.field(static=True)

    def __init__(
        self,
        network: Network,
        reader: Any,
        config: HybridConfig,
        *,
        coordinate_range: tuple[float, float] = (-1.0, 1.0),
        value_range: tuple[float, float] = (0.0, 1.0),
        key: Key,
    ):
        points_key, entries_key = jax.random.split(key)
        self.network, self.reader, self.value_range = network, reader, value_range
        inputs, layers = network.widths[0], len(network.widths) - 1
        self.points = LinearGenerator(inputs, config.probes, config.generator, coordinate_range, key=points_key)
        shape, variance = (config.probes, config.seen), 1 / config.probes
        self.entries = tuple(normal(jax.random.fold_in(entries_key, i), shape, variance**0.5) for i in range(layers))

    def _seen(self, weights: Weights) -> Seen:
        self.network.symmetry.leaves(weights)  # what does not fit is refused here, by the names of its own arrays
        run = all_widened(weights, self.entries[0])
        hidden, values = activations(self.network, run, self.points())
        given = [*hidden, centred(values, self.value_range).reshape(values.shape)]
        *neurons, last = [a.T.astype(e.dtype) @ e for a, e in zip(given, self.entries, strict=True)]
        return Seen(weights, tuple(neurons), last)

    def head(self, features: Array, *, key: Key | None = None, rate: Scalar = 0.0) -> Float[Array, " outputs"]:
        """The head of the reader of weights."""
        return self.reader.head(features, key=key, rate=rate)

    def features(self, weights: Weights, *, key: Key | None = None, rate: Scalar = 0.0) -> Float[Array, " features"]:
        """What the reader of weights makes of one network and of what its neurons give."""
        return self.reader.features(self._seen(weights), key=key, rate=rate)

    def __call__(self, weights: Weights, *, key: Key | None = None, rate: Scalar = 0.0) -> Float[Array, " outputs"]:
        """Read one network; with a key, drop what the reader of weights drops."""
        return self.reader(self._seen(weights), key=key, rate=rate)
