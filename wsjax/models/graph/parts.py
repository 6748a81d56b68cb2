"""Parts of graph readers: dense layers over the last axis, the update of edges, the blocks that each layer updates."""

from dataclasses import dataclass

import equinox as eqx
import jax
from jaxtyping import Array, Float

from wsjax.models.graph.graph import EdgeKey, Graph
from wsjax.models.layers.draws import full, normal
from wsjax.models.layers.norms import Norm, along_last
from wsjax.typing import Key


class Affine(eqx.Module):
    """x K + b along the last axis, whatever the axes before it; K from N(0, 1 / rows) and zero biases."""

    kernel: Float[Array, "rows columns"]
    bias: Float[Array, " columns"]

    def __init__(self, rows: int, columns: int, *, key: Key):
        self.kernel = normal(key, (rows, columns), max(rows, 1) ** -0.5)
        self.bias = full(columns, 0.0)

    def __call__(self, x: Float[Array, "*axes rows"]) -> Float[Array, "*axes columns"]:
        return x @ self.kernel + along_last(self.bias, x.ndim)


class EdgeUpdate(eqx.Module):
    """New numbers for a block of edges from the old ones and those of the nodes at both ends:

        e_st <- norm(e_st + D a(E e_st + S x_s + T x_t + b) + c)

    The nodes go through their part of the first layer before they meet the edges, so no edge holds a copy of them.
    """

    edge: Affine
    source: Array
    target: Array
    down: Affine
    norm: Norm
    activation: str = eqx.field(static=True)  # of jax.nn, whose functions no pickle takes

    def __init__(self, nodes: int, edges: int, hidden: int, activation: str, *, key: Key):
        keys = jax.random.split(key, 4)
        self.activation = activation
        draw = lambda k: normal(k, (nodes, hidden), (3 * nodes) ** -0.5)
        self.edge = Affine(edges, hidden, key=keys[0])
        self.source, self.target = draw(keys[1]), draw(keys[2])
        self.down = Affine(hidden, edges, key=keys[3])
        self.norm = Norm("layer", edges)

    def __call__(
        self,
        edges: Float[Array, "sources targets edge"],
        sources: Float[Array, "sources node"],
        targets: Float[Array, "targets node"],
    ) -> Float[Array, "sources targets edge"]:
        hidden = self.edge(edges) + (sources @ self.source)[:, None] + (targets @ self.target)[None]
        return self.norm(edges + self.down(getattr(jax.nn, self.activation)(hidden)))


@dataclass(frozen=True)
class Step:
    """The nodes that a layer updates, the edges that carry messages to them, and the edges that it updates."""

    nodes: frozenset[str]
    edges: frozenset[EdgeKey]
    updated: frozenset[EdgeKey]
    along: bool
    against: bool


def steps(graph: Graph, layers: int, readout: str) -> tuple[Step, ...]:
    """The step of each layer: the readout depends on every array, and no layer updates what it does not depend on.

    Raises: ValueError for a readout of outputs that are not there, or too far from an array for so many layers.
    """
    wanted = {n.name for n in graph.nodes if readout == "graph" or n.role == "output"}
    if not wanted:
        raise ValueError(
            "the network has no outputs to read; expected a fixed axis with the role 'output': name it so in the "
            "Symmetry, or set readout='graph'"
        )
    made: list[Step] = []
    for _ in range(layers):
        touching = frozenset(e.key for e in graph.edges if e.source in wanted or e.target in wanted)
        along, against = (any(getattr(e, end) in wanted for e in graph.edges) for end in ("target", "source"))
        made.insert(0, Step(frozenset(wanted), touching, made[0].edges if made else frozenset(), along, against))
        wanted |= {name for source, target, _ in touching for name in (source, target)}
    missed = [e for e in graph.edges if e.key not in made[0].edges]
    if missed:
        raise ValueError(
            f"layers is {layers}, and the edges {missed[0].source!r} -> {missed[0].target!r} are farther than that "
            f"from the outputs; expected as many layers as there are edges on the way: set more, or readout='graph'"
        )
    return tuple(made)
