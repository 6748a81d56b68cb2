"""WeightGCN: graph convolutions whose adjacency matrices are the weights, one set of neurons after the other."""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from wsjax.errors import check_choice, check_number
from wsjax.models.graph.graph import Graph, graph_inputs, graph_of
from wsjax.models.layers.normalizer import Normalizer, normalizer_for
from wsjax.models.layers.stack import HeadedReader, Stack, Vector, check_arguments, dropout
from wsjax.models.scale.layer import Wiring
from wsjax.models.scale.maps import Invariant
from wsjax.models.scale.phase import read_phasors
from wsjax.models.scale.sweep import Sweep
from wsjax.models.scale.trunk import sizes_of, wiring_of, without_shifted
from wsjax.symmetry import Symmetry
from wsjax.typing import Key, Scalar, Weights


class WeightGCN(HeadedReader):
    """A reader that goes through the network as its own inputs do, with vectors in place of numbers, and back again.

    A neuron receives the sum of its inputs' vectors, each times the weight to it and a learned matrix,
    `models.scale.sweep`; so after one sweep the outputs depend on the first array, however deep the network is, at the
    cost of a pass of as many inputs as there are channels, and of a matrix for each neuron. Hidden sets are then
    averaged after a map that no gain changes; inputs and outputs are read whole, so that hundreds of them make a wide
    head. Signs and positive scales are treated as in `ScaleGMN`, whose weights have vectors too and pass gated messages
    in rounds; this reader has no vectors of weights, and no gates. Of the bias of a sine neuron it reads the cosine and
    the sine of the phase, `models.scale.phase`; a wavelet of each channel stands in place of the sine, so the network
    is never evaluated.

    **Preserves**: the output is invariant to every permutation of the Symmetry, and to every sign, phase shift and
    positive scale that its groups allow.

    Args:
        symmetry, normalizer: of the data set; without a normalizer the weights are read as they are.
        channels: of each node.
        sweeps: along the weights and against them, in turn.
        readout: the head receives all nodes of the `"graph"`, hidden ones averaged, or inputs and outputs, `"io"`. With
            `sweeps=1` the second is best on SIRENs where networks are few.
        head: width of its hidden layer.

    Raises:
        ValueError: an array that no graph takes.

    Source: ours. The message is the graph convolution of Kipf and Welling, arXiv 1609.02907, with a weighted and
    directed adjacency; going through layers in their order is the forward pass that arXiv 2406.10685 shows its own
    messages to contain; the maps of gains are of its section 4.

    Example:
        >>> from wsjax.symmetry import act, mlp, sample
        >>> spec = mlp((2, 4, 1))
        >>> reader = WeightGCN(spec, 3, channels=2, key=jax.random.key(0))
        >>> w = spec.unflatten([jnp.ones(shape) for shape in spec.shapes])
        >>> [eqx.filter_eval_shape(read, w).shape for read in (reader.features, reader)]   # inputs, h1 averaged, output
        [(8,), (3,)]
        >>> read, moved = eqx.filter_jit(reader), act(sample(jax.random.key(1), spec), w)
        >>> bool(jnp.allclose(read(moved), read(w), atol=1e-4))
        True
    """

    normalizer: Normalizer
    sweeps: tuple[Sweep, ...]
    pools: dict[int, Invariant]
    norm: eqx.nn.LayerNorm
    head: Stack
    symmetry: Symmetry = eqx.field(static=True)
    graph: Graph = eqx.field(static=True)
    wiring: Wiring = eqx.field(static=True)
    read: tuple[int, ...] = eqx.field(static=True)

    def __init__(
        self,
        symmetry: Symmetry,
        out_size: int,
        *,
        channels: int = 64,
        sweeps: int = 2,
        readout: str = "graph",
        head: int = 64,
        normalizer: Normalizer | None = None,
        key: Key,
    ):
        check_number("channels", channels, low=2, integer=True)
        check_choice("readout", readout, ("graph", "io"))
        check_arguments(symmetry, Symmetry, out_size, normalizer, sweeps=sweeps, head=head)
        sweep_key, pool_key, head_key = (jax.random.fold_in(key, i) for i in range(3))
        self.normalizer, self.symmetry = normalizer_for(symmetry, normalizer), symmetry
        graph = graph_of(symmetry)
        self.wiring = wiring_of(graph, symmetry)
        self.graph = without_shifted(graph, self.wiring)
        nodes = self.graph.nodes
        sweep = lambda i: Sweep(
            self.graph, self.wiring, channels, first=i == 0, against=i % 2 == 1, key=jax.random.fold_in(sweep_key, i)
        )
        self.sweeps = tuple(sweep(i) for i in range(sweeps))
        # After one sweep along the weights inputs do not depend on them.
        unread = ("input",) * (sweeps == 1) + ("hidden",) * (readout == "io")
        self.read = tuple(i for i, n in enumerate(nodes) if n.role not in unread)
        pool = lambda i: Invariant(channels, channels, key=jax.random.fold_in(pool_key, i))
        self.pools = {i: pool(i) for i in self.read if nodes[i].role == "hidden"}
        width = channels * sum(1 if i in self.pools else nodes[i].size for i in self.read)
        self.norm = eqx.nn.LayerNorm(width)
        self.head = Stack(width, out_size, head, 1, key=head_key)

    def features(self, weights: Weights, *, key: Key | None = None, dropout_rate: Scalar = 0.0) -> Vector:
        """The invariant features of one network; with a key, features are dropped at the given rate."""
        xs = self.vectors(weights)
        x = self.norm(jnp.concatenate([self._pooled(i, xs[i]) for i in self.read]))
        return dropout(x, key, dropout_rate, index=1)

    def vectors(self, weights: Weights) -> list[Float[Array, "_ channels"]]:
        """Those of each set of nodes after all sweeps; they move with the gains and the order of neurons."""
        leaves, dtype = self.symmetry.leaves(weights), self.head.dtype
        nodes, edges = graph_inputs(self.graph, self.normalizer(leaves, dtype))
        phasors = read_phasors(self.wiring.shifted, leaves, dtype)
        sizes = self._sizes(nodes, edges)
        xs = self.sweeps[0](None, nodes, edges, sizes, phasors)
        for sweep in self.sweeps[1:]:
            xs = sweep(xs, nodes, edges, sizes, phasors)
        return xs

    def _sizes(self, nodes: Sequence[Array], edges: Sequence[Array]) -> list[tuple[Array, Array]]:
        return sizes_of(self.graph, self.wiring, nodes, edges)

    def _pooled(self, i: int, x: Array) -> Array:
        return jnp.mean(self.pools[i](x, self.wiring.gains[i]), axis=0) if i in self.pools else x.reshape(-1)
