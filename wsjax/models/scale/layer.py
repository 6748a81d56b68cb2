"""One round of messages between neurons whose signs and scales may change, and which rounds a reader needs."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from wsjax.models.layers.draws import full
from wsjax.models.scale.maps import Equivariant, Gain, Invariant, Plain, even, normal, reciprocal_size
from wsjax.models.scale.phase import Phasor, Shifted, Wavelets, arriving
from wsjax.models.scale.reciprocal import Wire
from wsjax.typing import Key


@dataclass(frozen=True)
class Wiring:
    """The sets of nodes of a network, and the arrays of weights between them.

    roles: of each set, `"input"`, `"output"`, `"moved"` where signs or scales act, `"free"` where they do not.
    gains: what may multiply each set's vectors. wires: the source and the target of each array of weights. shifted: of
    each set the biases whose phases shift, None where they do not.
    """

    roles: tuple[str, ...]
    gains: tuple[Gain, ...]
    wires: tuple[Wire, ...]
    shifted: tuple[Shifted | None, ...]

    def leaving(self, i: int) -> Gain:
        """What may multiply the vectors that leave a set."""
        return self.gains[i]._replace(sign=self.gains[i].sign or self.shifted[i] is not None)


class Round(NamedTuple):
    """What one round does: sets of nodes that are updated, arrays of weights that carry messages, and that change."""

    nodes: tuple[int, ...]
    forward: tuple[int, ...]
    backward: tuple[int, ...]
    edges: tuple[int, ...]

    @property
    def wires(self) -> tuple[int, ...]:
        return tuple(sorted({*self.forward, *self.backward, *self.edges}))


def rounds(wiring: Wiring, count: int, backward: bool, wanted: Iterable[int]) -> tuple[Round, ...]:
    """The rounds that update the wanted sets of nodes, without updates that none of them depends on."""
    needed, later, made = set(wanted), set(), []
    for _ in range(count):
        into = [w for w, (_, target) in enumerate(wiring.wires) if target in needed]
        out = [w for w, (source, _) in enumerate(wiring.wires) if source in needed and backward]
        nodes = {wiring.wires[w][1] for w in into} | {wiring.wires[w][0] for w in out}
        made.append(Round(tuple(sorted(nodes)), tuple(into), tuple(out), tuple(sorted(later))))
        later |= {*into, *out}
        needed |= {end for w in later for end in wiring.wires[w]}
    return tuple(reversed(made))


class ScaleLayer(eqx.Module):
    """One round of messages: every node receives messages of its neighbors, every weight depends on its two ends.

        h_ji = Inv(x_i, x_j, e_ji)                          one hidden layer, even in e where signs act
        m_i  = sum over j of  V y_j * W e_ji * G h_ji       forward, along the weights
        n_j  = D_j^2 sum over i of  V' (x_i / D_i^2) * W' e_ji * G' h_ji        backward, see `reciprocal`
        x_i  = x_i + Eq(x_i, m_i, n_i),   e_ji = e_ji + U e_ji * G'' h_ji

    with * entry by entry and Eq an equivariant map, or two dense layers at nodes that nothing multiplies. y_j is x_j;
    where phases shift it is the `Wavelets` of x_j, and n_j is multiplied by cos z_j. Sums are divided by the root of
    the number of summands.

    **Preserves** equivariance: x_i moves with the gain g_i of its neuron, e_ji with g_i / g_j, whose sign changes with
    an odd number of half turns at j.

    Source: arXiv 2406.10685, section 5. There a message and the update of a weight have networks of their own; here
    they share the hidden layer, which takes the weight itself as well.
    """

    invariants: Invariant
    ends: tuple[Array, Array]
    bias: Array
    values: tuple[Array, ...]
    edge: Array
    gates: Array
    gate_biases: Array
    updates: dict[str, Equivariant | Plain]
    wavelets: Wavelets | None
    wiring: Wiring = eqx.field(static=True)
    round: Round = eqx.field(static=True)

    def __init__(self, wiring: Wiring, round: Round, channels: int, fraction: float, *, key: Key):
        """`fraction` multiplies what is added to nodes and weights at initialization."""
        keys = [jax.random.fold_in(key, i) for i in range(7)]
        self.wiring, self.round = wiring, round
        draw = lambda k, count: [normal(jax.random.fold_in(k, i), channels, channels) for i in range(count)]
        parts = self._parts
        self.invariants = Invariant(channels, channels, key=keys[0])
        self.ends = normal(keys[1], channels, channels), normal(keys[2], channels, channels)
        self.values = tuple(draw(keys[3], len(parts) - ("edges" in parts)))
        edge = draw(keys[4], 1 + len(parts))
        if "edges" in parts:
            edge[-1] = fraction * edge[-1]
        self.edge = jnp.concatenate(edge, axis=1)
        self.gates = jnp.concatenate(draw(keys[5], len(parts)), axis=1)
        self.bias, self.gate_biases = full(channels, 0.0), full(channels * len(parts), 1.0)
        sends = any(wiring.shifted[wiring.wires[w][0]] for w in round.forward)
        self.wavelets = Wavelets(channels) if sends else None
        self.updates = {}
        for i, role in enumerate(sorted({wiring.roles[node] for node in round.nodes})):
            kind = Equivariant if role == "moved" else Plain
            width = channels * (1 + len(self._directions(role)))
            self.updates[role] = kind(width, channels, fraction, key=jax.random.fold_in(keys[6], i))

    @property
    def _parts(self) -> tuple[str, ...]:
        """What is made of every weight, in the order of columns."""
        return tuple(name for name in ("forward", "backward", "edges") if getattr(self.round, name))

    def _directions(self, role: str) -> tuple[str, ...]:
        """The directions from which some set of this role gets messages."""
        own = {i for i in self.round.nodes if self.wiring.roles[i] == role}
        ends = {"forward": [self.wiring.wires[w][1] for w in self.round.forward]}
        ends["backward"] = [self.wiring.wires[w][0] for w in self.round.backward]
        return tuple(name for name, found in ends.items() if own.intersection(found))

    def __call__(
        self,
        xs: Sequence[Float[Array, "_ channels"]],
        es: Sequence[Float[Array, "_ _ channels"]],
        sizes: Sequence[tuple[Float[Array, " _"], Float[Array, " _"]]],
        phasors: Sequence[Phasor | None],
    ) -> tuple[list[Float[Array, "_ channels"]], list[Float[Array, "_ _ channels"]]]:
        """Vectors of nodes and weights, and for each set D^2, 1 / D^2 and phasors, to vectors of nodes and weights."""
        gains, wires = self.wiring.gains, self.wiring.wires
        touched = {end for w in self.round.wires for end in wires[w]}
        invariants = {i: self.invariants(xs[i], gains[i]) for i in touched}
        received: defaultdict[tuple[str, int], list[Array]] = defaultdict(list)
        new = list(es)
        for w in self.round.wires:
            source, target = wires[w]
            gain = self.wiring.leaving(source).through(gains[target])
            made = self._messages(es[w], invariants[source], invariants[target], gain)
            if w in self.round.forward:
                sent = self._leaving(xs[source], phasors[source]) @ self.values[0]
                sent = jnp.sum(sent[:, None, :] * made["forward"], axis=0)
                received["forward", target].append(sent * len(xs[source]) ** -0.5)
            if w in self.round.backward:
                turned = (xs[target] * sizes[target][1][:, None]) @ self.values[-1]
                sent = jnp.sum(turned[None, :, :] * made["backward"], axis=1) * sizes[source][0][:, None]
                sent = arriving(sent, phasors[source])
                received["backward", source].append(sent * len(xs[target]) ** -0.5)
            if w in self.round.edges:
                new[w] = es[w] + made["edges"]
        return [self._update(i, x, received) if i in self.round.nodes else x for i, x in enumerate(xs)], new

    def _leaving(self, x: Array, phasor: Phasor | None) -> Array:
        return x if self.wavelets is None or phasor is None else self.wavelets(x, phasor)

    def _messages(self, e: Array, source: Array, target: Array, gain: Gain) -> dict[str, Array]:
        """What is made of each weight of an array, by part: a linear map of it times a gate that nothing changes."""
        channels = len(self.bias)
        moved, *mapped = jnp.split(e @ self.edge, self.edge.shape[1] // channels, axis=-1)
        moved = moved * reciprocal_size(e) if gain.rescale else moved
        shift = (source @ self.ends[0])[:, None, :] + (target @ self.ends[1] + self.bias[None, :])[None, :, :]
        gates = even(shift, moved, gain) @ self.gates + self.gate_biases[None, None, :]
        gates = jnp.split(gates, len(mapped), axis=-1)
        return {name: x * gate for name, x, gate in zip(self._parts, mapped, gates, strict=True)}

    def _update(self, node: int, x: Array, received: dict[tuple[str, int], list[Array]]) -> Array:
        role = self.wiring.roles[node]
        messages = [sum(received[direction, node], jnp.zeros_like(x)) for direction in self._directions(role)]
        return x + self.updates[role](jnp.concatenate([x, *messages], axis=-1), self.wiring.gains[node])
