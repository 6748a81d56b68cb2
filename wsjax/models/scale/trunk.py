"""The trunk of readers equivariant to signs, phases and scales: vectors of nodes and weights after rounds."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from wsjax.models.graph.graph import Graph, Nodes, graph_inputs, graph_of
from wsjax.models.layers import draws
from wsjax.models.layers.feature_layout import Feature, group_names
from wsjax.models.layers.normalizer import Normalizer, normalizer_for
from wsjax.models.scale.layer import Round, ScaleLayer, Wiring
from wsjax.models.scale.maps import Gain, normal
from wsjax.models.scale.phase import Phasor, Shifted, arriving, read_phasors
from wsjax.models.scale.reciprocal import inverted, squared_sizes
from wsjax.symmetry import Symmetry
from wsjax.symmetry.spec import carries_phase, check_gains
from wsjax.typing import Key, Weights


def wiring_of(graph: Graph, symmetry: Symmetry) -> Wiring:
    """The wiring of a graph: its sets of nodes with their gains and phases, which decide the maps there."""
    check_gains(symmetry, "layers with gains")
    groups = {block: symmetry.groups[name] for block, name in group_names(symmetry).items()}

    def gain(nodes: Nodes) -> Gain:
        group = groups.get(nodes.name)
        return Gain() if group is None else Gain(group.allows("sign"), group.allows("rescale"))

    gains = tuple(gain(nodes) for nodes in graph.nodes)
    hidden = {True: "moved", False: "free"}
    roles = tuple(hidden[any(g)] if n.role == "hidden" else n.role for n, g in zip(graph.nodes, gains, strict=True))
    places = {nodes.name: i for i, nodes in enumerate(graph.nodes)}
    wires = tuple((places[edges.source], places[edges.target]) for edges in graph.edges)
    shifted = tuple(_shifted(nodes, symmetry) for nodes in graph.nodes)
    return Wiring(roles, gains, wires, shifted)


def _shifted(nodes: Nodes, symmetry: Symmetry) -> Shifted | None:
    name = group_names(symmetry).get(nodes.name)
    if name is None or not symmetry.groups[name].allows("phase"):
        return None
    carriers = [leaf for leaf, axes in enumerate(symmetry.axes) if carries_phase(axes, name, symmetry)]
    biases = tuple(feature for feature in nodes.produced if feature.leaf in carriers)
    for leaf in set(carriers) - {feature.leaf for feature in biases}:
        raise ValueError(
            f"{symmetry.names[leaf]} has the axes {symmetry.axes[leaf].entries}; expected a bias of group {name!r} "
            f"alone, whose phases shift: declare Group(..., actions=('permute', 'sign'))"
        )
    return Shifted(biases, symmetry.groups[name].half_turn)


def without_shifted(graph: Graph, wiring: Wiring) -> Graph:
    """The graph without the biases that phases shift."""

    def without(nodes: Nodes, biases: tuple[Feature, ...]) -> Nodes:
        produced = tuple(feature for feature in nodes.produced if feature not in biases)
        return replace(nodes, produced=produced, channels=nodes.channels - sum(f.fixed for f in biases))

    pairs = zip(graph.nodes, wiring.shifted, strict=True)
    return replace(graph, nodes=tuple(nodes if one is None else without(nodes, one.biases) for nodes, one in pairs))


def sizes_of(
    graph: Graph, wiring: Wiring, nodes: Sequence[Float[Array, "_ _"]], edges: Sequence[Float[Array, "_ _ _"]]
) -> list[tuple[Float[Array, " _"], Float[Array, " _"]]]:
    """D^2 and 1 / D^2 of every set of nodes, of what the arrays hold for nodes and weights; see `reciprocal`."""
    own = [x[:, : _own(one)] for x, one in zip(nodes, graph.nodes, strict=True)]
    rescaled = [gain.rescale for gain in wiring.gains]
    return [(size, inverted(size)) for size in squared_sizes(rescaled, own, edges, wiring.wires)]


def _own(nodes: Nodes) -> int:
    """How many numbers have the gain of a node: those of arrays that make it. They come first."""
    return sum(feature.fixed for feature in nodes.produced)


class Initial(eqx.Module):
    """The vectors that a set of nodes begins with: a linear map of its numbers, and where nothing multiplies them an
    embedding, of each node at inputs and outputs, of the group at hidden ones.

    An array that only consumes the neurons has the gain 1 / g and is multiplied by D^2, and by cos z where phases
    shift.
    """

    kernel: Array | None
    embedding: Array | None
    produced: int = eqx.field(static=True)
    channels: int = eqx.field(static=True)

    def __init__(self, nodes: Nodes, role: str, channels: int, *, key: Key):
        self.produced, self.channels = _own(nodes), channels
        kernel_key, embedding_key = jax.random.split(key)
        self.kernel = normal(kernel_key, nodes.channels, channels) if nodes.channels else None
        places = {"moved": 0, "free": 1}.get(role, nodes.size)
        self.embedding = draws.normal(embedding_key, (places, channels)) if places else None

    def __call__(self, x: Float[Array, "nodes numbers"], size: Float[Array, " nodes"], phasor: Phasor | None) -> Array:
        initial = jnp.zeros((len(x), self.channels), x.dtype)
        if self.kernel is not None:
            made, read = x[:, : self.produced], x[:, self.produced :]
            initial = jnp.concatenate([made, arriving(read * size[:, None], phasor)], axis=1) @ self.kernel
        return initial if self.embedding is None else initial + jnp.broadcast_to(self.embedding, initial.shape)


class States(NamedTuple):
    """Vectors of all nodes, (size, channels), and weights, (sources, targets, channels); of each set of nodes D^2 and
    1 / D^2, the squares of its sizes, and the phasors.
    """

    nodes: list[Float[Array, "_ _"]]
    edges: list[Float[Array, "_ _ _"]]
    sizes: list[tuple[Float[Array, " _"], Float[Array, " _"]]]
    phasors: list[Phasor | None]


class ScaleTrunk(eqx.Module):
    """Normalize, a linear map of each node's and each weight's numbers, then the rounds of messages of a plan.

    **Preserves** equivariance: vectors move with the gains of their neurons and weights, in the order of the neurons.
    """

    normalizer: Normalizer
    initials: tuple[Initial, ...]
    edges: tuple[Array, ...]
    layers: tuple[ScaleLayer, ...]
    symmetry: Symmetry = eqx.field(static=True)
    graph: Graph = eqx.field(static=True)
    wiring: Wiring = eqx.field(static=True)

    def __init__(
        self, symmetry: Symmetry, normalizer: Normalizer | None, channels: int, plan: Sequence[Round], *, key: Key
    ):
        keys = [jax.random.fold_in(key, i) for i in range(len(plan) + 4)]
        self.normalizer, self.symmetry = normalizer_for(symmetry, normalizer), symmetry
        self.graph = graph_of(symmetry)
        self.wiring = wiring_of(self.graph, symmetry)
        initial = lambda i, role: Initial(self.graph.nodes[i], role, channels, key=jax.random.fold_in(keys[0], i))
        self.initials = tuple(initial(i, role) for i, role in enumerate(self.wiring.roles))
        draw = lambda i, edges: normal(jax.random.fold_in(keys[1], i), edges.channels, channels)
        self.edges = tuple(draw(i, edges) for i, edges in enumerate(self.graph.edges))
        fraction = sum(bool(one.nodes) for one in plan) ** -0.5
        self.layers = tuple(
            ScaleLayer(self.wiring, one, channels, fraction, key=k) for one, k in zip(plan, keys[4:], strict=True)
        )

    def __call__(self, weights: Weights) -> States:
        """Vectors of one network's nodes and weights after the rounds."""
        leaves, dtype = self.symmetry.leaves(weights), jax.tree.leaves(self.edges)[0].dtype
        nodes, edges = graph_inputs(self.graph, self.normalizer(leaves, dtype))
        phasors = read_phasors(self.wiring.shifted, leaves, dtype)
        nodes = [self._numbers(i, x, phasor) for i, (x, phasor) in enumerate(zip(nodes, phasors, strict=True))]
        sizes = self._sizes(nodes, edges)
        pairs = zip(self.initials, nodes, sizes, phasors, strict=True)
        xs = [initial(x, size, phasor) for initial, x, (size, _), phasor in pairs]
        es = [x @ kernel for x, kernel in zip(edges, self.edges, strict=True)]
        for layer in self.layers:
            xs, es = layer(xs, es, sizes, phasors)
        return States(xs, es, sizes, phasors)

    def _numbers(self, i: int, x: Array, phasor: Phasor | None) -> Array:
        """The numbers of a set of nodes, sin 2z in place of biases that phases shift: its sign is the neuron's."""
        shifted = self.wiring.shifted[i]
        if phasor is None or shifted is None:
            return x
        produced = self.graph.nodes[i].produced
        is_bias = np.concatenate([np.full(feature.fixed, feature in shifted.biases) for feature in produced])
        is_bias = np.pad(is_bias, (0, x.shape[1] - len(is_bias)))
        return jnp.where(is_bias[None, :], 2 * phasor.sin * phasor.cos, x)

    def _sizes(self, nodes: Sequence[Array], edges: Sequence[Array]) -> list[tuple[Array, Array]]:
        return sizes_of(self.graph, self.wiring, nodes, edges)
