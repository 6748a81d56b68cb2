"""Weights to an array: a few learned queries gather what a transformer on the weights has found."""

from dataclasses import dataclass

import equinox as eqx
import jax
from jaxtyping import Array, Float

from wsjax.errors import check_number
from wsjax.models.draws import normal
from wsjax.models.dropout import dropout
from wsjax.models.flat import Stack
from wsjax.models.nft import NFTConfig, NFTTrunk
from wsjax.models.normalise import Normaliser
from wsjax.models.norms import LayerNorm
from wsjax.models.rows import Block
from wsjax.symmetry import Symmetry
from wsjax.typing import Key, Scalar, Weights


@dataclass(frozen=True)
class ArrayEncoderConfig(NFTConfig):
    """latents: rows of the array, each as wide as a weight has channels. mixing: blocks of attention among them.

    All else as in `NFTConfig`.
    """

    latents: int = 16
    mixing: int = 2

    def __post_init__(self):
        super().__post_init__()
        check_number("latents", self.latents, low=1, whole=True)
        check_number("mixing", self.mixing, low=0, whole=True)


class ArrayEncoder(eqx.Module):
    """A network's weights as an array of a fixed shape, whatever the order of its neurons.

        z = latents + attention(queries latents, keys and values all weights),    then blocks of attention among z

    The weights are what the trunk of an `NFT` gives. The array, (latents, width), is what a transformer takes in place
    of a picture; `features` is the same as one vector, which the head reads. Time and memory of the last attention are
    linear in the number of weights.

    **Preserves**: the array is invariant to every permutation of the Symmetry; with code `"none"` to every permutation
    of inputs and outputs as well.

    Args:
        symmetry: of the networks that are read.
        normaliser: theirs.
        outputs: numbers that the reader gives.
        config: its settings.
        key: a typed key.

    Source: INR2Array, Zhou et al., arXiv 2305.13546, section 4, with 16 latents of 256 channels and a decoder back to
    weights, which is not here; the perceiver of arXiv 2103.03206.

    Example:
        >>> import jax.numpy as jnp
        >>> from wsjax.symmetry import siren
        >>> spec = siren((2, 3, 1))
        >>> plain = Normaliser((jnp.zeros(()),) * 4, (jnp.ones(()),) * 4)
        >>> config = ArrayEncoderConfig(width=4, heads=2, layers=1, latents=5, mixing=1)
        >>> reader = ArrayEncoder(spec, plain, 10, config, key=jax.random.key(0))
        >>> weights = spec.unflatten([jnp.ones(shape) for shape in spec.shapes])
        >>> jax.eval_shape(reader.array, weights).shape, jax.eval_shape(reader.features, weights).shape
        ((5, 4), (20,))
        >>> jax.eval_shape(reader, weights).shape
        (10,)
    """

    trunk: NFTTrunk
    latents: Array
    asks: LayerNorm
    gathers: eqx.nn.MultiheadAttention
    blocks: tuple[Block, ...]
    norm: LayerNorm
    head: Stack

    def __init__(
        self, symmetry: Symmetry, normaliser: Normaliser, outputs: int, config: ArrayEncoderConfig, *, key: Key
    ):
        keys = jax.random.split(key, 5)
        width = config.width
        self.trunk = NFTTrunk(symmetry, normaliser, config, key=keys[0])
        self.latents = normal(keys[1], (config.latents, width))
        self.asks, self.norm = LayerNorm(width), LayerNorm(width)
        self.gathers = eqx.nn.MultiheadAttention(config.heads, width, key=keys[2])
        self.blocks = tuple(
            Block(width, config.heads, key=jax.random.fold_in(keys[3], i)) for i in range(config.mixing)
        )
        self.head = Stack(config.latents * width, outputs, config.head, 1, key=keys[4])

    def array(self, weights: Weights, *, key: Key | None = None, rate: Scalar = 0.0) -> Float[Array, "latents width"]:
        """One network as an array; with a key, hidden units of all blocks are dropped at the given rate."""
        first = 2 + len(self.blocks)
        x = self.trunk(weights, key=key, rate=rate, salt=first)
        z = self.latents + self.gathers(self.asks(self.latents), x, x)
        for i, block in enumerate(self.blocks):
            z = block(z, key, rate, salt=2 + i)  # the head takes salt 0, and what it reads 1
        return self.norm(z)

    def features(self, weights: Weights, *, key: Key | None = None, rate: Scalar = 0.0) -> Float[Array, " features"]:
        """The array of one network, row after row; with a key, entries and hidden units are dropped."""
        return dropout(self.array(weights, key=key, rate=rate).reshape(-1), key, rate, salt=1)

    def __call__(self, weights: Weights, *, key: Key | None = None, rate: Scalar = 0.0) -> Float[Array, " outputs"]:
        """Read one network; with a key, drop entries of the array and hidden units at the given rate."""
        return self.head(self.features(weights, key=key, rate=rate), key=key, rate=rate)
