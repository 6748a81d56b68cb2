"""ScaleGMN: messages along a network's graph that respect the signs and the positive scales of its neurons."""

from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from wsjax.errors import check_choice, check_number
from wsjax.models.dropout import dropout
from wsjax.models.flat import Stack
from wsjax.models.graph import graph_of
from wsjax.models.normalise import Normaliser
from wsjax.models.scale_layer import rounds
from wsjax.models.scale_maps import Invariant
from wsjax.models.scale_trunk import ScaleTrunk, wiring_of
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

    def __init__(self, symmetry: Symmetry, normaliser: Normaliser, outputs: int, config: ScaleGMNConfig, *, key: Key):
        graph, both, channels = graph_of(symmetry), config.direction == "bidirectional", config.channels
        wiring = wiring_of(graph, symmetry)
        roles = wiring.roles
        unread = set() if both else {"input"}  # forward, inputs hear nothing of the weights
        unread |= {"input", "moved", "free"} if config.readout == "outputs" else set()
        self.read = tuple(i for i, role in enumerate(roles) if role not in unread)
        plan = rounds(wiring, config.layers, both, self.read)
        unheard = set(range(len(graph.edges))) - {w for one in plan for w in one.wires}
        if unheard:
            edges = graph.edges[min(unheard)]
            raise ValueError(
                f"layers is {config.layers}: the {config.readout} that is read hears nothing of the weights from "
                f"{edges.source!r} to {edges.target!r} in so few rounds. Set more layers, one for each array on the "
                f"way to the outputs at least, or readout='graph'"
            )
        self.trunk = ScaleTrunk(symmetry, normaliser, channels, plan, key=key)
        keys = [jax.random.fold_in(key, i) for i in range(4)]  # of which the trunk takes 0 and 1
        pooled = any(roles[i] != "output" for i in self.read)
        self.pool = Invariant(channels, channels, key=keys[2]) if pooled else None
        width = channels * sum(graph.nodes[i].size if roles[i] == "output" else 1 for i in self.read)
        self.norm = eqx.nn.LayerNorm(width)
        self.head = Stack(width, outputs, config.head, 1, key=keys[3])

    def features(self, weights: Weights, *, key: Key | None = None, rate: Scalar = 0.0) -> Float[Array, " features"]:
        """What no reordering, sign or scale changes of one network; with a key, channels are dropped at the rate."""
        xs = self.trunk(weights).nodes
        return dropout(self.norm(jnp.concatenate([self._seen(i, xs[i]) for i in self.read])), key, rate, salt=1)

    def _seen(self, node: int, x: Array) -> Array:
        if self.pool is None or self.trunk.wiring.roles[node] == "output":
            return x.reshape(-1)
        return jnp.mean(self.pool(x, self.trunk.wiring.gains[node]), axis=0)

    def __call__(self, weights: Weights, *, key: Key | None = None, rate: Scalar = 0.0) -> Float[Array, " outputs"]:
        """Read one network; with a key, drop features and hidden units of the head at the given rate."""
        return self.head(self.features(weights, key=key, rate=rate), key=key, rate=rate)
