"""Weights to an array: learned queries attend over the outputs of a transformer on the weights."""

import equinox as eqx
import jax
from jaxtyping import Array, Float

from wsjax.errors import check_sizes
from wsjax.models.layers.draws import normal
from wsjax.models.layers.normalizer import Normalizer
from wsjax.models.layers.norms import Norm
from wsjax.models.layers.stack import HeadedReader, Stack, Vector, check_arguments, dropout
from wsjax.models.readers.nft import NFTTrunk
from wsjax.models.readers.rows import Block
from wsjax.symmetry import Symmetry
from wsjax.typing import Key, Scalar, Weights


class ArrayEncoder(HeadedReader):
    """A network's weights as an array of a fixed shape, whatever the order of its neurons.

        z = latents + attention(queries latents, keys and values all weights),    then blocks of attention among z

    Keys and values are the outputs of the trunk of an `NFT`. The array, (latents, width), is what a transformer takes
    in place of an image; `features` is the same as one vector, which the head reads. Time and memory of the last
    attention are linear in the number of weights.

    **Preserves**: the array is invariant to every permutation of the Symmetry; with io_encoding `"none"` to every
    permutation of inputs and outputs as well.

    Args:
        symmetry, normalizer, width, layers, heads, head, frequencies, scale, io_encoding: as in an `NFT`.
        latents: rows of the array, each as wide as a weight has channels.
        mixing: blocks of attention among them.

    Source: INR2Array, Zhou et al., arXiv 2305.13546, section 4, with 16 latents of 256 channels and a decoder back to
    weights, which is not here; the perceiver of arXiv 2103.03206.

    Example:
        >>> import jax.numpy as jnp
        >>> from wsjax.symmetry import siren
        >>> spec = siren((2, 3, 1))
        >>> sizes = {"width": 4, "heads": 2, "layers": 1, "latents": 5, "mixing": 1}
        >>> reader = ArrayEncoder(spec, 10, **sizes, key=jax.random.key(0))
        >>> weights = spec.unflatten([jnp.ones(shape) for shape in spec.shapes])
        >>> jax.eval_shape(reader.array, weights).shape, jax.eval_shape(reader.features, weights).shape
        ((5, 4), (20,))
        >>> jax.eval_shape(reader, weights).shape
        (10,)
    """

    trunk: NFTTrunk
    latents: Array
    query_norm: Norm
    attention: eqx.nn.MultiheadAttention
    blocks: tuple[Block, ...]
    norm: Norm
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
        latents: int = 16,
        mixing: int = 2,
        normalizer: Normalizer | None = None,
        key: Key,
    ):
        check_arguments(symmetry, Symmetry, out_size, normalizer, head=head, latents=latents)
        check_sizes(low=0, mixing=mixing)
        keys = jax.random.split(key, 5)
        settings = (width, layers, heads, frequencies, scale, io_encoding)
        self.trunk = NFTTrunk(symmetry, normalizer, *settings, key=keys[0])
        self.latents = normal(keys[1], (latents, width))
        self.query_norm, self.norm = Norm("layer", width), Norm("layer", width)
        self.attention = eqx.nn.MultiheadAttention(heads, width, key=keys[2])
        self.blocks = tuple(Block(width, heads, key=jax.random.fold_in(keys[3], i)) for i in range(mixing))
        self.head = Stack(latents * width, out_size, head, 1, key=keys[4])

    def array(
        self, weights: Weights, *, key: Key | None = None, dropout_rate: Scalar = 0.0
    ) -> Float[Array, "latents width"]:
        """One network as an array; with a key, hidden units of all blocks are dropped at the given rate."""
        first = 2 + len(self.blocks)
        x = self.trunk(weights, key=key, dropout_rate=dropout_rate, index=first)
        z = self.latents + self.attention(self.query_norm(self.latents), x, x)
        for i, block in enumerate(self.blocks):
            z = block(z, key, dropout_rate, index=2 + i)  # the head takes index 0, and its input 1
        return self.norm(z)

    def features(self, weights: Weights, *, key: Key | None = None, dropout_rate: Scalar = 0.0) -> Vector:
        """The array of one network, row after row; with a key, entries and hidden units are dropped."""
        return dropout(self.array(weights, key=key, dropout_rate=dropout_rate).reshape(-1), key, dropout_rate, index=1)
