"""A network as the graph of its neurons, from any Symmetry: blocks of nodes, and blocks of edges between them.

The neurons of each group are nodes, and so are the network's inputs and outputs. An array that reads some and makes
others (a kernel) is the block of edges between them, stored whole, (sources, targets, channels), so nothing is kept
for neurons that no array joins. An array with one axis of neurons (a bias, a norm's scale) lives on its nodes. Fixed
axes inside the network, the positions of a convolution's kernel, are channels.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from wsjax.models.layers.feature_layout import Feature, features, group_names
from wsjax.symmetry import Symmetry
from wsjax.symmetry.axes import base, consumes

Role: TypeAlias = Literal["input", "hidden", "output"]

EdgeKey: TypeAlias = tuple[str, str, int]
"""What a block of edges is called: its two ends, and its number among the blocks between them."""


@dataclass(frozen=True)
class Nodes:
    """The neurons of one group, or the network's inputs or outputs, with so many numbers each.

    `produced` are the arrays that live on them, biases first, each read as (size, channels of its own); `consumed`
    those that consume the neurons and produce no others. Both are empty in a `union`, which has no arrays.
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


def graph_of(symmetry: Symmetry) -> Graph:
    """The graph of the neurons of networks of a `symmetry`.

    Edges start at a group's axis that is marked as consumed and end at one without a mark; of fixed axes the role says
    it.

    A group within a fixed axis, as in stacked layers, is one block of nodes for each index: `"h[0]"`, `"h[1]"`.

    Raises: ValueError for an array that is neither a node's nor an edge's: with no axis of neurons, with more than two,
    or with two that are both read or both made; for a group within another group.

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
    for name in symmetry.groups:
        if outer := [n for n in symmetry.chain(name) if n in symmetry.groups]:
            raise ValueError(
                f"group {name!r} lies within the group {outer[-1]!r}; a graph takes groups within fixed axes alone, as "
                f"its nodes are permuted set by set: read these networks with models.DWS, NFN, NFT or ArrayEncoder, "
                f"which take any Symmetry"
            )
    sizes = symmetry.sizes | {block: symmetry.sizes[name] for block, name in group_names(symmetry).items()}
    roles = _roles(symmetry)
    produced: dict[str, list[Feature]] = {name: [] for name in roles}
    consumed: dict[str, list[Feature]] = {name: [] for name in roles}
    edges: list[Edges] = []
    for feature in features(symmetry):
        atoms = feature.names
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
    channels = {name: sum(feature.fixed for feature in (*produced[name], *consumed[name])) for name in roles}
    nodes = tuple(
        Nodes(name, sizes[name], role, channels[name], tuple(produced[name]), tuple(consumed[name]))
        for name, role in roles.items()
    )
    return Graph(nodes, tuple(edges))


def graph_inputs(
    graph: Graph, leaves: Sequence[Array]
) -> tuple[tuple[Float[Array, "_ _"], ...], tuple[Float[Array, "_ _ _"], ...]]:
    """The numbers of each block of nodes, (size, channels), and of edges, (sources, targets, channels).

    `leaves` are the network's arrays in the order of `symmetry.axes`, all of one floating dtype.
    """
    dtype = leaves[0].dtype
    read = lambda nodes: [feature.lift(leaves[feature.leaf]) for feature in (*nodes.produced, *nodes.consumed)]
    nodes = tuple(jnp.concatenate([jnp.zeros((n.size, 0), dtype), *read(n)], axis=1) for n in graph.nodes)
    edges = tuple(edges.feature.lift(leaves[edges.feature.leaf]) for edges in graph.edges if edges.feature is not None)
    return nodes, edges


def _roles(symmetry: Symmetry) -> dict[str, Role]:
    """What is a node, inputs first and outputs last."""
    roles: dict[str, Role] = {name: "input" for name, f in symmetry.fixed.items() if f.role == "input"}
    roles.update(dict.fromkeys(group_names(symmetry), "hidden"))
    roles.update({name: "output" for name, f in symmetry.fixed.items() if f.role == "output"})
    return roles


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
    return replace(feature, groups=nodes, fixed=channels, order=order, within=((),) * len(nodes))
