"""A reader of a network's graph: lift weights to features of nodes and edges, apply message layers, pool the nodes."""

from collections.abc import Callable
from typing import TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from wsjax.errors import check_choice, check_number, check_sizes
from wsjax.floats import all_widened, floating
from wsjax.models.graph.graph import Graph, graph_of
from wsjax.models.graph.lift import GraphLift, NodeProbes
from wsjax.models.graph.padding import Padded, check_fits, whole
from wsjax.models.graph.parts import Step, steps
from wsjax.models.layers.normalizer import Normalizer, normalizer_for
from wsjax.models.layers.stack import HeadedReader, Stack, check_arguments, dropout
from wsjax.networks import Network
from wsjax.symmetry import Symmetry
from wsjax.typing import Key, Scalar, Weights

GraphLayer: TypeAlias = Callable[[list[Array], list[Array], Padded], tuple[list[Array], list[Array]]]
"""A layer: features of nodes and of edges to the same, for the blocks of its step."""


class GraphReader(HeadedReader):
    """Lift, layers, readout, head: what the readers of graphs share. `NeuralGraph` and `RelationalTransformer` are it.

    One made for a Symmetry reads weights; one made for a `union` of graphs reads what `pad` gives. `layer` makes the
    layer of a step on the reader's graph.
    """

    normalizer: Normalizer | None
    lift: GraphLift
    probes: NodeProbes | None
    layers: tuple[GraphLayer, ...]
    head: Stack
    symmetry: Symmetry | None = eqx.field(static=True)
    graph: Graph = eqx.field(static=True)
    readout: str = eqx.field(static=True)

    def __init__(
        self,
        symmetry: Symmetry | Graph,
        out_size: int,
        layer: Callable[[Graph, Step, Key], GraphLayer],
        *,
        width: int,
        edges: int,
        layers: int,
        frequencies: int,
        sigma: float,
        readout: str,
        head: int,
        depth: int,
        probes: int,
        generator: int,
        network: Network | None,
        coordinate_range: tuple[float, float],
        normalizer: Normalizer | None,
        key: Key,
    ):
        check_sizes(low=2, width=width, edges=edges)
        check_arguments(symmetry, (Symmetry, Graph), out_size, normalizer, layers=layers, head=head, depth=depth)
        check_sizes(low=0, frequencies=frequencies, probes=probes, generator=generator)
        check_number("sigma", sigma, low=0, open_low=True)
        check_choice("readout", readout, ("outputs", "graph"))
        own_key, layers_key = jax.random.split(key)
        lift_key, probe_key, head_key = jax.random.split(own_key, 3)
        own = symmetry if isinstance(symmetry, Symmetry) else None
        if own is None and normalizer is not None:
            raise ValueError(
                f"the normalizer is {normalizer}; expected None for a reader of padded graphs, whose numbers are "
                f"normalized before `pad`"
            )
        if probes and not isinstance(network, Network):
            raise ValueError(
                f"probes is {probes}, and no network is there to run; expected network=..., as the metadata "
                f"of a data set have it: pass it, or set probes=0"
            )
        if probes and own is None:
            raise ValueError(
                f"probes is {probes}, and this reader is of padded graphs, of which no network can be run; "
                f"expected 0: set probes=0, or make a reader for the Symmetry of one architecture"
            )
        self.normalizer = None if own is None else normalizer_for(own, normalizer)
        self.symmetry, self.readout = own, readout
        self.graph = graph_of(symmetry) if isinstance(symmetry, Symmetry) else symmetry
        numbered = enumerate(steps(self.graph, layers, readout))
        self.layers = tuple(layer(self.graph, step, jax.random.fold_in(layers_key, i)) for i, step in numbered)
        self.lift = GraphLift(self.graph, width, edges, frequencies, sigma, key=lift_key)
        self.probes = None
        if probes and network is not None:
            self.probes = NodeProbes(network, width, probes, generator, coordinate_range, key=probe_key)
        read = 1 if readout == "graph" else sum(n.size for n in self.graph.nodes if n.role == "output")
        self.head = Stack(read * width, out_size, head, depth, key=head_key)

    def features(
        self, weights: Weights | Padded, *, key: Key | None = None, dropout_rate: Scalar = 0.0
    ) -> Float[Array, " features"]:
        """The readout of one network; with a key, drop features at the given rate."""
        like = self.head.layers[0].weight
        if isinstance(weights, Padded):  # its masks stay as they are
            network = jax.tree.map(lambda leaf: leaf.astype(like.dtype) if floating(leaf) else leaf, weights)
        elif self.symmetry is None or self.normalizer is None:
            raise ValueError("the weights are of one network and this reader is of a union; expected models.pad(...)")
        else:
            network = whole(self.graph, self.normalizer(self.symmetry.leaves(weights), like.dtype))
        check_fits(network.graph, self.graph, "the reader's graph", "make the reader for the union that `pad` is given")
        nodes, edges = self.lift(network)
        if self.probes is not None:
            if isinstance(weights, Padded):
                raise ValueError("the network is a padded graph, which no probe can run; expected its weights")
            run = self.probes(all_widened(weights, like))
            nodes = [x + probed for x, probed in zip(nodes, run, strict=True)]
        for layer in self.layers:
            nodes, edges = layer(nodes, edges, network)
        # The head's hidden layers take indices from 0.
        return dropout(self._read(nodes, network), key, dropout_rate, index=len(self.head.layers) - 1)

    def _read(self, nodes: list[Array], network: Padded) -> Array:
        """The average over all nodes, or the outputs side by side, with zeros where the network has fewer."""
        masks, dtype = network.node_masks, nodes[0].dtype
        kept = nodes if masks is None else [jnp.where(m[:, None], x, 0) for m, x in zip(masks, nodes, strict=True)]
        if self.readout == "graph":
            count = sum(x.shape[0] for x in kept) if masks is None else sum(mask.sum() for mask in masks)
            return sum(jnp.sum(x, axis=0) for x in kept) / jnp.asarray(count, dtype)
        found, none = dict(zip(network.graph.sizes, kept, strict=True)), jnp.zeros((0, nodes[0].shape[1]), dtype)
        outputs = [(n.size, found.get(n.name, none)) for n in self.graph.nodes if n.role == "output"]
        return jnp.concatenate([jnp.pad(x, [(0, size - len(x)), (0, 0)]) for size, x in outputs]).reshape(-1)
