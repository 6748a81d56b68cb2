"""Neural functional transformers: attention between the weights themselves, and an invariant head."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from wsjax.errors import check_choice, check_number, check_sizes
from wsjax.models.layers.attention import check_heads
from wsjax.models.layers.draws import EMBEDDING, normal
from wsjax.models.layers.equivariant import invariant, pooled
from wsjax.models.layers.feature_layout import Feature, features, lift
from wsjax.models.layers.fourier import FourierFeatures, expanded
from wsjax.models.layers.io_encoding import ENCODINGS, IOEncoding, permutable_io
from wsjax.models.layers.normalizer import Normalizer, normalizer_for
from wsjax.models.layers.norms import Norm, along_last
from wsjax.models.layers.stack import HeadedReader, Stack, Vector, check_arguments, dropout
from wsjax.models.layers.weight_attention import Tokens, averages_attend, slices_attend
from wsjax.symmetry import Symmetry
from wsjax.typing import Key, Scalar, Weights


def _kernel(key: Key, rows: int, columns: int) -> Array:
    return normal(key, (rows, columns), rows**-0.5)


class NFTBlock(eqx.Module):
    """Attention between slices and between averages, then dense layers on each position, on normed features, added.

        x = x + (slices(LN(x)) + averages(LN(x))) K_out,    x = x + gelu(LN(x) K_up + b_up) K_down + b_down

    All arrays share the parameters; queries, keys and values have no bias, as the norm's offset serves for one. It is
    equivariant under permutations of every group in the features. The code of 2305.13546, section 3, has no K_out.
    """

    norms: tuple[Norm, Norm]
    qkv: Array
    out: Array
    up: Array
    up_bias: Array
    down: Array
    down_bias: Array
    heads: int = eqx.field(static=True)

    def __init__(self, width: int, heads: int, *, key: Key):
        keys = [jax.random.fold_in(key, i) for i in range(4)]
        self.norms, self.heads = (Norm("layer", width), Norm("layer", width)), heads
        self.qkv, self.out = _kernel(keys[0], width, 3 * width), _kernel(keys[1], width, width)
        self.up, self.down = _kernel(keys[2], width, 2 * width), _kernel(keys[3], 2 * width, width)
        self.up_bias, self.down_bias = jnp.zeros(2 * width), jnp.zeros(width)

    def __call__(
        self, x: Float[Array, "positions width"], tokens: Tokens, key: Key | None, dropout_rate: Scalar, index: int
    ) -> Float[Array, "positions width"]:
        """All positions of one network; with a key, hidden units are dropped at the given rate."""
        qkv = tokens.part(self.norms[0](x) @ self.qkv)
        pairs = zip(slices_attend(qkv, tokens, self.heads), averages_attend(qkv, self.heads), strict=True)
        x = x + tokens.join([a + b for a, b in pairs]) @ self.out
        hidden = jax.nn.gelu(self.norms[1](x) @ self.up + self.up_bias[None, :])
        return x + dropout(hidden, key, dropout_rate, index=index) @ self.down + self.down_bias[None, :]


class NFTTrunk(eqx.Module):
    """Normalize, Fourier features, a linear map and an embedding for each array, an `IOEncoding`, blocks, a norm.

    It is equivariant under every permutation of the Symmetry; with io_encoding `"none"` of inputs and outputs too. The
    settings are those of an `NFT`.
    """

    normalizer: Normalizer
    fourier: FourierFeatures | None
    lifts: tuple[Array, ...]
    arrays: Array
    io_encoding: IOEncoding | None
    blocks: tuple[NFTBlock, ...]
    norm: Norm
    symmetry: Symmetry = eqx.field(static=True)
    spec: tuple[Feature, ...] = eqx.field(static=True)

    def __init__(
        self,
        symmetry: Symmetry,
        normalizer: Normalizer | None,
        width: int,
        layers: int,
        heads: int,
        frequencies: int,
        scale: float,
        io_encoding: str,
        *,
        key: Key,
    ):
        check_sizes(width=width, layers=layers, heads=heads)
        check_sizes(low=0, frequencies=frequencies)
        check_number("scale", scale, low=0, open_low=True)
        check_choice("io_encoding", io_encoding, ENCODINGS)
        check_heads("width", width, heads)
        keys = jax.random.split(key, 4)
        self.normalizer, self.symmetry = normalizer_for(symmetry, normalizer), symmetry
        self.spec = features(permutable_io(symmetry))
        self.fourier = FourierFeatures(frequencies, scale) if frequencies else None
        rows = [f.fixed * (2 * frequencies or 1) for f in self.spec]
        self.lifts = tuple(_kernel(jax.random.fold_in(keys[0], i), n, width) for i, n in enumerate(rows))
        self.arrays = normal(keys[1], (len(self.spec), width), EMBEDDING)
        widths = (width,) * len(self.spec)
        self.io_encoding = None if io_encoding == "none" else IOEncoding(symmetry, widths, io_encoding, key=keys[2])
        self.blocks = tuple(NFTBlock(width, heads, key=jax.random.fold_in(keys[3], i)) for i in range(layers))
        self.norm = Norm("layer", width)

    def __call__(
        self, weights: Weights, *, key: Key | None, dropout_rate: Scalar, index: int
    ) -> Float[Array, "positions width"]:
        """All positions of one network, array after array; with a key, hidden units are dropped at the given rate."""
        leaves = self.normalizer(self.symmetry.leaves(weights), self.arrays.dtype)
        xs = []
        for x, kernel, array in zip(lift(leaves, self.spec), self.lifts, self.arrays, strict=True):
            lifted = expanded(x, self.fourier) @ kernel
            xs.append(lifted + along_last(array, lifted.ndim))
        tokens = Tokens(self.spec)
        x = tokens.join(xs if self.io_encoding is None else self.io_encoding(xs))
        for i, block in enumerate(self.blocks):
            x = block(x, tokens, key, dropout_rate, index + i)
        return self.norm(x)


class NFT(HeadedReader):
    """A reader of weights by attention between them.

    The trunk gives each weight its channels; they are averaged over each array, and dense layers follow. Inputs and
    outputs permute like neurons but for the `IOEncoding` that distinguishes them, so there are slices along them too.
    For n neurons a layer the scores take time that grows as n^3 and memory as n^2, for n^2 weights; all else is linear.

    **Preserves**: the output is invariant to every permutation of the Symmetry; with io_encoding `"none"` to every
    permutation of inputs and outputs as well.

    Args:
        symmetry, normalizer: of the data set; without a normalizer the weights are read as they are.
        width: channels of each weight.
        layers, heads: blocks, and heads that share the width.
        head: width of the head's hidden layer.
        frequencies, scale: of the Fourier features, their number (0 takes the weights themselves) and their deviation,
            for weights of deviation one. Few networks are memorized by them.
        io_encoding: what distinguishes inputs and outputs, `"learned"`, `"sinusoidal"` or `"none"`.

    Source: Zhou et al., arXiv 2305.13546, with tokens from any Symmetry. Its code has the Fourier features as the
    channels themselves; here each array has a linear map of them.

    Example:
        >>> from wsjax.symmetry import siren
        >>> spec = siren((2, 3, 1))
        >>> reader = NFT(spec, 10, width=4, heads=2, layers=1, key=jax.random.key(0))
        >>> weights = spec.unflatten([jnp.ones(shape) for shape in spec.shapes])
        >>> [jax.eval_shape(read, weights).shape for read in (reader.features, reader)]
        [(16,), (10,)]
    """

    trunk: NFTTrunk
    head: Stack

    def __init__(
        self,
        symmetry: Symmetry,
        out_size: int,
        *,
        width: int = 32,
        layers: int = 2,
        heads: int = 4,
        head: int = 64,
        frequencies: int = 0,
        scale: float = 0.5,
        io_encoding: str = "learned",
        normalizer: Normalizer | None = None,
        key: Key,
    ):
        check_arguments(symmetry, Symmetry, out_size, normalizer, head=head)
        trunk_key, head_key = jax.random.split(key)
        settings = (width, layers, heads, frequencies, scale, io_encoding)
        self.trunk = NFTTrunk(symmetry, normalizer, *settings, key=trunk_key)
        size = sum(len(pooled(f)) for f in self.trunk.spec) * width
        self.head = Stack(size, out_size, head, 1, key=head_key)

    def features(self, weights: Weights, *, key: Key | None = None, dropout_rate: Scalar = 0.0) -> Vector:
        """The averages over each array of one network; with a key, hidden units and channels are dropped."""
        spec = self.trunk.spec  # the head takes index 0 of the draws of dropout, and what it reads 1
        x = self.trunk(weights, key=key, dropout_rate=dropout_rate, index=2)
        return dropout(invariant(Tokens(spec).part(x), spec), key, dropout_rate, index=1)
