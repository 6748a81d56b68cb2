"""A transformer baseline: the rows of every array are its tokens."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from wsjax.errors import check_choice
from wsjax.models.layers.attention import check_heads
from wsjax.models.layers.draws import EMBEDDING, linear, normal
from wsjax.models.layers.normalizer import Normalizer, normalizer_for
from wsjax.models.layers.stack import HeadedReader, Stack, Vector, check_arguments, dropout
from wsjax.symmetry import Symmetry
from wsjax.typing import Key, Scalar, Weights


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

    def __call__(self, x: Float[Array, "tokens width"], key: Key | None, dropout_rate: Scalar, index: int) -> Array:
        normed = jax.vmap(self.norms[0])(x)
        x = x + self.attention(normed, normed, normed)
        hidden = jax.nn.gelu(jax.vmap(self.up)(jax.vmap(self.norms[1])(x)))
        return x + jax.vmap(self.down)(dropout(hidden, key, dropout_rate, index=index))


class RowTransformer(HeadedReader):
    """A transformer over the rows of every array, each row with learned embeddings of its array and its place there.

        token[a, r] = K_a w_a[r, :] + array[a] + place[r]

    A row runs over an array's last axis: a kernel (inputs, outputs) gives a token for each input, a bias one token.

    **Preserves**: nothing; the output depends on the order of neurons.

    Args:
        symmetry, normalizer: of the data set; without a normalizer the weights are read as they are.
        width: of a token.
        layers, heads: of the encoder.
        head: width of the head's hidden layer.
        pool: `"mean"` over the tokens, or `"token"`, one more token that is learned and that gathers the others.

    Source: the transformer baseline of arXiv 2402.04081, with norms before each part. The class token of its code
    never trains; here it does.

    Example:
        >>> from wsjax.symmetry import siren
        >>> spec = siren((2, 4, 1))
        >>> reader = RowTransformer(spec, 10, width=8, layers=1, key=jax.random.key(0))
        >>> weights = spec.unflatten([jnp.ones(shape) for shape in spec.shapes])
        >>> [jax.eval_shape(read, weights).shape for read in (reader.features, reader)]
        [(8,), (10,)]
    """

    normalizer: Normalizer
    lifts: tuple[eqx.nn.Linear, ...]
    arrays: Array
    places: Array
    token: Array | None
    blocks: tuple[Block, ...]
    norm: eqx.nn.LayerNorm
    head: Stack
    symmetry: Symmetry = eqx.field(static=True)

    def __init__(
        self,
        symmetry: Symmetry,
        out_size: int,
        *,
        width: int = 64,
        layers: int = 3,
        heads: int = 4,
        head: int = 64,
        pool: str = "mean",
        normalizer: Normalizer | None = None,
        key: Key,
    ):
        check_arguments(symmetry, Symmetry, out_size, normalizer, width=width, layers=layers, heads=heads, head=head)
        check_choice("pool", pool, ("mean", "token"))
        check_heads("width", width, heads)
        keys = jax.random.split(key, 6)
        self.normalizer, self.symmetry = normalizer_for(symmetry, normalizer), symmetry
        shapes = [(math.prod(shape[:-1]), shape[-1] if shape else 1) for shape in symmetry.shapes]
        lifts = [(length, jax.random.fold_in(keys[0], i)) for i, (_, length) in enumerate(shapes)]
        self.lifts = tuple(linear(length, width, use_bias=False, key=key) for length, key in lifts)
        self.arrays = normal(keys[1], (len(shapes), width), EMBEDDING)
        self.places = normal(keys[2], (max(count for count, _ in shapes), width), EMBEDDING)
        self.token = normal(keys[3], (1, width), EMBEDDING) if pool == "token" else None
        self.blocks = tuple(Block(width, heads, key=jax.random.fold_in(keys[4], i)) for i in range(layers))
        self.norm = eqx.nn.LayerNorm(width)
        self.head = Stack(width, out_size, head, 1, key=keys[5])

    def features(self, weights: Weights, *, key: Key | None = None, dropout_rate: Scalar = 0.0) -> Vector:
        """The pooled tokens of one network; with a key, drop hidden units of the blocks at the given rate."""
        leaves = self.normalizer(self.symmetry.leaves(weights), self.head.dtype)
        tokens = [] if self.token is None else [self.token]
        for leaf, lift, array in zip(leaves, self.lifts, self.arrays, strict=True):
            tokens.append(jax.vmap(lift)(rows(leaf)) + array[None, :] + self.places[: len(rows(leaf))])
        x = jnp.concatenate(tokens)
        for i, block in enumerate(self.blocks):
            x = block(x, key, dropout_rate, index=i + 1)  # the head's hidden layer takes index 0
        x = jax.vmap(self.norm)(x)
        return jnp.mean(x, axis=0) if self.token is None else x[0]


def rows(leaf: Array) -> Float[Array, "rows length"]:
    """The rows of an array: all its axes but the last run over them."""
    return leaf.reshape(-1, leaf.shape[-1] if leaf.ndim else 1)
