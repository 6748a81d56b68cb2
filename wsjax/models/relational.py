"""The relational transformer over a network's graph."""

from dataclasses import dataclass

import equinox as eqx
import jax
from jaxtyping import Array

from wsjax.errors import check_number
from wsjax.models.attention_heads import check_heads
from wsjax.models.graph import Graph
from wsjax.models.graph_parts import Affine, EdgeUpdate
from wsjax.models.graph_reader import GraphConfig, GraphReader
from wsjax.models.graph_steps import Step
from wsjax.models.normalise import Normaliser
from wsjax.models.norms import LayerNorm
from wsjax.models.padding import Padded
from wsjax.models.relational_attention import RelationalAttention
from wsjax.networks import Network
from wsjax.symmetry import Symmetry
from wsjax.typing import Key


@dataclass(frozen=True)
class RelationalConfig(GraphConfig):
    """As `GraphConfig`, and attention: channels of all `heads` together. hidden, edge_hidden: widths inside the dense
    layers on nodes and on edges."""

    width: int = 64
    waves: int = 128
    head: int = 128
    depth: int = 2
    attention: int = 128
    heads: int = 8
    hidden: int = 128
    edge_hidden: int = 96

    def __post_init__(self):
        super().__post_init__()
        for name in ("attention", "heads", "hidden", "edge_hidden"):
            check_number(name, getattr(self, name), low=1, whole=True)
        check_heads("attention", self.attention, self.heads)


class RelationalLayer(eqx.Module):
    """Attention, then dense layers on each node, each added and normed; then the edges:

    x <- norm(x + O attend(x, e)),    x <- norm(x + MLP(x)),    e_st <- norm(e_st + MLP(e_st, x_s, x_t))
    """

    attend: RelationalAttention
    out: Affine
    norms: tuple[LayerNorm, LayerNorm]
    up: Affine
    down: Affine
    edge: EdgeUpdate | None

    def __init__(self, step: Step, config: RelationalConfig, *, key: Key):
        keys = jax.random.split(key, 5)
        width, edges = config.width, config.edges
        self.attend = RelationalAttention(step, width, edges, config.attention, config.heads, key=keys[0])
        self.out = Affine(config.attention, width, key=keys[1])
        self.norms = LayerNorm(width), LayerNorm(width)
        self.up, self.down = Affine(width, config.hidden, key=keys[2]), Affine(config.hidden, width, key=keys[3])
        self.edge = None
        if step.updated:
            self.edge = EdgeUpdate(width, edges, config.edge_hidden, "gelu", key=keys[4])

    def __call__(self, nodes: list[Array], edges: list[Array], network: Padded) -> tuple[list[Array], list[Array]]:
        gathered = self.attend(nodes, edges, network)
        updated = {block.name: x for block, x in zip(network.graph.nodes, nodes, strict=True)}
        for name, seen in gathered.items():
            x = self.norms[0](updated[name] + self.out(seen))
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
        symmetry: of the networks that are read; or a `union` of graphs, for a reader of what `pad` gives.
        normaliser: theirs; None for a union.
        outputs: numbers that the reader gives.
        config: its settings.
        network: what runs at the learned inputs, for `probes`.
        coordinate_range: of the coordinates that the networks were fitted on.
        key: a typed key.

    Raises:
        ValueError: an array that no graph takes, too few layers for the readout, or probes without a network or for a
            union; at reading, a padded graph of which some block is larger than the reader's.

    Source: Kofinas et al., arXiv 2403.12143, whose transformer is that of Diao and Loynd, arXiv 2210.05062. Theirs
    keeps features for every pair of neurons and attends over all without a mask, to those that share no weight through
    the features of a zero; ours keeps weights that exist, and attends along them, against them, and to the neuron
    itself. Theirs has e_ij and e_ji apart, of which one starts as a zero; ours has one for both, told apart by learned
    numbers of each direction, with more hidden channels in its update. What the head cannot hear of is left out: the
    last layers touch only what leads to the outputs.

    Example:
        >>> import jax.numpy as jnp
        >>> from wsjax.symmetry import siren
        >>> spec = siren((2, 4, 1))
        >>> plain = Normaliser((jnp.zeros(()),) * 4, (jnp.ones(()),) * 4)
        >>> small = RelationalConfig(width=4, edges=3, layers=2, attention=4, heads=2, waves=0)
        >>> reader = eqx.filter_eval_shape(RelationalTransformer, spec, plain, 10, small, key=jax.random.key(0))
        >>> weights = spec.unflatten([jnp.ones(shape) for shape in spec.shapes])
        >>> [eqx.filter_eval_shape(read, weights).shape for read in (reader.features, reader)]
        [(4,), (10,)]
    """

    def __init__(
        self,
        symmetry: Symmetry | Graph,
        normaliser: Normaliser | None,
        outputs: int,
        config: RelationalConfig | None = None,
        *,
        network: Network | None = None,
        coordinate_range: tuple[float, float] = (-1.0, 1.0),
        key: Key,
    ):
        settings = RelationalConfig() if config is None else config
        layer = lambda graph, step, key: RelationalLayer(step, settings, key=key)
        given = {"network": network, "coordinate_range": coordinate_range}
        super().__init__(symmetry, normaliser, outputs, settings, layer, **given, key=key)
