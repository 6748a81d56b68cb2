"""ScaleGMN: messages along a network's graph that respect the signs and the positive scales of its neurons."""

from collections.abc import Sequence
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from wsjax.errors import check_choice, check_number
from wsjax.models.dropout import dropout
from wsjax.models.flat import Stack
from wsjax.models.graph import Graph, Nodes, edge_inputs, graph_of, node_inputs
from wsjax.models.normalise import Normaliser
from wsjax.models.reciprocal import inverted, squared_sizes
from wsjax.models.scale_layer import ScaleLayer, Wiring, rounds
from wsjax.models.scale_maps import Gain, Invariant, normal
from wsjax.symmetry import Symmetry
from wsjax.typing import Key, Scalar, Weights


@dataclass(frozen=True)
class ScaleGMNConfig:
    """channels: of each node and each weight. layers: rounds of messages. head: width of the head's hidden layer.

    direction: messages go `"forward"`, along the weights, or `"bidirectional"`.
    readout: the head sees all nodes of the `"graph"`, hidden ones averaged, or the `"outputs"` alone.
    """

    channels: int = 32
    layers: int = 4
    head: int = 64
    direction: str = "forward"
    readout: str = "graph"

    def __post_init__(self):
        check_number("channels", self.channels, low=2, whole=True)
        for name in ("layers", "head"):
            check_number(name, getattr(self, name), low=1, whole=True)
        check_choice("direction", self.direction, ("forward", "bidirectional"))
        check_choice("readout", self.readout, ("graph", "outputs"))


def wiring_of(graph: Graph, symmetry: Symmetry) -> Wiring:
    """The graph as its layers see it: what may multiply each set of nodes decides the maps there.

    Example:
        >>> from wsjax.symmetry import siren
        >>> spec = siren((2, 4, 1))
        >>> wiring_of(graph_of(spec), spec).roles
        ('input', 'moved', 'output')
    """
    groups = symmetry.groups

    def gain(nodes: Nodes) -> Gain:
        group = groups.get(nodes.name)
        return Gain() if group is None else Gain(group.allows("sign"), group.allows("rescale"))

    gains = tuple(gain(nodes) for nodes in graph.nodes)
    hidden = {True: "moved", False: "free"}
    roles = tuple(hidden[any(g)] if n.role == "hidden" else n.role for n, g in zip(graph.nodes, gains, strict=True))
    places = {nodes.name: i for i, nodes in enumerate(graph.nodes)}
    return Wiring(roles, gains, tuple((places[edges.source], places[edges.target]) for edges in graph.edges))


class Start(eqx.Module):
    """The vectors that a set of nodes begins with: a linear map of its numbers, and where nothing multiplies them an
    embedding, of each node at inputs and outputs, of the group at hidden ones.

    What neurons read from elsewhere, an array that only consumes them, has the gain 1 / g and is multiplied by D^2.
    """

    kernel: Array | None
    embedding: Array | None
    produced: int = eqx.field(static=True)
    channels: int = eqx.field(static=True)

    def __init__(self, nodes: Nodes, role: str, channels: int, *, key: Key):
        self.produced, self.channels = sum(piece.fixed for piece in nodes.produced), channels
        kernel_key, embedding_key = jax.random.split(key)
        self.kernel = normal(kernel_key, nodes.channels, channels) if nodes.channels else None
        places = {"moved": 0, "free": 1}.get(role, nodes.size)
        self.embedding = jax.random.normal(embedding_key, (places, channels)) if places else None

    def __call__(self, x: Float[Array, "nodes numbers"], size: Float[Array, " nodes"]) -> Array:
        started = jnp.zeros((len(x), self.channels), x.dtype)
        if self.kernel is not None:
            made, read = x[:, : self.produced], x[:, self.produced :]
            started = jnp.concatenate([made, read * size[:, None]], axis=1) @ self.kernel
        return started if self.embedding is None else started + jnp.broadcast_to(self.embedding, started.shape)


class ScaleGMN(eqx.Module):
    """A reader of weights that no reordering of neurons can fool, no change of their signs, and none of their scales.

    Each group of neurons is read by what its Symmetry allows: "sign" (tanh, sine), "rescale" (ReLU), both (linear) or
    neither; they mix freely in one network. Neurons and weights begin as linear maps of their numbers without
    constants, a map for each array; `layers` rounds of messages follow, `models.scale_layer`. Messages go forward, or
    both ways, where the reciprocals of weights are had from the sizes of neurons, `models.reciprocal`, and no weight
    is divided by: zeros, as in pruned networks, are read as they are. It computes in the dtype of its normaliser,
    which must not shift arrays that signs or scales act on; `models.normaliser` does not.

    **Preserves**: the output is invariant to every permutation of the Symmetry, to every sign and to every positive
    scale that its groups allow. Phase shifts of sines are no part of it: bring networks to one representative with
    `symmetry.canonicalize`, or augment with `augment.shift_phase`.

    Args:
        symmetry: of the networks that are read. A group that should be read without its signs or scales is declared
            with fewer `actions`.
        normaliser: theirs.
        outputs: numbers that the reader gives.
        config: its settings.
        key: a typed key.

    Raises:
        ValueError: an array that no graph takes, or too few layers for what the readout must hear of.

    Source: Kalogeropoulos et al., arXiv 2406.10685. Its position embeddings, which multiply at hidden neurons, are in
    the maps of each array; the readout of the graph averages where it sums. Its public code sends messages backward
    along the weights themselves, which breaks the law for scales, and the published reciprocal has no value at zero.

    Example:
        >>> from wsjax.symmetry import act, mlp, sample
        >>> spec = mlp((2, 4, 1))
        >>> plain = Normaliser((jnp.zeros(()),) * 4, (jnp.ones(()),) * 4)
        >>> config = ScaleGMNConfig(channels=2, layers=1, direction="bidirectional")
        >>> reader = ScaleGMN(spec, plain, 3, config, key=jax.random.key(0))
        >>> w = spec.unflatten([jnp.ones(shape) for shape in spec.shapes])
        >>> read, features = eqx.filter_jit(reader), eqx.filter_jit(reader.features)
        >>> features(w).shape, read(w).shape   # inputs and h1 averaged, one output
        ((6,), (3,))
        >>> moved = act(sample(jax.random.key(1), spec), w)
        >>> bool(jnp.allclose(read(moved), read(w), atol=1e-4))
        True
    """

    normaliser: Normaliser
    starts: tuple[Start, ...]
    edges: tuple[Array, ...]
    layers: tuple[ScaleLayer, ...]
    pool: Invariant | None
    norm: eqx.nn.LayerNorm
    head: Stack
    symmetry: Symmetry = eqx.field(static=True)
    graph: Graph = eqx.field(static=True)
    wiring: Wiring = eqx.field(static=True)
    read: tuple[int, ...] = eqx.field(static=True)

    def __init__(self, symmetry: Symmetry, normaliser: Normaliser, outputs: int, config: ScaleGMNConfig, *, key: Key):
        keys = [jax.random.fold_in(key, i) for i in range(config.layers + 4)]
        self.normaliser, self.symmetry, self.graph = normaliser, symmetry, graph_of(symmetry)
        self.wiring = wiring_of(self.graph, symmetry)
        both, channels = config.direction == "bidirectional", config.channels
        roles = self.wiring.roles
        unread = set() if both else {"input"}  # forward, inputs hear nothing of the weights
        unread |= {"input", "moved", "free"} if config.readout == "outputs" else set()
        self.read = tuple(i for i, role in enumerate(roles) if role not in unread)
        plan = rounds(self.wiring, config.layers, both, self.read)
        unheard = set(range(len(self.graph.edges))) - {w for one in plan for w in one.wires}
        if unheard:
            edges = self.graph.edges[min(unheard)]
            raise ValueError(
                f"layers is {config.layers}: the {config.readout} that is read hears nothing of the weights from "
                f"{edges.source!r} to {edges.target!r} in so few rounds. Set more layers, one for each array on the "
                f"way to the outputs at least, or readout='graph'"
            )
        start = lambda i: Start(self.graph.nodes[i], roles[i], channels, key=jax.random.fold_in(keys[0], i))
        self.starts = tuple(start(i) for i in range(len(roles)))
        draw = lambda i, edges: normal(jax.random.fold_in(keys[1], i), edges.channels, channels)
        self.edges = tuple(draw(i, edges) for i, edges in enumerate(self.graph.edges))
        share = config.layers**-0.5
        self.layers = tuple(
            ScaleLayer(self.wiring, one, channels, share, key=k) for one, k in zip(plan, keys[4:], strict=True)
        )
        pooled = any(roles[i] != "output" for i in self.read)
        self.pool = Invariant(channels, channels, key=keys[2]) if pooled else None
        width = channels * sum(self.graph.nodes[i].size if roles[i] == "output" else 1 for i in self.read)
        self.norm = eqx.nn.LayerNorm(width)
        self.head = Stack(width, outputs, config.head, 1, key=keys[3])

    def states(self, weights: Weights) -> tuple[list[Float[Array, "_ _"]], list[Float[Array, "_ _ _"]]]:
        """The vectors of all nodes, (size, channels), and weights, (sources, targets, channels), after the rounds."""
        dtype = self.normaliser.scale[0].dtype
        leaves = self.normaliser([leaf.astype(dtype) for leaf in self.symmetry.leaves(weights)])
        nodes, edges = node_inputs(self.graph, leaves), edge_inputs(self.graph, leaves)
        sizes = self._sizes(nodes, edges)
        xs = [start(x, size) for start, x, (size, _) in zip(self.starts, nodes, sizes, strict=True)]
        es = [x @ kernel for x, kernel in zip(edges, self.edges, strict=True)]
        for layer in self.layers:
            xs, es = layer(xs, es, sizes)
        return xs, es

    def _sizes(self, nodes: Sequence[Array], edges: Sequence[Array]) -> list[tuple[Array, Array]]:
        """D^2 and 1 / D^2 of all nodes."""
        own = [x[:, : start.produced] for x, start in zip(nodes, self.starts, strict=True)]
        rescaled = [gain.rescale for gain in self.wiring.gains]
        return [(size, inverted(size)) for size in squared_sizes(rescaled, own, edges, self.wiring.wires)]

    def features(self, weights: Weights, *, key: Key | None = None, rate: Scalar = 0.0) -> Float[Array, " features"]:
        """What no reordering, sign or scale changes of one network; with a key, channels are dropped at the rate."""
        xs, _ = self.states(weights)
        return dropout(self.norm(jnp.concatenate([self._seen(i, xs[i]) for i in self.read])), key, rate, salt=1)

    def _seen(self, node: int, x: Array) -> Array:
        if self.pool is None or self.wiring.roles[node] == "output":
            return x.reshape(-1)
        return jnp.mean(self.pool(x, self.wiring.gains[node]), axis=0)

    def __call__(self, weights: Weights, *, key: Key | None = None, rate: Scalar = 0.0) -> Float[Array, " outputs"]:
        """Read one network; with a key, drop features and hidden units of the head at the given rate."""
        return self.head(self.features(weights, key=key, rate=rate), key=key, rate=rate)
