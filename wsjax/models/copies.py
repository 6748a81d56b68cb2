"""Reading a network several times, moved anew each time, and averaging what the reader gives."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from wsjax.errors import check_number
from wsjax.typing import Key, Reader, Scalar, Transform, Weights


class OverCopies(eqx.Module):
    """A reader's answer averaged over copies of the network: (1 / n) sum over i of reader(transform(k_i, weights)).

    The keys k_i are the same for all networks, so that the answer is a function of the network alone. With a transform
    that preserves the function, such as `augment.flip_signs`, the average comes the nearer to a reader that is blind to
    that symmetry the more copies there are. What is averaged are the reader's outputs: of a classifier, logits.

    **Preserves**: what the reader preserves, where the transform commutes with it; nothing more exactly.

    Args:
        reader: of one network.
        transform: of one network, such as `augment.network_from_spec("flip_signs", symmetry)`.
        copies: how many.
        key: a typed key, from which those of all copies derive.

    Raises:
        ValueError: fewer than one copy.

    Source: test-time augmentation of images, Krizhevsky et al. 2012; over a group, Janossy pooling, arXiv 1811.01900,
    which averages over permutations.

    Example:
        >>> import numpy as np
        >>> from wsjax import augment
        >>> from wsjax.symmetry import siren
        >>> spec = siren((2, 4, 1))
        >>> w = spec.unflatten([np.ones(shape, np.float32) for shape in spec.shapes])
        >>> flips = augment.network_from_spec("flip_signs", spec)
        >>> reader = OverCopies(lambda w, **_: w[0].kernel[0], flips, 64, key=jax.random.key(1))
        >>> bool(np.abs(jax.jit(lambda w: reader(w))(w)).max() < 1)   # what changes with signs is averaged away
        True
    """

    reader: Reader
    transform: Transform[Weights]
    key: Key
    copies: int = eqx.field(static=True)

    def __init__(self, reader: Reader, transform: Transform[Weights], copies: int, *, key: Key):
        check_number("copies", copies, low=1, whole=True)
        self.reader, self.transform, self.copies, self.key = reader, transform, copies, key

    def __call__(self, weights: Weights, *, key: Key | None = None, rate: Scalar = 0.0) -> Float[Array, "*outputs"]:
        """Read one network; a key and a rate are passed on, the key split among the copies."""
        own = None if key is None else jax.random.split(key, self.copies)
        read = lambda k, dropping: self.reader(self.transform(k, weights), key=dropping, rate=rate)
        return jnp.mean(jax.vmap(read)(jax.random.split(self.key, self.copies), own), axis=0)
