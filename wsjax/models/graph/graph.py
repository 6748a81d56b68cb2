"""A network as the graph of its neurons, from any Symmetry: blocks of nodes, and blocks of edges between them.

The neurons of each group are nodes, and so are the network's inputs and outputs. An array that reads some and makes
others (a kernel) is the block of edges between them, stored whole, (sources, targets, channels), so nothing is kept
for neurons that no array joins. An array with one axis of neurons (a bias, a norm's scale) lives on its nodes. Fixed
axes inside the network, the positions of a convolution's kernel, are channels.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from wsjax.models.layers.feature_layout import Feature, features
from wsjax.symmetry import Sum, Symmetry
from wsjax.symmetry.axes import Entry, base, consumes

Role: TypeAlias = Literal["input", "hidden", "output"]

EdgeKey: TypeAlias = tuple[str, str, int]
"""What a block of edges is called: its two ends, and its number among the blocks between them."""


@dataclass(frozen=True)
class Nodes:
    """The neurons of one group, or the network's inputs or outputs, with so many numbers each.

    `produced` are the arrays that live on them, biases first, each read as (size, channels of its own); `consumed`
    those that read the neurons but make no others. Both are empty in a `union`, which has no arrays.
    """

    name: str
    size: int
    role: Role
    channels: int = 0
    produced: tuple[Feature, ...] = ()
    consumed: tuple[Feature, ...] = ()


@dataclass(frozen=True)
class Edges:
    """All edges from one block of nodes to another that an array, or a part of one, holds.

    `window` are the lengths of its fixed axes, whose entries are its channels: () for a dense layer, (3, 3) for a
    convolution. `feature` reads it from the array; a `union` has none.
    """

    source: str
    target: str
    index: int
    window: tuple[int, ...]
    feature: Feature | None = None

    @property
    def channels(self) -> int:
        return math.prod(self.window)

    @property
    def key(self) -> EdgeKey:
        return self.source, self.target, self.index


@jax.tree_util.register_static
@dataclass(frozen=True)
class Graph:
    """Blocks of nodes (inputs, groups in the Symmetry's order, outputs) and of edges, in the arrays' order."""

    nodes: tuple[Nodes, ...]
    edges: tuple[Edges, ...]

    @property
    def sizes(self) -> dict[str, int]:
        return {nodes.name: nodes.size for nodes in self.nodes}

    def incoming(self, name: str) -> tuple[int, ...]:
        """The numbers of the blocks of edges that end in these nodes."""
        return tuple(i for i, edges in enumerate(self.edges) if edges.target == name)

    def outgoing(self, name: str) -> tuple[int, ...]:
        """The numbers of the blocks of edges that start in these nodes."""
        return tuple(i for i, edges in enumerate(self.edges) if edges.source == name)


def graph_of(symmetry: Symmetry) -> Graph:
    """The graph of a network's neurons.

    Args:
        symmetry: the network's. A group's axis marked as consumed is where edges start, one without a mark where
            they end; of fixed axes the role says it.

    Raises:
        ValueError: an array that is neither a node's nor an edge's: with no axis of neurons, with more than two, or
            with two that are both read or both made.

    Source: neural graphs, arXiv 2403.12143, which are built layer by layer for chains; here any architecture whose
    arrays join two groups at most. Its public code keeps all pairs of neurons, ours those of adjacent layers.

    Example:
        >>> from wsjax.symmetry import siren
        >>> graph = graph_of(siren((2, 8, 4, 1)))
        >>> [(nodes.name, nodes.size, nodes.channels) for nodes in graph.nodes]
        [('in', 2, 0), ('h1', 8, 1), ('h2', 4, 1), ('out', 1, 1)]
        >>> [edges.key for edges in graph.edges]
        [('in', 'h1', 0), ('h1', 'h2', 0), ('h2', 'out', 0)]
    """
    roles = _roles(symmetry)
    produced: dict[str, list[Feature]] = {name: [] for name in roles}
    consumed: dict[str, list[Feature]] = {name: [] for name in roles}
    edges: list[Edges] = []
    for feature, atoms in zip(features(symmetry), _atoms(symmetry), strict=True):
        places = [i for i, atom in enumerate(atoms) if base(atom) in roles]
        rest = [i for i in range(len(atoms)) if i not in places]
        if len(places) == 1:
            name = base(atoms[places[0]])
            feature = _over_nodes(feature, (name,), (*places, *rest))
            side = consumed if consumes(atoms[places[0]]) else produced
            side[name].insert(0, feature) if symmetry.axes[feature.leaf].bias else side[name].append(feature)
            continue
        ends = _ends([atoms[i] for i in places], roles) if len(places) == 2 else None
        if ends is None:
            raise ValueError(
                f"{symmetry.names[feature.leaf]} has the axes {symmetry.axes[feature.leaf].entries}; a graph takes "
                f"arrays with one axis of neurons, inputs or outputs, or with two, of which one is read ('h*') and "
                f"one is made ('h'). Correct the axes or the role of a fixed one, or read these networks with "
                f"models.DWS, which takes any array"
            )
        source, target = (places[end] for end in ends)
        names = base(atoms[source]), base(atoms[target])
        index = sum((e.source, e.target) == names for e in edges)
        window = tuple(feature.shape[i] for i in rest)
        edges.append(Edges(*names, index, window, _over_nodes(feature, names, (source, target, *rest))))
    nodes = tuple(
        Nodes(
            name,
            symmetry.sizes[name],
            role,
            sum(feature.fixed for feature in (*produced[name], *consumed[name])),
            tuple(produced[name]),
            tuple(consumed[name]),
        )
        for name, role in roles.items()
    )
    return Graph(nodes, tuple(edges))


def node_inputs(graph: Graph, leaves: Sequence[Array]) -> tuple[Float[Array, "_ _"], ...]:
    """The numbers of each block of nodes, (size, channels).

    Args:
        graph: `graph_of` a network's Symmetry.
        leaves: its arrays in the order of `symmetry.axes`, all of one floating dtype.

    Example:
        >>> from wsjax.symmetry import siren
        >>> spec = siren((2, 8, 4, 1))
        >>> [x.shape for x in node_inputs(graph_of(spec), [jnp.ones(shape) for shape in spec.shapes])]
        [(2, 0), (8, 1), (4, 1), (1, 1)]
    """
    dtype = leaves[0].dtype
    read = lambda nodes: [feature.lift(leaves[feature.leaf]) for feature in (*nodes.produced, *nodes.consumed)]
    return tuple(jnp.concatenate([jnp.zeros((n.size, 0), dtype), *read(n)], axis=1) for n in graph.nodes)


def edge_inputs(graph: Graph, leaves: Sequence[Array]) -> tuple[Float[Array, "_ _ _"], ...]:
    """The numbers of each block of edges, (sources, targets, channels).

    Args:
        graph: `graph_of` a network's Symmetry.
        leaves: its arrays in the order of `symmetry.axes`.

    Example:
        >>> from wsjax.symmetry import siren
        >>> spec = siren((2, 8, 4, 1))
        >>> [x.shape for x in edge_inputs(graph_of(spec), [jnp.ones(shape) for shape in spec.shapes])]
        [(2, 8, 1), (8, 4, 1), (4, 1, 1)]
    """
    return tuple(edges.feature.lift(leaves[edges.feature.leaf]) for edges in graph.edges if edges.feature is not None)


def _roles(symmetry: Symmetry) -> dict[str, Role]:
    """What is a node, inputs first and outputs last."""
    fixed = symmetry.fixed.items()
    inputs: dict[str, Role] = {name: "input" for name, f in fixed if f.role == "input"}
    outputs: dict[str, Role] = {name: "output" for name, f in fixed if f.role == "output"}
    hidden: dict[str, Role] = dict.fromkeys(symmetry.groups, "hidden")
    return {**inputs, **hidden, **outputs}


def _atoms(symmetry: Symmetry) -> list[tuple[str, ...]]:
    """The names along each feature's axes with their marks, in the order of `features(symmetry)`."""
    return [
        tuple(itertools.chain(*parts))
        for axes in symmetry.axes
        for parts in itertools.product(*(_alternatives(entry) for entry in axes.entries))
    ]


def _alternatives(entry: Entry) -> list[tuple[str, ...]]:
    """The names that stand along each part of an axis; one part, unless it concatenates."""
    if isinstance(entry, str):
        return [(entry,)]
    if isinstance(entry, Sum):
        return [names for part in entry.parts for names in _alternatives(part)]
    return [tuple(itertools.chain(*parts)) for parts in itertools.product(*(_alternatives(part) for part in entry))]


def _ends(atoms: Sequence[str], roles: dict[str, Role]) -> tuple[int, int] | None:
    """Which of two names is read and which is made; a group's mark decides before a fixed axis' role."""
    reads = [consumes(atom) for atom in atoms]
    hidden = [roles[base(atom)] == "hidden" for atom in atoms]
    if not any(hidden):
        reads = [roles[base(atom)] == "input" for atom in atoms]
    elif not all(hidden):
        group = hidden.index(True)
        reads[1 - group] = not reads[group]
    return None if reads[0] == reads[1] else (reads.index(True), reads.index(False))


def _over_nodes(feature: Feature, nodes: tuple[str, ...], order: tuple[int, ...]) -> Feature:
    """A feature whose first axes run over nodes, and whose channels are the rest."""
    channels = math.prod(feature.shape[i] for i in order[len(nodes) :])
    return replace(feature, groups=nodes, fixed=channels, order=order)
