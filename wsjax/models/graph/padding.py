"""Networks of different architectures as graphs of one shape, by padding and masks, so that they share a batch."""

from collections.abc import Sequence
from dataclasses import replace

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from wsjax.models.graph.graph import EdgeKey, Edges, Graph, Nodes, graph_inputs


class Padded(eqx.Module):
    """One network's numbers on the blocks of a graph, and which of the entries are the network's own.

    Masks are None where all are: then nothing is padded.
    """

    nodes: tuple[Float[Array, "*batch _ _"], ...]
    node_masks: tuple[Bool[Array, "*batch _"], ...] | None
    edges: tuple[Float[Array, "*batch _ _ _"], ...]
    edge_masks: tuple[Bool[Array, "*batch _ _"], ...] | None
    graph: Graph = eqx.field(static=True)


def union(graphs: Sequence[Graph]) -> Graph:
    """The smallest graph on which each of some `graphs` can be laid: every block that one of them has, at its largest.

    Blocks of nodes go by name, blocks of edges by their two ends and number. So networks of two and of three hidden
    layers give one with both `h2 -> out` and `h2 -> h3 -> out`, and each is masked where it has no arrays.

    Raises: ValueError for a name that is an input in one graph and hidden in another.

    Example:
        >>> from wsjax.models.graph.graph import graph_of
        >>> from wsjax.symmetry import siren
        >>> whole = union([graph_of(siren((2, 8, 8, 1))), graph_of(siren((2, 4, 16, 4, 3)))])
        >>> whole.sizes
        {'in': 2, 'h1': 8, 'h2': 16, 'h3': 4, 'out': 3}
        >>> [f"{edges.source}-{edges.target}" for edges in whole.edges]
        ['in-h1', 'h1-h2', 'h2-out', 'h2-h3', 'h3-out']
    """
    nodes: dict[str, Nodes] = {}
    edges: dict[EdgeKey, Edges] = {}
    for graph in graphs:
        for new in graph.nodes:
            old = nodes.get(new.name, new)
            if old.role != new.role:
                raise ValueError(
                    f"{new.name!r} is {old.role} in one graph and {new.role} in another; expected one role for a name: "
                    f"rename the groups or fixed axes of one Symmetry"
                )
            nodes[new.name] = Nodes(new.name, max(old.size, new.size), new.role, max(old.channels, new.channels))
        for block in graph.edges:
            found = edges.get(block.key, block)
            rank = max(len(found.window), len(block.window))
            lengths = zip(of_rank(found.window, rank), of_rank(block.window, rank), strict=True)
            edges[block.key] = replace(found, window=tuple(map(max, lengths)), feature=None)
    roles = ("input", "hidden", "output")
    return Graph(tuple(sorted(nodes.values(), key=lambda n: roles.index(n.role))), tuple(edges.values()))


def of_rank(window: tuple[int, ...], rank: int) -> tuple[int, ...]:
    """The same window with axes of length one in front."""
    return (1,) * (rank - len(window)) + window


def center(window: tuple[int, ...], largest: tuple[int, ...]) -> tuple[slice, ...]:
    """Where a window lies in a larger one of at least its rank: in the middle, one place early where that is none."""
    lengths = zip(of_rank(window, len(largest)), largest, strict=True)
    return tuple(slice((most - n) // 2, (most - n) // 2 + n) for n, most in lengths)


def whole(graph: Graph, leaves: Sequence[Array]) -> Padded:
    """A network, its arrays in the order of `symmetry.axes` and all of one floating dtype, on its own graph."""
    nodes, edges = graph_inputs(graph, leaves)
    return Padded(nodes, None, edges, None, graph)


def pad(graph: Graph, leaves: Sequence[Array], largest: Graph) -> Padded:
    """A network on a larger graph, a `union`: zeros and masks where it has no neurons, edges or kernel positions.

    `leaves` are its arrays in the order of `symmetry.axes`, normalized, all of one floating dtype. Neurons and channels
    come first, kernels lie in the middle of the largest. For a batch of several architectures `jax.vmap` this over the
    networks of each, and concatenate.

    **Preserves** what a reader gives: one made for `largest` gives the same for the network padded as alone.

    Raises: ValueError for a block of the network that `largest` has not, or has smaller or with fewer channels.

    Example:
        >>> import jax, numpy as np
        >>> from wsjax.models.graph.graph import graph_of
        >>> from wsjax.symmetry import siren
        >>> specs = [siren((2, 4, 1)), siren((2, 3, 3, 1))]
        >>> graphs = [graph_of(spec) for spec in specs]
        >>> leaves = [np.ones(shape, np.float32) for shape in specs[1].shapes]
        >>> padded = jax.jit(lambda leaves: pad(graphs[1], leaves, union(graphs)))(leaves)
        >>> [x.shape for x in padded.edges], [int(np.asarray(mask).sum()) for mask in padded.edge_masks]
        ([(2, 4, 1), (4, 1, 1), (4, 3, 1), (3, 1, 1)], [6, 0, 9, 3])
    """
    check_fits(graph, largest, "the graph to pad to", "pad to union([..., graph_of(symmetry)])")
    numbers_of_nodes, numbers_of_edges = graph_inputs(graph, leaves)
    own_nodes = dict(zip(graph.sizes, numbers_of_nodes, strict=True))
    own_edges = dict(zip([block.key for block in graph.edges], numbers_of_edges, strict=True))
    nodes, node_masks = [], []
    for block in largest.nodes:
        x = own_nodes.get(block.name, jnp.zeros((0, 0), leaves[0].dtype))
        nodes.append(jnp.pad(x, [(0, block.size - x.shape[0]), (0, block.channels - x.shape[1])]))
        node_masks.append(jnp.arange(block.size) < x.shape[0])
    edges, edge_masks = [], []
    windows = {block.key: block.window for block in graph.edges}
    masks = dict(zip(largest.sizes, node_masks, strict=True))
    for block in largest.edges:
        both = masks[block.source][:, None] & masks[block.target][None, :]
        edge_masks.append(both & (block.key in own_edges))
        filled = jnp.zeros((*both.shape, *block.window), leaves[0].dtype)
        if block.key in own_edges:
            x, window = own_edges[block.key], windows[block.key]
            place = (slice(x.shape[0]), slice(x.shape[1]), *center(window, block.window))
            filled = filled.at[place].set(x.reshape(*x.shape[:2], *of_rank(window, len(block.window))))
        edges.append(filled.reshape(*both.shape, block.channels))
    return Padded(tuple(nodes), tuple(node_masks), tuple(edges), tuple(edge_masks), largest)


def check_fits(graph: Graph, largest: Graph, where: str, way_out: str) -> None:
    """Raise ValueError unless every block of a graph has room in a larger one, which the message calls `where`."""
    room = {nodes.name: nodes for nodes in largest.nodes}
    blocks = {edges.key: edges for edges in largest.edges}
    expected = f"expected a union in which this graph is: {way_out}"
    for nodes in graph.nodes:
        size = room[nodes.name].size if nodes.name in room else 0
        if nodes.size > size:
            raise ValueError(f"nodes {nodes.name!r} are {nodes.size} and {where} has {size}; {expected}")
        channels = room[nodes.name].channels
        if nodes.channels > channels:
            raise ValueError(
                f"each of the nodes {nodes.name!r} has {nodes.channels} numbers and {where} has room for {channels}; "
                f"{expected}"
            )
    for edges in graph.edges:
        found = blocks[edges.key].window if edges.key in blocks else None
        if (
            found is None
            or len(found) < len(edges.window)
            or any(n > most for n, most in zip(of_rank(edges.window, len(found)), found, strict=True))
        ):
            raise ValueError(
                f"the edges {edges.source!r} -> {edges.target!r} number {edges.index} have the window {edges.window} "
                f"and {where} has {found}; {expected}"
            )
