"""The relational transformer over a network's graph."""

import equinox as eqx
import jax
from jaxtyping import Array

from wsjax.errors import check_sizes
from wsjax.models.graph.graph import Graph
from wsjax.models.graph.padding import Padded
from wsjax.models.graph.parts import Affine, EdgeUpdate, Step
from wsjax.models.graph.reader import GraphReader
from wsjax.models.graph.relational_attention import RelationalAttention
from wsjax.models.layers.attention import check_heads
from wsjax.models.layers.normalizer import Normalizer
from wsjax.models.layers.norms import Norm
from wsjax.networks import Network
from wsjax.symmetry import Symmetry
from wsjax.typing import Key


class RelationalLayer(eqx.Module):
    """Attention, then dense layers on each node, each added and normed; then the edges:

    x <- norm(x + O attend(x, e)),    x <- norm(x + MLP(x)),    e_st <- norm(e_st + MLP(e_st, x_s, x_t))
    """

    attend: RelationalAttention
    out: Affine
    norms: tuple[Norm, Norm]
    up: Affine
    down: Affine
    edge: EdgeUpdate | None

    def __init__(
        self, step: Step, width: int, edges: int, attention: int, heads: int, hidden: int, edge_hidden: int, *, key: Key
    ):
        keys = jax.random.split(key, 5)
        self.attend = RelationalAttention(step, width, edges, attention, heads, key=keys[0])
        self.out = Affine(attention, width, key=keys[1])
        self.norms = Norm("layer", width), Norm("layer", width)
        self.up, self.down = Affine(width, hidden, key=keys[2]), Affine(hidden, width, key=keys[3])
        self.edge = None
        if step.updated:
            self.edge = EdgeUpdate(width, edges, edge_hidden, "gelu", key=keys[4])

    def __call__(self, nodes: list[Array], edges: list[Array], network: Padded) -> tuple[list[Array], list[Array]]:
        gathered = self.attend(nodes, edges, network)
        updated = {block.name: x for block, x in zip(network.graph.nodes, nodes, strict=True)}
        for name, mixed in gathered.items():
            x = self.norms[0](updated[name] + self.out(mixed))
            updated[name] = self.norms[1](x + self.down(jax.nn.gelu(self.up(x))))
        if self.edge is not None:
            keep = self.attend.step.updated
            edges = [
                self.edge(e, updated[block.source], updated[block.target]) if block.key in keep else e
                for block, e in zip(network.graph.edges, edges, strict=True)
            ]
        return list(updated.values()), edges


class RelationalTransformer(GraphReader):
    """A transformer over a network's neurons in which the weights between them shape the attention.

    Neurons and weights are lifted to features; `layers` times each neuron attends to itself and to those that it
    shares weights with (`RelationalAttention`), then every weight is updated from its two ends; the head reads the
    outputs side by side, or the average over all neurons. At the defaults it has 376,810 parameters for networks
    2-32-32-1 and ten classes; 376,586 are published for the same widths.

    **Preserves**: the output is invariant to every permutation of the Symmetry, and to padding.

    Args:
        attention, heads: channels of all heads together, and their number.
        hidden, edge_hidden: widths inside the dense layers on nodes and on edges.
        symmetry, and all others: as in a `NeuralGraph`.

    Raises:
        ValueError: what a `NeuralGraph` raises, and heads that do not divide the channels.

    Source: Kofinas et al., arXiv 2403.12143, whose transformer is that of Diao and Loynd, arXiv 2210.05062. Theirs
    keeps features for every pair of neurons and attends over all without a mask, to those that share no weight through
    the features of a zero; ours keeps weights that exist, and attends along them, against them, and to the neuron
    itself. Theirs has e_ij and e_ji apart, of which one is zero at first; ours has one for both, distinguished by
    learned numbers of each direction, with more hidden channels in its update. What the head does not depend on is left
    out: the last layers touch only what leads to the outputs.

    Example:
        >>> import jax.numpy as jnp
        >>> from wsjax.symmetry import siren
        >>> spec = siren((2, 4, 1))
        >>> sizes = {"width": 4, "edges": 3, "layers": 2, "attention": 4, "heads": 2, "frequencies": 0}
        >>> reader = RelationalTransformer(spec, 10, **sizes, key=jax.random.key(0))
        >>> weights = spec.unflatten([jnp.ones(shape) for shape in spec.shapes])
        >>> [eqx.filter_eval_shape(read, weights).shape for read in (reader.features, reader)]
        [(4,), (10,)]
    """

    def __init__(
        self,
        symmetry: Symmetry | Graph,
        out_size: int,
        *,
        width: int = 64,
        edges: int = 32,
        layers: int = 4,
        frequencies: int = 128,
        sigma: float = 0.1,
        readout: str = "outputs",
        head: int = 128,
        depth: int = 2,
        probes: int = 0,
        generator: int = 0,
        attention: int = 128,
        heads: int = 8,
        hidden: int = 128,
        edge_hidden: int = 96,
        network: Network | None = None,
        coordinate_range: tuple[float, float] = (-1.0, 1.0),
        normalizer: Normalizer | None = None,
        key: Key,
    ):
        check_sizes(attention=attention, heads=heads, hidden=hidden, edge_hidden=edge_hidden)
        check_heads("attention", attention, heads)
        widths = (width, edges, attention, heads, hidden, edge_hidden)
        layer = lambda graph, step, key: RelationalLayer(step, *widths, key=key)
        lifting = {"width": width, "edges": edges, "frequencies": frequencies, "sigma": sigma}
        reading = {"readout": readout, "head": head, "depth": depth, "layers": layers, "normalizer": normalizer}
        run = {"network": network, "probes": probes, "generator": generator, "coordinate_range": coordinate_range}
        super().__init__(symmetry, out_size, layer, **lifting, **reading, **run, key=key)
