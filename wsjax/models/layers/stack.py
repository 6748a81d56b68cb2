"""Shared parts of readers: the check of constructor arguments, dropout whose rate may be traced, a head."""

import abc
import functools
from collections.abc import Callable, Sized
from itertools import pairwise
from typing import Any, Protocol, TypeAlias, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from wsjax.errors import check_sizes
from wsjax.models.layers.draws import linear
from wsjax.models.layers.norms import along_last
from wsjax.symmetry import Symmetry
from wsjax.typing import Key, Scalar, Weights

Vector: TypeAlias = Float[Array, "_"]


@runtime_checkable
class Runnable(Protocol):
    """The part of a network that a probing reader uses; `wsjax.networks.Network` has it."""

    @property
    def widths(self) -> tuple[int, ...]: ...

    def apply(self, weights: Weights, points: Array, /) -> Array: ...


def check_arguments(
    given: Any, kinds: type | tuple[type, ...], out_size: Any, normalizer: Any = None, **sizes: int
) -> None:
    """Check what constructors share: `given` of one of the kinds, a normalizer or None, integers of at least 1.

    `given` is the argument `symmetry` where `kinds` has Symmetry, else `network`. The message names the attribute of a
    data set that is of the right type.
    """
    kinds = kinds if isinstance(kinds, tuple) else (kinds,)
    if not isinstance(given, kinds):
        name, way_out = "symmetry", "pass dataset.symmetry"
        if Symmetry not in kinds:
            name, way_out = "network", "pass dataset.metadata.network, or where that is None a network of your own"
        found = "None" if given is None else f"a {type(given).__name__}"
        runs = {Runnable: "network that runs, with `widths` and `apply`"}
        expected = " or ".join(f"a {runs.get(kind, kind.__name__)}" for kind in kinds)
        raise TypeError(f"{name} is {found}; expected {expected}: {way_out}")
    if normalizer is not None and not (callable(normalizer) and isinstance(normalizer, Sized)):
        raise TypeError(
            f"normalizer is a {type(normalizer).__name__}; expected a Normalizer or None: pass dataset.normalizer()"
        )
    check_sizes(out_size=out_size, **sizes)


def numbers_as_python(constructor: Callable[..., None]) -> Callable[..., None]:
    """A constructor to which NumPy's numbers, `channels=np.int64(8)`, are Python's.

    Equinox takes the former for arrays: it warns of them in static fields, and traces them in `filter_eval_shape`.
    """
    plain = lambda value: value.item() if isinstance(value, np.generic) else value

    @functools.wraps(constructor)
    def construct(self: Any, *args: Any, **settings: Any) -> None:
        constructor(self, *map(plain, args), **{name: plain(value) for name, value in settings.items()})

    return construct


def dropout(x: Array, key: Key | None, rate: Float[ArrayLike, ""] | float, *, index: int) -> Array:
    """Drop whole channels (the last axis) with probability `rate`, divide the rest by 1 - rate; without a key: nothing.

    The same channels go at every position of one network, so equivariance holds.
    """
    if key is None:
        return x
    keep = 1 - jnp.asarray(rate, x.dtype)
    mask = jax.random.bernoulli(jax.random.fold_in(key, index), keep, x.shape[-1:])
    factor = jnp.where(mask, 1 / jnp.maximum(keep, 1e-6), jnp.zeros_like(keep))
    return x * along_last(factor, x.ndim)


class Stack(eqx.Module):
    """Dense layers with ReLU and dropout between them."""

    layers: tuple[eqx.nn.Linear, ...]

    def __init__(self, inputs: int, outputs: int, width: int, depth: int, *, key: Key):
        pairs = pairwise([inputs, *[width] * depth, outputs])
        self.layers = tuple(linear(a, b, key=jax.random.fold_in(key, i)) for i, (a, b) in enumerate(pairs))

    @property
    def dtype(self) -> np.dtype:
        """What it computes in."""
        return self.layers[0].weight.dtype

    def __call__(self, x: Array, *, key: Key | None = None, dropout_rate: Scalar = 0.0) -> Array:
        for i, layer in enumerate(self.layers[:-1]):
            x = dropout(jax.nn.relu(layer(x)), key, dropout_rate, index=i)
        return self.layers[-1](x)


class HeadedReader(eqx.Module):
    """head(features(weights)). A reader holds a `head`, and defines the `features` of one network."""

    head: eqx.AbstractVar[Stack]

    def __init_subclass__(cls, **kwargs: Any):
        super().__init_subclass__(**kwargs)
        if "__init__" in vars(cls):
            cls.__init__ = numbers_as_python(cls.__init__)

    @abc.abstractmethod
    def features(self, weights: Weights, *, key: Key | None = None, dropout_rate: Scalar = 0.0) -> Vector:
        """The input of the head; with a key, what the reader drops is dropped at the given rate."""

    def __call__(self, weights: Weights, *, key: Key | None = None, dropout_rate: Scalar = 0.0) -> Vector:
        """Read one network; with a key, what features and head drop is dropped at the given rate."""
        return self.head(self.features(weights, key=key, dropout_rate=dropout_rate), key=key, dropout_rate=dropout_rate)
