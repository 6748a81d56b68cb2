"""The equivariant layer with self-attention over the neurons of each group in place of the linear mixing."""

import functools
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from wsjax.models.layers.draws import full, normal
from wsjax.models.layers.equivariant import Layout, layout
from wsjax.symmetry import Symmetry
from wsjax.typing import Key


def check_heads(name: str, channels: int, heads: int) -> None:
    """Raise ValueError unless so many heads divide the channels that a setting of this name gives them."""
    if channels % heads:
        raise ValueError(
            f"{name} is {channels}; expected a multiple of heads, {heads}, as the heads share it evenly: set one of "
            f"them to suit"
        )


class SetAttention(eqx.Module):
    """Multi-head self-attention over a set of elements, each a vector; equivariant to their permutations.

        H = Q + softmax(Q K^T / sqrt(d)) V,    out = H + relu(H W + b)

    with d the width of a head. K and V have no bias: one on K changes nothing, one on V does what Q's does.

    Source: the SAB block of Lee et al., arXiv 1810.00825, whose code divides by sqrt(heads * d); no layer norm.
    """

    query: Array
    keys: Array
    value: Array
    out: Array
    query_bias: Array
    out_bias: Array
    heads: int = eqx.field(static=True)

    def __init__(self, draw: Callable[[Key], Float[Array, "rows columns"]], *, heads: int, key: Key):
        """`draw` gives the initial matrix of a linear mixing, whose columns the heads divide: one draw for each of
        queries, keys and values."""
        keys = [jax.random.fold_in(key, i) for i in range(4)]
        self.query, self.keys, self.value = (draw(k) for k in keys[:3])
        columns = self.query.shape[1]
        self.heads = heads
        self.out = normal(keys[3], (columns, columns), columns**-0.5)
        self.query_bias, self.out_bias = full(columns, 0.0), full(columns, 0.0)

    def __call__(self, x: Float[Array, "elements rows"]) -> Float[Array, "elements columns"]:
        by_head = lambda y: y.reshape(len(x), self.heads, -1)
        query = by_head(x @ self.query + self.query_bias[None, :])
        keys, value = by_head(x @ self.keys), by_head(x @ self.value)
        scores = jnp.einsum("qhd,khd->hqk", query, keys) * query.shape[-1] ** -0.5
        mixed = (query + jnp.einsum("hqk,khd->qhd", jax.nn.softmax(scores), value)).reshape(len(x), -1)
        return mixed + jax.nn.relu(mixed @ self.out + self.out_bias[None, :])


class EquivariantAttention(eqx.Module):
    """An equivariant map from features to features that attends over the neurons of each group.

    The terms of `EquivariantLinear`; the one over a single group's neurons, which concatenates all that is read for
    each neuron from every array that has the group, goes through `SetAttention`, and the others stay linear, those over
    a group within another group too.

    **Preserves** equivariance: L(g x) = g L(x) for every permutation g of every group.

    Source: Navon et al., arXiv 2301.12780, whose code has an attention block for each pair of arrays; here one for
    each group takes them all, and every array reaches the whole output axis.
    """

    kernels: tuple[Array | SetAttention, ...]
    biases: tuple[Array, ...]
    layout: Layout = eqx.field(static=True)

    def __init__(self, symmetry: Symmetry, inputs: int, outputs: int, *, heads: int, pooling: str = "mean", key: Key):
        self.layout = layout(symmetry, inputs, outputs, pooling=pooling)
        kernels: list[Array | SetAttention] = []
        for i, term in enumerate(self.layout.terms):
            own, draw = jax.random.fold_in(key, i), functools.partial(self.layout.initial, term)
            kernels.append(SetAttention(draw, heads=heads, key=own) if len(term.kind) == 1 else draw(own))
        self.kernels, self.biases = tuple(kernels), self.layout.biases()

    def __call__(self, xs: list[Array]) -> list[Array]:
        """Features of one network, each (*groups, channels), to features."""
        mixers = [k if isinstance(k, SetAttention) else (lambda source, k=k: source @ k) for k in self.kernels]
        return self.layout.apply(xs, mixers, self.biases)
