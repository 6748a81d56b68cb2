"""Labels: what mixing asks of them, and smoothing."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from wsjax.augment.partners import check_batch
from wsjax.errors import check_number
from wsjax.floats import wide, widened
from wsjax.typing import Batch, Key, Scalar


def check_floating(label: PyTree) -> None:
    for leaf in jax.tree.leaves(label):
        if not jnp.issubdtype(dtype := jnp.result_type(leaf), jnp.floating):
            raise TypeError(
                f"label has dtype {dtype}; mixing needs floating labels: use jax.nn.one_hot(label, classes)"
            )


def distributions(label: PyTree, what: str) -> Float[Array, "batch classes"]:
    """The label, where it is one array (batch, classes) of floating numbers."""
    if not hasattr(label, "ndim") or label.ndim != 2:
        found = f"shape {label.shape}" if hasattr(label, "shape") else f"type {type(label).__name__}"
        raise ValueError(f"label has {found}; {what} needs (batch, classes), as from jax.nn.one_hot")
    check_floating(label)
    return jnp.asarray(label)


def label_smoothing(key: Key, batch: Batch, *, rate: Scalar = 0.1) -> Batch:
    """Give a share of every label to all classes alike: y' = (1 - rate) y + rate / classes.

    **Preserves** the weights. Draws nothing; it takes a key to be a transform like any other.

    Args:
        key: a typed key, not used.
        batch: stacked networks and labels (batch, classes).
        rate: [] in [0, 1]; 0 is the identity.

    Raises:
        ValueError: a rate outside [0, 1], or labels that are not (batch, classes). TypeError: whole-number labels.

    Source: Szegedy et al. 2016; arXiv 2402.04081 uses 0.1.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> label_smoothing(jax.random.key(0), Batch(jnp.ones((1, 3)), jnp.eye(2)[:1]), rate=0.5).label.tolist()
        [[0.75, 0.25]]
    """
    check_batch(batch)
    check_number("rate", rate, low=0, high=1)
    label = distributions(batch.label, "smoothing")
    rate = jnp.asarray(rate, wide(label))
    smooth = (1 - rate) * widened(label) + rate / label.shape[-1]
    return batch._replace(label=smooth.astype(label.dtype))
