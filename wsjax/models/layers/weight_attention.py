"""Attention between the weights of a network: for each group the slices of every array along it are tokens.

For a hidden layer of n neurons the incoming columns of its kernel, its bias and the outgoing rows of the next kernel
are all vectors with one entry for each neuron, of c channels. As tokens, of n c values each, they attend to each
other; the entries keep their place, so an order of the neurons changes no score and comes out as it went in, and
orders of other layers permute the tokens. A second attention, among the averages of the arrays, joins layers apart.

Of a group within others, the dimensions of attention heads, the slices of each head attend to each other apart, and of
the heads themselves the averages over their dimensions, as these have another order in each head.
"""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from wsjax.models.layers.feature_layout import Feature


class Tokens(NamedTuple):
    """Where a network's positions stand in one array of them all, (positions, channels), feature after feature."""

    spec: tuple[Feature, ...]

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups whose slices attend to each other, each once."""
        return tuple(dict.fromkeys(name for feature in self.spec for name in feature.groups))

    def join(self, xs: list[Array]) -> Float[Array, "positions channels"]:
        """Features of one network, each (*groups, channels), with equally many channels."""
        return jnp.concatenate([x.reshape(-1, x.shape[-1]) for x in xs])

    def part(self, x: Float[Array, "positions channels"]) -> list[Array]:
        """`join` undone."""
        parts, start = [], 0
        for feature in self.spec:
            stop = start + math.prod(feature.sizes)
            parts.append(x[start:stop].reshape(*feature.sizes, -1))
            start = stop
        return parts


def attend(qkv: Float[Array, "tokens entries three_channels"], heads: int) -> Float[Array, "tokens entries channels"]:
    """Attention between tokens that are vectors of entries, each of which has queries, keys and values of its own:

        softmax over s of sum over e (q[t, e] . k[s, e]) / sqrt(entries * d),    times v[s, e]

    with d the width of a head.
    """
    tokens, entries, _ = qkv.shape
    by_head = jnp.transpose(qkv.reshape(tokens, entries, 3, heads, -1), (2, 3, 0, 1, 4))
    query, key, value = by_head.reshape(3, heads, tokens, -1)  # plain products of rows run faster on a CPU
    scores = query @ jnp.swapaxes(key, 1, 2) * query.shape[-1] ** -0.5
    mixed = (jax.nn.softmax(scores) @ value).reshape(heads, tokens, entries, -1)
    return jnp.transpose(mixed, (1, 2, 0, 3)).reshape(tokens, entries, -1)


def slices_attend(qkv: list[Array], tokens: Tokens, heads: int) -> list[Array]:
    """For each group, attention between the slices along it of all arrays that have it; an array's are added up.

    `qkv` holds each feature's queries, keys and values, (*groups, 3 * channels). An array that has a group on several
    axes gives its slices along each of them. Slices of a group within others attend index by index of these, and those
    along the outer group are averages over the inner one.
    """
    out = [jnp.zeros((*x.shape[:-1], x.shape[-1] // 3), x.dtype) for x in qkv]
    for group in tokens.groups:
        found = [(f, a) for f, feature in enumerate(tokens.spec) for a, n in enumerate(feature.groups) if n == group]
        places, last, depth = [], [], 0
        for f, axis in found:
            within = tokens.spec[f].within
            inner = tuple(i for i, outer in enumerate(within) if axis in outer)
            depth = len(within[axis])
            places.append(((*within[axis], axis), (*range(depth), -2)))
            x = jnp.mean(qkv[f], axis=inner, keepdims=True) if inner else qkv[f]
            last.append(jnp.moveaxis(x, *places[-1]))
        mix = functools.partial(attend, heads=heads)
        for _ in range(depth):
            mix = jax.vmap(mix)
        mixed = mix(jnp.concatenate([x.reshape(*x.shape[:depth], -1, *x.shape[-2:]) for x in last], axis=depth))
        ends = np.cumsum([math.prod(x.shape[depth:-2]) for x in last])
        for (f, _), (axes, front), x, part in zip(found, places, last, jnp.split(mixed, ends[:-1], depth), strict=True):
            out[f] = out[f] + jnp.moveaxis(part.reshape(*x.shape[:-1], -1), front, axes)
    return out


def averages_attend(qkv: list[Array], heads: int) -> list[Array]:
    """Attention between the averages of all arrays, repeated over each."""
    means = jnp.stack([jnp.mean(x, axis=tuple(range(x.ndim - 1))) for x in qkv])
    mixed = attend(means[:, None], heads)[:, 0]
    return [jnp.broadcast_to(m, (*x.shape[:-1], m.shape[-1])) for m, x in zip(mixed, qkv, strict=True)]
