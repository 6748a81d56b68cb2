"""A reader of a network's graph: lift the numbers of neurons and weights, let layers pass them on, read the nodes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from wsjax.errors import check_choice, check_number
from wsjax.floats import all_widened, floating
from wsjax.models.dropout import dropout
from wsjax.models.flat import Stack
from wsjax.models.graph import Graph, graph_of
from wsjax.models.graph_lift import GraphLift
from wsjax.models.graph_steps import Step, steps
from wsjax.models.node_probes import NodeProbes
from wsjax.models.normalise import Normaliser
from wsjax.models.padding import Padded, check_fits, whole
from wsjax.networks import Network
from wsjax.symmetry import Symmetry
from wsjax.typing import Key, Scalar, Weights


@dataclass(frozen=True)
class GraphConfig:
    """width: features of a node. edges: features of an edge. layers: of the graph network.

    waves: Gaussian Fourier features of deviation `sigma` of each number; 0 takes the numbers themselves.
    readout: what the head sees, the `"outputs"` side by side, each with what reached it, or the average over all nodes
    of the `"graph"`. head and depth: width and number of its hidden layers.
    probes: learned inputs at which the network runs for features of its neurons; 0 runs nothing. generator: linear
    layers that make them from latent vectors; 0 learns them directly.
    """

    width: int = 32
    edges: int = 32
    layers: int = 4
    waves: int = 0
    sigma: float = 1.0
    readout: str = "outputs"
    head: int = 64
    depth: int = 1
    probes: int = 0
    generator: int = 0

    def __post_init__(self):
        for name in ("width", "edges"):
            check_number(name, getattr(self, name), low=2, whole=True)
        for name in ("layers", "head", "depth"):
            check_number(name, getattr(self, name), low=1, whole=True)
        for name in ("waves", "probes", "generator"):
            check_number(name, getattr(self, name), low=0, whole=True)
        check_number("sigma", self.sigma, low=0, open_low=True)
        check_choice("readout", self.readout, ("outputs", "graph"))


GraphLayer: TypeAlias = Callable[[list[Array], list[Array], Padded], tuple[list[Array], list[Array]]]
"""A layer: features of nodes and of edges to the same, for the blocks of its step."""


class GraphReader(eqx.Module):
    """Lift, layers, readout, head: what the readers of graphs share. `NeuralGraph` and `RelationalTransformer` are it.

    One made for a Symmetry reads weights; one made for a `union` of graphs reads what `pad` gives. `layer` makes the
    layer of a step on the reader's graph.
    """

    normaliser: Normaliser | None
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
        normaliser: Normaliser | None,
        outputs: int,
        config: GraphConfig,
        layer: Callable[[Graph, Step, Key], GraphLayer],
        *,
        network: Network | None = None,
        coordinate_range: tuple[float, float] = (-1.0, 1.0),
        key: Key,
    ):
        own_key, layers_key = jax.random.split(key)
        lift_key, probe_key, head_key = jax.random.split(own_key, 3)
        if isinstance(symmetry, Symmetry) == (normaliser is None):
            raise ValueError(
                f"the normaliser is {normaliser}; expected one for a reader of weights, and None for a reader of "
                f"padded graphs, whose numbers are normalised before `pad`"
            )
        if config.probes and network is None:
            raise ValueError(
                f"probes is {config.probes}, and no network is there to run; expected network=..., as a card has it: "
                f"pass it, or set probes=0"
            )
        if config.probes and normaliser is None:
            raise ValueError(
                f"probes is {config.probes}, and this reader is of padded graphs, of which no network can be run; "
                f"expected 0: set probes=0, or make a reader for the Symmetry of one architecture"
            )
        self.normaliser, self.readout = normaliser, config.readout
        self.symmetry = symmetry if isinstance(symmetry, Symmetry) else None
        self.graph = graph_of(symmetry) if isinstance(symmetry, Symmetry) else symmetry
        plan = enumerate(steps(self.graph, config.layers, config.readout))
        self.layers = tuple(layer(self.graph, step, jax.random.fold_in(layers_key, i)) for i, step in plan)
        self.lift = GraphLift(self.graph, config.width, config.edges, config.waves, config.sigma, key=lift_key)
        self.probes = None
        if config.probes and network is not None:
            self.probes = NodeProbes(
                network, config.width, config.probes, config.generator, coordinate_range, key=probe_key
            )
        read = 1 if config.readout == "graph" else sum(n.size for n in self.graph.nodes if n.role == "output")
        self.head = Stack(read * config.width, outputs, config.head, config.depth, key=head_key)

    def features(
        self, weights: Weights | Padded, *, key: Key | None = None, rate: Scalar = 0.0
    ) -> Float[Array, " features"]:
        """What the readout sees of one network; with a key, drop features at the given rate."""
        like = self.head.layers[0].weight
        network = _in_dtype(weights, like.dtype) if isinstance(weights, Padded) else self._whole(weights)
        check_fits(network.graph, self.graph, "the reader's graph", "make the reader for the union that `pad` is given")
        nodes, edges = self.lift(network)
        if self.probes is not None:
            if isinstance(weights, Padded):
                raise ValueError("the network is a padded graph, which no probe can run; expected its weights")
            run = self.probes(all_widened(weights, like))
            nodes = [x + seen for x, seen in zip(nodes, run, strict=True)]
        for layer in self.layers:
            nodes, edges = layer(nodes, edges, network)
        # The head's hidden layers take salts from 0.
        return dropout(self._read(nodes, network), key, rate, salt=len(self.head.layers) - 1)

    def __call__(
        self, weights: Weights | Padded, *, key: Key | None = None, rate: Scalar = 0.0
    ) -> Float[Array, " outputs"]:
        """Read one network; with a key, drop features and hidden units of the head at the given rate."""
        return self.head(self.features(weights, key=key, rate=rate), key=key, rate=rate)

    def _whole(self, weights: Weights) -> Padded:
        if self.symmetry is None or self.normaliser is None:
            raise ValueError("the weights are of one network and this reader is of a union; expected models.pad(...)")
        return whole(self.graph, self.normaliser(self.symmetry.leaves(weights)))

    def _read(self, nodes: list[Array], network: Padded) -> Array:
        blocks = list(zip(network.graph.nodes, nodes, strict=True))
        masks = network.node_masks
        kept = [x if masks is None else jnp.where(masks[i][:, None], x, 0) for i, (_, x) in enumerate(blocks)]
        if self.readout == "graph":
            count = sum(x.shape[0] for x in kept) if masks is None else sum(mask.sum() for mask in masks)
            return sum(jnp.sum(x, axis=0) for x in kept) / jnp.asarray(count, kept[0].dtype)
        rooms = {n.name: n.size for n in self.graph.nodes if n.role == "output"}
        found = {block.name: x for (block, _), x in zip(blocks, kept, strict=True)}
        width = kept[0].shape[1]
        filled = [
            jnp.pad(
                found.get(name, jnp.zeros((0, width), kept[0].dtype)), [(0, room - len(found.get(name, ()))), (0, 0)]
            )
            for name, room in rooms.items()
        ]
        return jnp.concatenate(filled).reshape(-1)


def _in_dtype(network: Padded, dtype: jnp.dtype) -> Padded:
    """Masks stay as they are."""
    return jax.tree.map(lambda leaf: leaf.astype(dtype) if floating(leaf) else leaf, network)
