"""What readers of graphs share: dense layers over the last axis, and the update of edges by their ends."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from wsjax.models.draws import normal
from wsjax.models.norms import LayerNorm
from wsjax.typing import Key


class Affine(eqx.Module):
    """x K + b along the last axis, whatever the axes before it; K from N(0, 1 / rows) and zero biases.

    Example:
        >>> jax.eval_shape(lambda key: Affine(3, 2, key=key)(jnp.ones((4, 5, 3))), jax.random.key(0)).shape
        (4, 5, 2)
    """

    kernel: Float[Array, "rows columns"]
    bias: Float[Array, " columns"]

    def __init__(self, rows: int, columns: int, *, key: Key):
        self.kernel = normal(key, (rows, columns), max(rows, 1) ** -0.5)
        self.bias = jnp.zeros(columns)

    def __call__(self, x: Float[Array, "*axes rows"]) -> Float[Array, "*axes columns"]:
        return x @ self.kernel + along_last(self.bias, x.ndim)


class EdgeUpdate(eqx.Module):
    """New numbers for a block of edges from the old ones and those of the nodes at both ends:

        e_st <- norm(e_st + D a(E e_st + S x_s + T x_t + b) + c)

    The nodes go through their part of the first layer before they meet the edges, so no edge holds a copy of them.

    Example:
        >>> update = eqx.filter_eval_shape(EdgeUpdate, 2, 3, 4, "silu", key=jax.random.key(0))
        >>> edges, *ends = (jax.ShapeDtypeStruct(shape, "float32") for shape in ((5, 6, 3), (5, 2), (6, 2)))
        >>> eqx.filter_eval_shape(update, edges, *ends).shape
        (5, 6, 3)
    """

    edge: Affine
    source: Array
    target: Array
    down: Affine
    norm: LayerNorm
    activation: str = eqx.field(static=True)  # of jax.nn, whose functions no pickle takes

    def __init__(self, nodes: int, edges: int, hidden: int, activation: str, *, key: Key):
        keys = jax.random.split(key, 4)
        self.activation = activation
        draw = lambda k: normal(k, (nodes, hidden), (3 * nodes) ** -0.5)
        self.edge = Affine(edges, hidden, key=keys[0])
        self.source, self.target = draw(keys[1]), draw(keys[2])
        self.down = Affine(hidden, edges, key=keys[3])
        self.norm = LayerNorm(edges)

    def __call__(
        self,
        edges: Float[Array, "sources targets edge"],
        sources: Float[Array, "sources node"],
        targets: Float[Array, "targets node"],
    ) -> Float[Array, "sources targets edge"]:
        hidden = self.edge(edges) + (sources @ self.source)[:, None] + (targets @ self.target)[None]
        return self.norm(edges + self.down(getattr(jax.nn, self.activation)(hidden)))


def along_last(vector: Float[Array, " channels"], rank: int) -> Array:
    """A vector as an array of a rank, along its last axis."""
    return vector.reshape((1,) * (rank - 1) + (-1,))
