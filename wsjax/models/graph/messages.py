"""A layer of messages over a network's graph, aggregated by mean, minimum, maximum and standard deviation."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from wsjax.models.graph.graph import Graph
from wsjax.models.graph.padding import Padded
from wsjax.models.graph.parts import Affine, EdgeUpdate, Step
from wsjax.models.layers.draws import full, normal
from wsjax.models.layers.norms import Norm, along_last
from wsjax.models.layers.terms import largest_of
from wsjax.typing import Key

AGGREGATORS = 4
SCALERS = 2


def aggregate(
    messages: list[tuple[Float[Array, "_ _ channels"], Bool[Array, "_ _"] | None, int]],
    nodes: Float[Array, "size channels"],
) -> tuple[Float[Array, "size gathered"], Float[Array, "size 1"]]:
    """Mean, least, largest and deviation of the messages that reach each node, zeros where none does, and how many.

    A block of messages is (sources, targets, channels), a mask of its entries (None: all count), and the axis of the
    senders; of `nodes`, which receive, shape and dtype count.
    """
    dtype, (size, width) = nodes.dtype, nodes.shape
    far = float(jnp.finfo(dtype).max)
    total, squares, count = (jnp.zeros((size, n), dtype) for n in (width, width, 1))
    least, largest = jnp.full((size, width), far, dtype), jnp.full((size, width), -far, dtype)
    for x, mask, axis in messages:
        shown = jnp.ones((1, 1, 1), bool) if mask is None else mask[:, :, None]
        kept = x if mask is None else jnp.where(shown, x, 0)
        total, squares = total + kept.sum(axis), squares + (kept * kept).sum(axis)
        number = jnp.full((size, 1), x.shape[axis], dtype) if mask is None else shown.sum(axis).astype(dtype)
        count = count + number
        least = jnp.minimum(least, -largest_of(jnp.where(shown, -x, -far), axis))
        largest = jnp.maximum(largest, largest_of(jnp.where(shown, x, -far), axis))
    some = jnp.maximum(count, 1)
    mean = total / some
    deviation = jnp.sqrt(jax.nn.relu(squares / some - mean * mean) + jnp.asarray(1e-5, dtype))
    gathered = jnp.concatenate([mean, least, largest, deviation], axis=1)
    return jnp.where(count > 0, gathered, 0), count


class MessageLayer(eqx.Module):
    """Messages along edges and against them, and what nodes and edges make of them:

        m_st = s(e_st) * M(x_s, x_t) + t(e_st)          for each direction its own s, t, and last layer of M
        x_i <- x_i + silu(norm(U [x_i, A along, d A along, A against, d A against]))
        e_st <- norm(e_st + MLP(e_st, x_s, x_t))

    with A the mean, least, largest and deviation of the messages that reach a node, and d = log(1 + degree) over its
    average on the graph that the reader was made for.

    Source: PNA, arXiv 2004.05718, as arXiv 2403.12143 uses it, whose average of degrees is over a training set; the
    reader's own graph (of a union: its largest sizes) needs none.
    """

    source: Array
    target: Array
    bias: Array
    out: Affine
    modulate: Affine
    update: Affine
    norm: Norm
    edge: EdgeUpdate | None
    step: Step = eqx.field(static=True)
    degrees: tuple[float, float] = eqx.field(static=True)

    def __init__(self, graph: Graph, step: Step, width: int, edges: int, *, key: Key):
        keys = jax.random.split(key, 6)
        ways = step.along + step.against
        draw = lambda k: normal(k, (width, width), (2 * width) ** -0.5)
        self.source, self.target, self.bias = draw(keys[0]), draw(keys[1]), full(width, 0.0)
        self.out = Affine(width, ways * width, key=keys[2])
        self.modulate = Affine(edges, 2 * ways * width, key=keys[3])
        self.update = Affine(width * (1 + ways * AGGREGATORS * SCALERS), width, key=keys[4])
        self.norm = Norm("layer", width)
        self.edge = EdgeUpdate(width, edges, width, "silu", key=keys[5]) if step.updated else None
        self.step = step
        self.degrees = (_average_log_degree(graph, "target", "source"), _average_log_degree(graph, "source", "target"))

    def __call__(self, nodes: list[Array], edges: list[Array], network: Padded) -> tuple[list[Array], list[Array]]:
        graph = network.graph
        at = {block.name: i for i, block in enumerate(graph.nodes)}
        width = self.norm.gain.shape[0]
        messages: dict[int, list[Array]] = {}
        for i, block in enumerate(graph.edges):
            if block.key in self.step.edges:
                ends = nodes[at[block.source]] @ self.source, nodes[at[block.target]] @ self.target
                hidden = jax.nn.silu(ends[0][:, None] + ends[1][None] + along_last(self.bias, 3))
                gain, shift = jnp.split(self.modulate(edges[i]), 2, axis=-1)
                messages[i] = jnp.split(gain * self.out(hidden) + shift, gain.shape[-1] // width, axis=-1)
        mask = lambda i: None if network.edge_masks is None else network.edge_masks[i]
        updated = list(nodes)
        for n, block in enumerate(graph.nodes):
            if block.name not in self.step.nodes:
                continue
            parts = [nodes[n]]
            for used, end, part, axis in ((self.step.along, "target", 0, 0), (self.step.against, "source", -1, 1)):
                if used:
                    reaching = [i for i, edge in enumerate(graph.edges) if getattr(edge, end) == block.name]
                    gathered, count = aggregate([(messages[i][part], mask(i), axis) for i in reaching], nodes[n])
                    parts += [gathered, jnp.log1p(count) / self.degrees[axis] * gathered]
            updated[n] = nodes[n] + jax.nn.silu(self.norm(self.update(jnp.concatenate(parts, axis=1))))
        if self.edge is not None:
            ends = lambda block: (updated[at[block.source]], updated[at[block.target]])
            keep = self.step.updated
            edges = [self.edge(e, *ends(b)) if b.key in keep else e for b, e in zip(graph.edges, edges, strict=True)]
        return updated, edges


def _average_log_degree(graph: Graph, receiver: str, sender: str) -> float:
    """Over the nodes that receive messages at all."""
    sizes = graph.sizes
    degrees = {n: sum(sizes[getattr(e, sender)] for e in graph.edges if getattr(e, receiver) == n) for n in sizes}
    logs = [float(np.log1p(degree)) for name, degree in degrees.items() for _ in range(sizes[name]) if degree]
    return float(np.mean(logs)) if logs else 1.0
