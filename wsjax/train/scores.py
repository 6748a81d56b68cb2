"""What a reader is scored by on a split, inside the compiled step and outside: accuracy of classes, R2 of targets."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from wsjax.train.inputs import Arrays
from wsjax.typing import Reader

EVALUATION_BATCH = 256


def accuracy(model: Reader, data: Arrays) -> Float[Array, ""]:
    """The share of networks whose label the reader's largest output names.

    Args:
        model: the reader.
        data: stacked networks and their labels, as `arrays` gives them.

    Example:
        >>> import equinox as eqx
        >>> data = Arrays(jnp.eye(2), jnp.array([0, 0]))
        >>> float(accuracy(eqx.nn.Identity(), data))
        0.5
    """
    predicted = jax.lax.map(lambda w: jnp.argmax(model(w)), data.weights, batch_size=EVALUATION_BATCH)
    return jnp.mean((predicted == data.label).astype(jnp.float32))


def r2(model: Reader, data: Arrays) -> Float[Array, ""]:
    """1 - sum (t - y)^2 / sum (t - mean)^2 over the networks, averaged over targets; the mean is that of the data.

    1 is without a fault, 0 no better than to give the mean each time, and there is no least. The same in any units.

    Args:
        model: the reader.
        data: stacked networks and their targets.

    Example:
        >>> import equinox as eqx
        >>> data = Arrays(jnp.array([[1.0], [2.0], [3.0]]), jnp.array([[1.0], [2.0], [6.0]]))
        >>> round(float(r2(eqx.nn.Identity(), data)), 4)   # the reader misses the last by 3
        0.3571
    """
    given = jax.lax.map(model, data.weights, batch_size=EVALUATION_BATCH)
    missed = jnp.sum(jnp.square(data.label - given), axis=0)
    varied = jnp.sum(jnp.square(data.label - jnp.mean(data.label, axis=0, keepdims=True)), axis=0)
    return jnp.mean(1 - missed / varied)


def are_classes(label: Array) -> bool:
    return bool(jnp.issubdtype(label.dtype, jnp.integer))


def score(model: Reader, data: Arrays) -> Float[Array, ""]:
    """What selects: `accuracy` where labels are classes, `r2` where they are targets."""
    return accuracy(model, data) if are_classes(data.label) else r2(model, data)
