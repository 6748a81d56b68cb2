"""Attention of each neuron over those that it is joined to, where every edge adds to queries, keys and values.

Heads are computed one at a time, channels first. So what one head makes of all edges stays in a processor's cache, and
sums over its channels and products run along contiguous edges; the backward pass computes it anew rather than keep it.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from wsjax.models.graph.padding import Padded
from wsjax.models.graph.parts import Step
from wsjax.models.layers.draws import normal
from wsjax.typing import Key

PARTS = 4
"""What an edge adds to a query and to a key, multiplies a value by, and adds to it."""


class Head(NamedTuple):
    """One head's parameters, or with an axis in front those of all: a node's query, key and value; an edge's parts;
    and what stands beside the parts for a node itself, for edges read along and for edges read against."""

    node: Float[Array, "*heads three_channels node"]
    edge: Float[Array, "*heads four_channels edge"]
    itself: Float[Array, "*heads four_channels"]
    along: Float[Array, "*heads four_channels"] | None
    against: Float[Array, "*heads four_channels"] | None


class Reach(NamedTuple):
    """What reaches nodes over a block of edges: scores, values, and the axis of scores along which the senders are."""

    score: Float[Array, "sources targets"]
    value: Float[Array, "channels sources targets"]
    axis: int


class RelationalAttention(eqx.Module):
    """Node i attends to itself and to every node j that it shares an edge with:

        score_ij = (q_i + Q e_ij + q_r) . (k_j + K e_ij + k_r) / sqrt(channels of a head)
        out_i    = sum over j of softmax_j(score_ij) (v_j * (S e_ij + s_r) + B e_ij + b_r)

    where r depends on whether j is i itself (then e is zero), feeds i (the edge is read along), or is fed by i
    (against). One e_ij serves both directions of an edge.

    **Preserves** equivariance under permutations of neurons.
    """

    heads: Head
    step: Step = eqx.field(static=True)

    def __init__(self, step: Step, width: int, edges: int, channels: int, heads: int, *, key: Key):
        node_key, edge_key, *keys = jax.random.split(key, 5)
        own = channels // heads

        def relation(k: Key) -> Array:
            drawn = normal(k, (heads, PARTS, own), 0.1)
            return drawn.at[:, 2].add(1).reshape(heads, -1)  # at initialization values pass unchanged

        self.step = step
        self.heads = Head(
            normal(node_key, (heads, 3 * own, width), width**-0.5),
            normal(edge_key, (heads, PARTS * own, edges), edges**-0.5),
            relation(keys[0]),
            relation(keys[1]) if step.along else None,
            relation(keys[2]) if step.against else None,
        )

    def __call__(self, nodes: list[Array], edges: list[Array], network: Padded) -> dict[str, Float[Array, "_ _"]]:
        """What the nodes of the layer's step gather, (size, channels), by name."""
        first = {b.name: x.T for b, x in zip(network.graph.nodes, nodes, strict=True)}
        moved = [jnp.moveaxis(e, -1, 0) for e in edges]
        one = jax.checkpoint(lambda head: _attend(head, first, moved, self.step.nodes, self.step.edges, network))
        gathered = jax.lax.map(one, self.heads)  # (heads, channels of one, size)
        return {name: x.reshape(-1, x.shape[-1]).T for name, x in gathered.items()}


def _attend(
    head: Head, nodes: dict[str, Array], edges: list[Array], wanted: frozenset, used: frozenset, network: Padded
) -> dict[str, Float[Array, "channels size"]]:
    graph, masks = network.graph, network.edge_masks
    makes = {name: jnp.split(head.node @ x, 3) for name, x in nodes.items()}
    scale = jnp.asarray(makes[graph.nodes[0].name][0].shape[0] ** -0.5, head.node.dtype)
    itself: dict[str, tuple[Array, Array]] = {}
    reaches: dict[str, list[Reach]] = {}
    by_query, by_key, times, plus = jnp.split(head.itself[:, None], PARTS)
    for name in (n.name for n in graph.nodes if n.name in wanted):
        q, k, v = makes[name]
        itself[name] = jnp.sum((q + by_query) * (k + by_key), axis=0) * scale, v * times + plus
        reaches[name] = []
    for i, block in enumerate(graph.edges):
        if block.key not in used:
            continue
        parts = jnp.split(_mix(head.edge, edges[i]), PARTS)
        mask = None if masks is None else masks[i]
        ways = (block.target, block.source, 1, head.along), (block.source, block.target, 2, head.against)
        for receiver, sender, axis, relation in ways:  # senders lie along this axis of (channels, sources, targets)
            if receiver not in wanted or relation is None:
                continue
            by_query, by_key, times, plus = jnp.split(relation[:, None, None], PARTS)
            q = jnp.expand_dims(makes[receiver][0], axis) + by_query
            k, v = (jnp.expand_dims(x, 3 - axis) for x in makes[sender][1:])
            score = _over_channels((q + parts[0]) * (k + by_key + parts[1])) * scale
            score = score if mask is None else jnp.where(mask, score, -jnp.inf)
            value = v * (parts[2] + times) + parts[3] + plus
            reaches[receiver].append(Reach(score, value, axis - 1))
    return {name: _softmax_mean(itself[name], found) for name, found in reaches.items()}


def _softmax_mean(itself: tuple[Array, Array], reaches: list[Reach]) -> Float[Array, "channels size"]:
    """The mean of values weighted by the softmax of scores, over the node itself and all that reach it."""
    own, value = itself
    largest = own
    for reach in reaches:
        largest = jnp.maximum(largest, jnp.max(reach.score, axis=reach.axis))
    largest = jax.lax.stop_gradient(largest)
    weight = jnp.exp(own - largest)
    total, mean = weight, weight[None] * value
    for score, value, axis in reaches:
        weight = jnp.exp(score - jnp.expand_dims(largest, axis))
        total = total + jnp.sum(weight, axis=axis)
        mean = mean + jnp.sum(weight[None] * value, axis=axis + 1)
    return mean / total[None]


def _over_channels(x: Float[Array, "channels _ _"]) -> Float[Array, "_ _"]:
    """A sum over the first axis, as a product, which XLA's CPU back end does several times as fast."""
    return jnp.einsum("c,cst->st", jnp.ones(x.shape[0], x.dtype), x)


@jax.custom_vjp
def _mix(kernel: Float[Array, "made channels"], x: Float[Array, "channels _ _"]) -> Float[Array, "made _ _"]:
    """A dense layer over the first axis, whose backward products read the same layout as the forward one."""
    return jnp.einsum("oc,cst->ost", kernel, x)


def _mix_forward(kernel: Array, x: Array) -> tuple[Array, tuple[Array, Array]]:
    return _mix(kernel, x), (kernel, x)


def _mix_backward(kept: tuple[Array, Array], gradient: Array) -> tuple[Array, Array]:
    kernel, x = kept
    return jnp.einsum("ost,cst->oc", gradient, x), jnp.einsum("oc,ost->cst", kernel, gradient)


_mix.defvjp(_mix_forward, _mix_backward)
