"""A baseline from language: the rows of every array are tokens, and a transformer reads them."""

from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from wsjax.errors import check_choice, check_number
from wsjax.models.attention_heads import check_heads
from wsjax.models.draws import linear, normal
from wsjax.models.dropout import dropout
from wsjax.models.flat import Stack
from wsjax.models.normalise import Normaliser
from wsjax.symmetry import Symmetry
from wsjax.typing import Key, Scalar, Weights

EMBEDDING = 0.5
"""Deviation of the embeddings at the start: a token's own numbers are of that size after their linear map."""


@dataclass(frozen=True)
class RowConfig:
    """width: of a token. layers, heads: of the encoder. head: width of the head's hidden layer.

    pool: `"mean"` over the tokens, or `"token"`, one more token that is learned and that gathers the others.
    """

    width: int = 64
    layers: int = 3
    heads: int = 4
    head: int = 64
    pool: str = "mean"

    def __post_init__(self):
        for name in ("width", "layers", "heads", "head"):
            check_number(name, getattr(self, name), low=1, whole=True)
        check_choice("pool", self.pool, ("mean", "token"))
        check_heads("width", self.width, self.heads)


class Block(eqx.Module):
    """Attention among the tokens, then dense layers on each, both on normed tokens and added to them."""

    norms: tuple[eqx.nn.LayerNorm, eqx.nn.LayerNorm]
    attention: eqx.nn.MultiheadAttention
    up: eqx.nn.Linear
    down: eqx.nn.Linear

    def __init__(self, width: int, heads: int, *, key: Key):
        keys = jax.random.split(key, 3)
        self.norms = eqx.nn.LayerNorm(width), eqx.nn.LayerNorm(width)
        self.attention = eqx.nn.MultiheadAttention(heads, width, key=keys[0])
        self.up = linear(width, 2 * width, key=keys[1])
        self.down = linear(2 * width, width, key=keys[2])

    def __call__(self, x: Float[Array, "tokens width"], key: Key | None, rate: Scalar, salt: int) -> Array:
        normed = jax.vmap(self.norms[0])(x)
        x = x + self.attention(normed, normed, normed)
        hidden = jax.nn.gelu(jax.vmap(self.up)(jax.vmap(self.norms[1])(x)))
        return x + jax.vmap(self.down)(dropout(hidden, key, rate, salt=salt))


class RowTransformer(eqx.Module):
    """A transformer over the rows of every array, each row with learned embeddings of its array and its place there.

        token[a, r] = K_a w_a[r, :] + array[a] + place[r]

    A row runs over an array's last axis: a kernel (inputs, outputs) gives a token for each input, a bias one token.

    **Preserves**: nothing. It sees the order of neurons and must unlearn it.

    Args:
        symmetry: of the networks that are read.
        normaliser: theirs.
        outputs: numbers that the reader gives.
        config: its settings.
        key: a typed key.

    Source: the transformer baseline of arXiv 2402.04081, with norms before each part. The class token of its code
    never trains; here it does.

    Example:
        >>> from wsjax.symmetry import siren
        >>> spec = siren((2, 4, 1))
        >>> plain = Normaliser((jnp.zeros(()),) * 4, (jnp.ones(()),) * 4)
        >>> reader = RowTransformer(spec, plain, 10, RowConfig(width=8, layers=1), key=jax.random.key(0))
        >>> weights = spec.unflatten([jnp.ones(shape) for shape in spec.shapes])
        >>> [jax.eval_shape(read, weights).shape for read in (reader.features, reader)]
        [(8,), (10,)]
    """

    normaliser: Normaliser
    lifts: tuple[eqx.nn.Linear, ...]
    arrays: Array
    places: Array
    token: Array | None
    blocks: tuple[Block, ...]
    norm: eqx.nn.LayerNorm
    head: Stack
    symmetry: Symmetry = eqx.field(static=True)

    def __init__(self, symmetry: Symmetry, normaliser: Normaliser, outputs: int, config: RowConfig, *, key: Key):
        keys = jax.random.split(key, 6)
        self.normaliser, self.symmetry = normaliser, symmetry
        shapes = [rows(jnp.zeros(shape)).shape for shape in symmetry.shapes]
        self.lifts = tuple(
            linear(length, config.width, use_bias=False, key=jax.random.fold_in(keys[0], i))
            for i, (_, length) in enumerate(shapes)
        )
        most = max(count for count, _ in shapes)
        self.arrays = normal(keys[1], (len(shapes), config.width), EMBEDDING)
        self.places = normal(keys[2], (most, config.width), EMBEDDING)
        self.token = normal(keys[3], (1, config.width), EMBEDDING) if config.pool == "token" else None
        self.blocks = tuple(
            Block(config.width, config.heads, key=jax.random.fold_in(keys[4], i)) for i in range(config.layers)
        )
        self.norm = eqx.nn.LayerNorm(config.width)
        self.head = Stack(config.width, outputs, config.head, 1, key=keys[5])

    def features(self, weights: Weights, *, key: Key | None = None, rate: Scalar = 0.0) -> Float[Array, " width"]:
        """What the encoder gathers of one network; with a key, drop hidden units of its blocks at the given rate."""
        leaves = self.normaliser(self.symmetry.leaves(weights))
        tokens = [] if self.token is None else [self.token]
        for leaf, lift, array in zip(leaves, self.lifts, self.arrays, strict=True):
            tokens.append(jax.vmap(lift)(rows(leaf)) + array[None, :] + self.places[: len(rows(leaf))])
        x = jnp.concatenate(tokens)
        for i, block in enumerate(self.blocks):
            x = block(x, key, rate, salt=i + 1)  # the head's hidden layer takes salt 0
        x = jax.vmap(self.norm)(x)
        return jnp.mean(x, axis=0) if self.token is None else x[0]

    def __call__(self, weights: Weights, *, key: Key | None = None, rate: Scalar = 0.0) -> Float[Array, " outputs"]:
        """Read one network; with a key, drop hidden units at the given rate."""
        return self.head(self.features(weights, key=key, rate=rate), key=key, rate=rate)


def rows(leaf: Array) -> Float[Array, "rows length"]:
    """The rows of an array: all its axes but the last run over them."""
    return leaf.reshape(-1, leaf.shape[-1] if leaf.ndim else 1)
