"""Neural functional transformers: attention between the weights themselves, and an invariant head."""

from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from wsjax.errors import check_choice, check_number
from wsjax.models.attention_heads import check_heads
from wsjax.models.draws import normal
from wsjax.models.dropout import dropout
from wsjax.models.ends import CODES, EndCode, permutable_ends
from wsjax.models.equivariant import ends, invariant
from wsjax.models.flat import Stack
from wsjax.models.fourier import FourierFeatures, expanded
from wsjax.models.normalise import Normaliser
from wsjax.models.norms import LayerNorm
from wsjax.models.pieces import Feature, features, lift
from wsjax.models.weight_attention import Tokens, averages_attend, slices_attend
from wsjax.symmetry import Symmetry
from wsjax.typing import Key, Scalar, Weights

EMBEDDING = 0.5
"""Deviation of the arrays' embeddings at the start."""


@dataclass(frozen=True)
class NFTConfig:
    """width: channels of each weight. layers, heads: blocks, and heads that share the width. head: of the head's layer.

    bands: frequencies of the Fourier features, 0 for the weights themselves. scale: their deviation, for weights of
    deviation one. code: what tells inputs and outputs apart, `"learned"`, `"sinusoidal"` or `"none"`.
    """

    width: int = 32
    layers: int = 2
    heads: int = 4
    head: int = 64
    bands: int = 8
    scale: float = 0.5
    code: str = "learned"

    def __post_init__(self):
        for name in ("width", "layers", "heads", "head"):
            check_number(name, getattr(self, name), low=1, whole=True)
        check_number("bands", self.bands, low=0, whole=True)
        check_number("scale", self.scale, low=0, open_low=True)
        check_choice("code of the ends", self.code, CODES)
        check_heads("width", self.width, self.heads)


def _kernel(key: Key, rows: int, columns: int) -> Array:
    return normal(key, (rows, columns), rows**-0.5)


class NFTBlock(eqx.Module):
    """Attention between slices and between averages, then dense layers on each position, on normed features, added.

        x = x + (slices(LN(x)) + averages(LN(x))) K_out,    x = x + gelu(LN(x) K_up + b_up) K_down + b_down

    All arrays share the parameters; queries, keys and values have no bias, as the norm's offset serves for one.

    **Preserves** equivariance under permutations of every group in the features.

    Source: Zhou et al., arXiv 2305.13546, section 3, whose code has no product after the attention.

    Example:
        >>> from wsjax.symmetry import siren
        >>> tokens = Tokens(features(permutable_ends(siren((2, 3, 1)))))
        >>> block = NFTBlock(4, 2, key=jax.random.key(0))
        >>> jax.eval_shape(lambda x: block(x, tokens, None, 0.0, 0), jnp.ones((13, 4))).shape    # 13 weights
        (13, 4)
    """

    norms: tuple[LayerNorm, LayerNorm]
    qkv: Array
    out: Array
    up: Array
    up_bias: Array
    down: Array
    down_bias: Array
    heads: int = eqx.field(static=True)

    def __init__(self, width: int, heads: int, *, key: Key):
        keys = [jax.random.fold_in(key, i) for i in range(4)]
        self.norms, self.heads = (LayerNorm(width), LayerNorm(width)), heads
        self.qkv, self.out = _kernel(keys[0], width, 3 * width), _kernel(keys[1], width, width)
        self.up, self.down = _kernel(keys[2], width, 2 * width), _kernel(keys[3], 2 * width, width)
        self.up_bias, self.down_bias = jnp.zeros(2 * width), jnp.zeros(width)

    def __call__(
        self, x: Float[Array, "positions width"], tokens: Tokens, key: Key | None, rate: Scalar, salt: int
    ) -> Float[Array, "positions width"]:
        """All positions of one network; with a key, hidden units are dropped at the given rate."""
        qkv = tokens.part(self.norms[0](x) @ self.qkv)
        pairs = zip(slices_attend(qkv, tokens, self.heads), averages_attend(qkv, self.heads), strict=True)
        x = x + tokens.join([a + b for a, b in pairs]) @ self.out
        hidden = jax.nn.gelu(self.norms[1](x) @ self.up + self.up_bias[None, :])
        return x + dropout(hidden, key, rate, salt=salt) @ self.down + self.down_bias[None, :]


class NFTTrunk(eqx.Module):
    """Normalise, Fourier features, a linear map and an embedding for each array, the code of the ends, blocks, a norm.

    **Preserves** equivariance under every permutation of the Symmetry; with code `"none"` of inputs and outputs too.

    Args:
        symmetry: of the networks that are read.
        normaliser: theirs.
        config: settings; the head's is not used.
        key: a typed key.

    Example:
        >>> from wsjax.symmetry import siren
        >>> spec = siren((2, 3, 1))
        >>> plain = Normaliser((jnp.zeros(()),) * 4, (jnp.ones(()),) * 4)
        >>> trunk = NFTTrunk(spec, plain, NFTConfig(width=4, heads=2, layers=1), key=jax.random.key(0))
        >>> jax.eval_shape(trunk, spec.unflatten([jnp.ones(shape) for shape in spec.shapes])).shape
        (13, 4)
    """

    normaliser: Normaliser
    fourier: FourierFeatures | None
    lifts: tuple[Array, ...]
    arrays: Array
    code: EndCode | None
    blocks: tuple[NFTBlock, ...]
    norm: LayerNorm
    symmetry: Symmetry = eqx.field(static=True)
    spec: tuple[Feature, ...] = eqx.field(static=True)

    def __init__(self, symmetry: Symmetry, normaliser: Normaliser, config: NFTConfig, *, key: Key):
        keys = jax.random.split(key, 4)
        self.normaliser, self.symmetry = normaliser, symmetry
        self.spec = features(permutable_ends(symmetry))
        self.fourier = FourierFeatures(config.bands, config.scale) if config.bands else None
        rows = [f.fixed * (2 * config.bands or 1) for f in self.spec]
        self.lifts = tuple(_kernel(jax.random.fold_in(keys[0], i), n, config.width) for i, n in enumerate(rows))
        self.arrays = normal(keys[1], (len(self.spec), config.width), EMBEDDING)
        widths = (config.width,) * len(self.spec)
        self.code = None if config.code == "none" else EndCode(symmetry, widths, config.code, key=keys[2])
        self.blocks = tuple(
            NFTBlock(config.width, config.heads, key=jax.random.fold_in(keys[3], i)) for i in range(config.layers)
        )
        self.norm = LayerNorm(config.width)

    def __call__(
        self, weights: Weights, *, key: Key | None = None, rate: Scalar = 0.0, salt: int = 0
    ) -> Float[Array, "positions width"]:
        """All positions of one network, array after array; with a key, hidden units are dropped at the given rate."""
        leaves = self.normaliser(self.symmetry.leaves(weights))
        xs = []
        for x, kernel, array in zip(lift(leaves, self.spec), self.lifts, self.arrays, strict=True):
            lifted = expanded(x, self.fourier) @ kernel
            xs.append(lifted + array.reshape((1,) * (lifted.ndim - 1) + (-1,)))
        tokens = Tokens(self.spec)
        x = tokens.join(xs if self.code is None else self.code(xs))
        for i, block in enumerate(self.blocks):
            x = block(x, tokens, key, rate, salt + i)
        return self.norm(x)


class NFT(eqx.Module):
    """A reader of weights by attention between them.

    The trunk gives each weight its channels; they are averaged over each array, and dense layers follow. Inputs and
    outputs permute like neurons but for the code that tells them apart, so there are slices along them too. For n
    neurons a layer the scores take time that grows as n^3 and memory as n^2, for n^2 weights; all else is linear.

    **Preserves**: the output is invariant to every permutation of the Symmetry; with code `"none"` to every
    permutation of inputs and outputs as well.

    Args:
        symmetry: of the networks that are read.
        normaliser: theirs.
        outputs: numbers that the reader gives.
        config: its settings.
        key: a typed key.

    Source: Zhou et al., arXiv 2305.13546, with tokens from any Symmetry. Its code has the Fourier features as the
    channels themselves; here each array has a linear map of them.

    Example:
        >>> from wsjax.symmetry import siren
        >>> spec = siren((2, 3, 1))
        >>> plain = Normaliser((jnp.zeros(()),) * 4, (jnp.ones(()),) * 4)
        >>> reader = NFT(spec, plain, 10, NFTConfig(width=4, heads=2, layers=1), key=jax.random.key(0))
        >>> weights = spec.unflatten([jnp.ones(shape) for shape in spec.shapes])
        >>> [jax.eval_shape(read, weights).shape for read in (reader.features, reader)]
        [(16,), (10,)]
    """

    trunk: NFTTrunk
    head: Stack

    def __init__(self, symmetry: Symmetry, normaliser: Normaliser, outputs: int, config: NFTConfig, *, key: Key):
        trunk_key, head_key = jax.random.split(key)
        self.trunk = NFTTrunk(symmetry, normaliser, config, key=trunk_key)
        pooled = sum(len(ends(f)) for f in self.trunk.spec) * config.width
        self.head = Stack(pooled, outputs, config.head, 1, key=head_key)

    def features(self, weights: Weights, *, key: Key | None = None, rate: Scalar = 0.0) -> Float[Array, " features"]:
        """The averages over each array of one network; with a key, hidden units and channels are dropped."""
        spec = self.trunk.spec
        x = self.trunk(weights, key=key, rate=rate, salt=2)  # the head takes salt 0, and what it reads 1
        return dropout(invariant(Tokens(spec).part(x), spec), key, rate, salt=1)

    def __call__(self, weights: Weights, *, key: Key | None = None, rate: Scalar = 0.0) -> Float[Array, " outputs"]:
        """Read one network; with a key, drop hidden units and pooled channels at the given rate."""
        return self.head(self.features(weights, key=key, rate=rate), key=key, rate=rate)
