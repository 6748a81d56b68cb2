"""What a reader is scored by on a split, inside the compiled step and outside: accuracy of classes, R2 of targets."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from wsjax.train.inputs import Arrays
from wsjax.typing import Reader

EVALUATION_BATCH = 256


def read_all(model: Callable[[PyTree], Array], *splits: PyTree) -> list[Array]:
    """What a function of one network gives for every network of some splits.

    All splits go through one loop, in equal batches of at most 256 networks of one split each: `model` is compiled
    once, neither for each split nor for what a last batch would leave over.

    Args:
        model: the reader, or what else is asked of a network.
        splits: stacked networks.

    Example:
        >>> [found.tolist() for found in read_all(lambda w: 2 * w, jnp.arange(3), jnp.arange(2))]
        [[0, 2, 4], [0, 2]]
    """
    counts = [len(jax.tree.leaves(split)[0]) for split in splits]
    in_batches = lambda size: [-(-count // size) for count in counts]
    # A batch costs about as much as sixteen networks more.
    size = min(range(1, EVALUATION_BATCH + 1), key=lambda size: sum(in_batches(size)) * (size + 16))
    batches = in_batches(size)
    gather = [lambda rows, split=split: jax.tree.map(lambda x: x.at[rows].get(mode="clip"), split) for split in splits]
    of_split = np.repeat(np.arange(len(splits), dtype=np.int32), batches)
    rows = np.concatenate([np.arange(n * size, dtype=np.int32).reshape(n, size) for n in batches])
    given = jax.lax.map(lambda at: jax.vmap(model)(jax.lax.switch(at[0], gather, at[1])), (of_split, rows))
    parts = [given[sum(batches[:i]) : sum(batches[: i + 1])] for i in range(len(splits))]
    return [part.reshape(-1, *part.shape[2:])[:count] for part, count in zip(parts, counts, strict=True)]


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
    return _accuracy(read_all(model, data.weights)[0], data.label)


def _accuracy(given: Array, label: Array) -> Float[Array, ""]:
    return jnp.mean((jnp.argmax(given, axis=1).astype(label.dtype) == label).astype(jnp.float32))


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
    return _r2(read_all(model, data.weights)[0], data.label)


def _r2(given: Array, label: Array) -> Float[Array, ""]:
    missed = jnp.sum(jnp.square(label - given), axis=0)
    varied = jnp.sum(jnp.square(label - jnp.mean(label, axis=0, keepdims=True)), axis=0)
    return jnp.mean(1 - missed / varied)


def are_classes(label: Array) -> bool:
    return bool(jnp.issubdtype(label.dtype, jnp.integer))


def soft(label: Array, classes: int) -> Float[Array, "networks outputs"]:
    """Labels as a batch holds them: classes as distributions, targets as they are."""
    return jax.nn.one_hot(label, classes) if are_classes(label) else label


def scores(model: Reader, *splits: Arrays) -> list[Float[Array, ""]]:
    """Of each split what selects: the accuracy where labels are classes, R2 where they are targets."""
    given = read_all(model, *[split.weights for split in splits])
    measures = [_accuracy if are_classes(split.label) else _r2 for split in splits]
    return [measure(y, split.label) for measure, y, split in zip(measures, given, splits, strict=True)]


def score(model: Reader, data: Arrays) -> Float[Array, ""]:
    """What selects, of one split."""
    return scores(model, data)[0]
