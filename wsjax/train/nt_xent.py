"""The loss of contrastive learning: of two views of each network, which belong together?"""

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int

from wsjax.typing import Scalar


def nt_xent(
    embeddings: Float[Array, "views size"], shown: Int[Array, " networks"], temperature: Scalar = 0.1
) -> Float[Array, ""]:
    """The normalised, temperature-scaled cross-entropy of two views of each of B networks.

    `-mean_i log(exp(s_ij / T) / (exp(s_ij / T) + sum_k exp(s_ik / T)))` over all 2B views i: s are cosines, j is the
    other view of i's network, and k runs over the views of networks that show another object than i's. Where all B
    objects differ that is the loss of the paper. One product of matrices gives it; `optax.losses.ntxent` compares all
    pairs entry by entry, which on a CPU takes as long as a reader's whole step.

    Args:
        embeddings: of the networks in one view, then of the same networks in the same order in the other.
        shown: the object that each network shows.
        temperature: T.

    Source: SimCLR, arXiv 2002.05709, equation 1. That two networks of one object do not repel each other is ours.

    Example:
        >>> views = jnp.array([[1.0, 0.0], [0.0, 1.0], [3.0, 0.0], [0.0, 0.5]])   # two networks, then again
        >>> round(float(nt_xent(views, jnp.arange(2), temperature=1.0)), 4)   # log(1 + 2 / e)
        0.5514
    """
    logits = _cosines(embeddings, shown) / jnp.asarray(temperature, embeddings.dtype)
    return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, _partners(len(shown))))


def agree(embeddings: Float[Array, "views size"], shown: Int[Array, " networks"]) -> Bool[Array, " views"]:
    """Whether each view's nearest, by its cosine and among those that the loss compares, is its network's other view.

    Args:
        embeddings, shown: as `nt_xent` takes them.

    Example:
        >>> views = jnp.array([[1.0, 0.0], [0.0, 1.0], [3.0, 0.0], [1.0, 0.5]])
        >>> agree(views, jnp.arange(2)).tolist()   # the last lies nearer to the other network
        [True, True, True, False]
    """
    return jnp.argmax(_cosines(embeddings, shown), axis=1) == _partners(len(shown))


def _partners(networks: int) -> Int[Array, " views"]:
    """Where each view's other one stands."""
    return (jnp.arange(2 * networks) + networks) % (2 * networks)


def _cosines(x: Float[Array, "views size"], shown: Int[Array, " networks"]) -> Float[Array, "views views"]:
    """The cosines of all pairs of views; -inf for what is not compared, itself and others of the same object."""
    squares = jnp.sum(jnp.square(x), axis=1, keepdims=True)
    unit = x * jax.lax.rsqrt(jnp.maximum(squares, jnp.finfo(x.dtype).tiny))
    objects, places = jnp.tile(shown, 2), jnp.arange(len(x))
    own = places[None, :] == _partners(len(shown))[:, None]
    return jnp.where(own | (objects[:, None] != objects[None, :]), unit @ unit.T, -jnp.inf)
