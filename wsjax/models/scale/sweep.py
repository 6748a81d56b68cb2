"""A sweep through a network: every set of neurons in turn, after those that reach it, along its own weights."""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from wsjax.models.graph.graph import Graph
from wsjax.models.scale.layer import Wiring
from wsjax.models.scale.maps import Gain, normal, reciprocal_size
from wsjax.models.scale.phase import Phasor, Wavelets, arriving
from wsjax.models.scale.reciprocal import inverted, order
from wsjax.models.scale.trunk import Initial
from wsjax.typing import Key


def turned(y: Float[Array, "nodes channels"], gain: Gain) -> Float[Array, "nodes channels"]:
    """|y| f(y / |y|), f(y) where no scale acts; f is tanh where signs act, silu elsewhere. |y|: root mean square.

    So turned(g y) = g turned(y) for every g that the gain allows.
    """
    f = jnp.tanh if gain.sign else jax.nn.silu
    if not gain.rescale:
        return f(y)
    one_over = reciprocal_size(y)
    return f(y * one_over) * inverted(one_over)


class Sweep(eqx.Module):
    """Vectors of all sets of nodes, each made of those made before it, along the weights or against them:

        x_i = turned((s_i + A x_i + sum over j of w_ji U x_j / sqrt(n)) / sqrt(terms))                       along
        x_j = turned((s_j + A x_j + D_j^2 sum over i of w_ji U x_i / D_i^2 / sqrt(n)) / sqrt(terms))        against

    with n summands, the sizes D of `reciprocal`, and s = B a + e: a linear map of the numbers a that live on a node,
    such as its bias, and an embedding where nothing multiplies the node, `scale.trunk.Initial`; inputs have no numbers.
    The weights are the adjacency matrix: a neuron receives the sum that the network itself computes, of vectors.
    Every set has maps A and B of its own, every array of weights its U, a convolution's one for each place in its
    window. Along the weights sets come in topological order, against them in the reverse. In the first sweep there is
    no x_i, and a set within a cycle receives s_j of those not reached yet. Sets that none reaches stay as they are
    after the first.

    Where phases shift, x_i along the weights is the sum as it is, what it sends is the `Wavelets` of x_i, and what it
    receives against the weights is multiplied by cos z_i; each U there begins near the identity.

    **Preserves** equivariance: x_i moves with the gain of its neuron, and in the order of the neurons.
    """

    initials: tuple[Initial, ...]
    kept: tuple[Array, ...]
    through: tuple[Array, ...]
    wavelets: dict[int, Wavelets]
    wiring: Wiring = eqx.field(static=True)
    turns: tuple[tuple[int, tuple[int, ...]], ...] = eqx.field(static=True)
    against: bool = eqx.field(static=True)

    def __init__(self, graph: Graph, wiring: Wiring, channels: int, *, first: bool, against: bool, key: Key):
        start_key, kept_key, through_key = (jax.random.fold_in(key, i) for i in range(3))
        self.wiring, self.against = wiring, against
        places, receiver = order(len(graph.nodes), wiring.wires), 0 if against else 1
        incoming = {i: tuple(w for w, ends in enumerate(wiring.wires) if ends[receiver] == i) for i in places}
        self.turns = tuple((i, incoming[i]) for i in (reversed(places) if against else places) if incoming[i] or first)
        fold, updated = jax.random.fold_in, [i for i, _ in self.turns]
        initial = lambda i: Initial(graph.nodes[i], wiring.roles[i], channels, key=fold(start_key, i))
        self.initials = tuple(map(initial, updated))
        self.kept = () if first else tuple(normal(fold(kept_key, i), channels, channels) for i in updated)
        draw = lambda w, place: normal(fold(fold(through_key, w), place), channels, channels)
        stack = lambda w, edges: jnp.stack([draw(w, place) for place in range(edges.channels)])
        # Random matrices take 4 points of accuracy from the phases of 4,000 SIRENs (benchmarks/accuracy/phases.py).
        near = lambda ends, u: 0.99 * jnp.eye(channels)[None] + 0.14 * u if any(wiring.shifted[i] for i in ends) else u
        self.through = tuple(near(wiring.wires[w], stack(w, edges)) for w, edges in enumerate(graph.edges))
        sources = {source for source, _ in wiring.wires if wiring.shifted[source]}
        self.wavelets = {} if against else {i: Wavelets(channels) for i in sorted(sources)}

    def __call__(
        self,
        xs: Sequence[Float[Array, "_ channels"]] | None,
        nodes: Sequence[Float[Array, "_ _"]],
        edges: Sequence[Float[Array, "_ _ _"]],
        sizes: Sequence[tuple[Float[Array, " _"], Float[Array, " _"]]],
        phasors: Sequence[Phasor | None],
    ) -> list[Float[Array, "_ channels"]]:
        """Vectors of nodes (None at first), numbers of nodes and of weights, D^2 and 1 / D^2, and phasors, by sets."""
        own = {
            i: initial(nodes[i], sizes[i][0], phasors[i])
            for (i, _), initial in zip(self.turns, self.initials, strict=True)
        }
        made = [own[i] for i in range(len(nodes))] if xs is None else list(xs)
        for number, (i, incoming) in enumerate(self.turns):
            terms = [own[i], *(self._message(w, made, edges[w], sizes, phasors) for w in incoming)]
            if self.kept:
                terms.append(made[i] @ self.kept[number])
            total = sum(terms[1:], terms[0]) * len(terms) ** -0.5
            linear = self.wiring.shifted[i] and not self.against
            made[i] = total if linear else turned(total, self.wiring.gains[i])
        return made

    def _message(
        self,
        w: int,
        xs: Sequence[Array],
        edge: Array,
        sizes: Sequence[tuple[Array, Array]],
        phasors: Sequence[Phasor | None],
    ) -> Array:
        source, target = self.wiring.wires[w]
        phasor = phasors[source]
        if not self.against:
            leaving = xs[source] if phasor is None else self.wavelets[source](xs[source], phasor)
            sent = jnp.einsum("jip,jc,pcd->id", edge, leaving, self.through[w])
            return sent * (edge.shape[0] * edge.shape[2]) ** -0.5
        turned_around = xs[target] * sizes[target][1][:, None]
        sent = jnp.einsum("jip,ic,pcd->jd", edge, turned_around, self.through[w]) * sizes[source][0][:, None]
        return arriving(sent, phasor) * (edge.shape[1] * edge.shape[2]) ** -0.5
