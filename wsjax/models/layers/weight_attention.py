"""Attention between the weights of a network: for each group the slices of every array along it are tokens.

For a hidden layer of n neurons the incoming columns of its kernel, its bias and the outgoing rows of the next kernel
are all vectors with one entry for each neuron, of c channels. As tokens, of n c values each, they attend to each
other; the entries keep their place, so an order of the neurons changes no score and comes out as it went in, and
orders of other layers permute the tokens. A second attention, among the averages of the arrays, joins layers apart.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
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
    axes gives its slices along each of them.
    """
    out = [jnp.zeros((*x.shape[:-1], x.shape[-1] // 3), x.dtype) for x in qkv]
    for group in tokens.groups:
        found = [(f, a) for f, feature in enumerate(tokens.spec) for a, n in enumerate(feature.groups) if n == group]
        last = [jnp.moveaxis(qkv[f], axis, -2) for f, axis in found]
        mixed = attend(jnp.concatenate([x.reshape(-1, *x.shape[-2:]) for x in last]), heads)
        start = 0
        for (f, axis), x in zip(found, last, strict=True):
            stop = start + math.prod(x.shape[:-2])
            part = mixed[start:stop].reshape(*x.shape[:-1], -1)
            out[f] = out[f] + jnp.moveaxis(part, -2, axis)
            start = stop
    return out


def averages_attend(qkv: list[Array], heads: int) -> list[Array]:
    """Attention between the averages of all arrays, repeated over each."""
    means = jnp.stack([jnp.mean(x, axis=tuple(range(x.ndim - 1))) for x in qkv])
    mixed = attend(means[:, None], heads)[:, 0]
    return [jnp.broadcast_to(m, (*x.shape[:-1], m.shape[-1])) for m, x in zip(mixed, qkv, strict=True)]
