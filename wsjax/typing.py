"""The vocabulary of wsjax: what weights, labels and transforms are.

A *weight-space element* is the parameter pytree of one small network. Functions here are written for ONE
network; batches come from `jax.vmap`. This file imports nothing else of wsjax.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias, TypeVar

from jaxtyping import Array, ArrayLike, Float, PRNGKeyArray, PyTree, Shaped

Key: TypeAlias = PRNGKeyArray
"""A typed key, `jax.random.key(seed)`."""

Weights: TypeAlias = PyTree[Shaped[ArrayLike, "?*w"], "W"]  # pyright: ignore[reportUndefinedVariable]
"""Any pytree of arrays; the same structure and leaf shapes wherever it is used again in one signature."""

Scalar: TypeAlias = float | Float[ArrayLike, ""]
"""A setting: a Python number, or a traced one."""

Label: TypeAlias = Float[Array, "batch *label"]
"""One soft label (a distribution over classes) or regression target a network."""

Points: TypeAlias = Float[ArrayLike, "points inputs"]
"""Coordinates as rows, in the order that the data set's metadata names."""

X = TypeVar("X")
Transform: TypeAlias = Callable[[Key, X], X]
"""The whole contract of an augmentation: `(key, x) -> x`, pure, with the structure of `x` kept."""

Reader: TypeAlias = Callable[..., Array]
"""A reader, `(weights of one network, *, key=None, dropout_rate=0.0) -> outputs`: an Equinox module."""


class Layer(NamedTuple):
    """One dense layer, `y = x @ kernel + bias`: kernel (inputs, outputs), bias (outputs,).

    Our own networks are tuples of these. Any other pytree serves as well.
    """

    kernel: Any
    bias: Any


class Batch(NamedTuple):
    """Stacked networks and their labels: every leaf of both has the batch as its leading axis.

    `label` is None where there are none. `object`, (batch,) integers, says which object (image, shape) each
    network shows, so that two fits of one object count as its views; None where objects are not used.
    """

    weights: PyTree
    label: PyTree
    object: PyTree = None
