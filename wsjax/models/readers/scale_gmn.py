"""ScaleGMN: messages along a network's graph that respect the signs and the positive scales of its neurons."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from wsjax.errors import check_choice, check_number
from wsjax.models.graph.graph import graph_of
from wsjax.models.layers.normalizer import Normalizer
from wsjax.models.layers.stack import HeadedReader, Stack, Vector, check_arguments, dropout
from wsjax.models.scale.layer import rounds
from wsjax.models.scale.maps import Invariant
from wsjax.models.scale.trunk import ScaleTrunk, wiring_of
from wsjax.symmetry import Symmetry
from wsjax.typing import Key, Scalar, Weights


class ScaleGMN(HeadedReader):
    """A reader of weights that is invariant to permutations, signs and positive scales of neurons.

    Each group of neurons is read by what its Symmetry allows: "sign" (tanh, sine), "rescale" (ReLU), both (linear) or
    neither; they mix freely in one network. Neurons and weights begin as linear maps of their numbers without
    constants, a map for each array; `layers` rounds of messages follow, `models.scale.layer`. Messages go forward, or
    both ways, where the reciprocals of weights come from the sizes of neurons, `models.scale.reciprocal`, and no weight
    is divided by: zeros, as in pruned networks, are read as they are. A normalizer must not shift arrays that signs or
    scales act on; `dataset.normalizer()` does not.

    **Preserves**: the output is invariant to every permutation of the Symmetry, and to every sign, phase shift and
    positive scale that its groups allow. Phases, which the paper leaves out, are read as `models.scale.phase` says.

    Args:
        symmetry, normalizer: of the data set; without a normalizer the weights are read as they are. A group that
            should be read without its signs or scales is declared with fewer `actions`.
        channels: of each node and each weight.
        layers: rounds of messages.
        head: width of the head's hidden layer.
        direction: messages go `"forward"`, along the weights, or `"bidirectional"`.
        readout: the head receives all nodes of the `"graph"`, hidden ones averaged, or the `"outputs"` alone.

    Raises:
        ValueError: an array that no graph takes, or too few layers for every array to reach the readout.

    Source: Kalogeropoulos et al., arXiv 2406.10685. Its position embeddings, which multiply at hidden neurons, are in
    the maps of each array; the readout of the graph averages where it sums. Its public code sends messages backward
    along the weights themselves, which breaks the law for scales, and the published reciprocal has no value at zero.

    Example:
        >>> from wsjax.symmetry import act, mlp, sample
        >>> spec = mlp((2, 4, 1))
        >>> reader = ScaleGMN(spec, 3, channels=2, layers=1, direction="bidirectional", key=jax.random.key(0))
        >>> w = spec.unflatten([jnp.ones(shape) for shape in spec.shapes])
        >>> [eqx.filter_eval_shape(read, w).shape for read in (reader.features, reader)]   # inputs, h1 averaged, output
        [(6,), (3,)]
        >>> read, moved = eqx.filter_jit(reader), act(sample(jax.random.key(1), spec), w)
        >>> bool(jnp.allclose(read(moved), read(w), atol=1e-4))
        True
    """

    trunk: ScaleTrunk
    pool: Invariant | None
    norm: eqx.nn.LayerNorm
    head: Stack
    read: tuple[int, ...] = eqx.field(static=True)

    def __init__(
        self,
        symmetry: Symmetry,
        out_size: int,
        *,
        channels: int = 32,
        layers: int = 4,
        head: int = 64,
        direction: str = "forward",
        readout: str = "graph",
        normalizer: Normalizer | None = None,
        key: Key,
    ):
        check_number("channels", channels, low=2, integer=True)
        check_arguments(symmetry, Symmetry, out_size, normalizer, layers=layers, head=head)
        check_choice("direction", direction, ("forward", "bidirectional"))
        check_choice("readout", readout, ("graph", "outputs"))
        graph, both = graph_of(symmetry), direction == "bidirectional"
        wiring = wiring_of(graph, symmetry)
        roles = wiring.roles
        unread = set() if both else {"input"}  # forward, no message reaches inputs
        unread |= {"input", "moved", "free"} if readout == "outputs" else set()
        self.read = tuple(i for i, role in enumerate(roles) if role not in unread)
        plan = rounds(wiring, layers, both, self.read)
        missed = set(range(len(graph.edges))) - {w for one in plan for w in one.wires}
        if missed:
            edges = graph.edges[min(missed)]
            raise ValueError(
                f"layers is {layers}: the {readout} does not depend on the weights from "
                f"{edges.source!r} to {edges.target!r} after so few rounds. Set more layers, one for each array on the "
                f"way to the outputs at least, or readout='graph'"
            )
        self.trunk = ScaleTrunk(symmetry, normalizer, channels, plan, key=key)
        keys = [jax.random.fold_in(key, i) for i in range(4)]  # of which the trunk takes 0 and 1
        pooled = any(roles[i] != "output" for i in self.read)
        self.pool = Invariant(channels, channels, key=keys[2]) if pooled else None
        width = channels * sum(graph.nodes[i].size if roles[i] == "output" else 1 for i in self.read)
        self.norm = eqx.nn.LayerNorm(width)
        self.head = Stack(width, out_size, head, 1, key=keys[3])

    def features(self, weights: Weights, *, key: Key | None = None, dropout_rate: Scalar = 0.0) -> Vector:
        """The invariant features of one network; with a key, channels are dropped at the given rate."""
        xs = self.trunk(weights).nodes
        x = self.norm(jnp.concatenate([self._pooled(i, xs[i]) for i in self.read]))
        return dropout(x, key, dropout_rate, index=1)

    def _pooled(self, node: int, x: Array) -> Array:
        if self.pool is None or self.trunk.wiring.roles[node] == "output":
            return x.reshape(-1)
        return jnp.mean(self.pool(x, self.trunk.wiring.gains[node]), axis=0)
