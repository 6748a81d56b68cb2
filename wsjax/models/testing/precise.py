"""What the checks share: modules and networks in float64, and differences as a share of an output's size."""

import functools
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from wsjax.errors import leaf_names
from wsjax.floats import floating
from wsjax.symmetry import Symmetry
from wsjax.typing import Key, Weights

Module = Callable[..., PyTree]
"""What is proved: an Equinox module, or any function of one network's weights."""

read = eqx.filter_jit(lambda module, weights, **settings: module(weights, **settings))
"""Compiled once for a kind of module, whatever its parameters."""


@contextmanager
def in_float64() -> Iterator[None]:
    """Arrays may be float64; modules that hold float32 constants still run, whatever promotion the caller asks for."""
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
        yield


def to_float64(tree: PyTree) -> PyTree:
    """Every floating-point array in float64, all else as it is."""

    def cast(leaf: Any) -> Any:
        held = isinstance(leaf, jax.Array | np.ndarray) and floating(leaf)
        return jnp.asarray(np.asarray(leaf).astype(np.float64)) if held else leaf

    return jax.tree.map(cast, tree)


def random_weights(key: Key, symmetry: Symmetry) -> Weights:
    """A network with nothing special about it: normal entries, variance one over an array's longest axis, no zeros.

    Args:
        key: a typed key.
        symmetry: the network's.

    Example:
        >>> import jax
        >>> from wsjax.symmetry import siren
        >>> [layer.kernel.shape for layer in random_weights(jax.random.key(0), siren((2, 4, 1)))]
        [(2, 4), (4, 1)]
    """
    return symmetry.unflatten(_normal(key, tuple(symmetry.shapes)))


@functools.partial(jax.jit, static_argnames="shapes")
def _normal(key: Key, shapes: tuple[tuple[int, ...], ...]) -> list[Array]:
    ends = np.cumsum([math.prod(shape) for shape in shapes])
    pieces = jnp.split(jax.random.normal(key, (ends[-1],)), ends[:-1])
    return [x.reshape(shape) * max((1, *shape)) ** -0.5 for x, shape in zip(pieces, shapes, strict=True)]


class Case(NamedTuple):
    """A module and a network in float64, what the module makes of it, and the type that it computes in."""

    module: Any
    weights: Weights
    output: PyTree
    dtype: str


def case(module: Module, symmetry: Symmetry, weights: Weights | None, key: Key) -> Case:
    """What a check begins with, within `in_float64`; without weights they are drawn.

    Raises:
        ValueError: weights that do not fit the Symmetry.
    """
    module, weights = to_float64(module), network(symmetry, weights, key)
    return Case(module, weights, read(module, weights), precision(module, weights))


def network(symmetry: Symmetry, weights: Weights | None, key: Key) -> Weights:
    """Weights in float64, held to the Symmetry before a module meets them; random ones for None."""
    found = to_float64(random_weights(key, symmetry) if weights is None else weights)
    symmetry.leaves(found)
    return found


def precision(module: Module, weights: Weights) -> str:
    """The type a module computes in, found from outside: `"float64"`, or `"float32"` where it rounds by itself.

    It rounds its weights where a change of one part in ten changes the output and one of one part in 10^9 changes no
    bit of it, and its output where that is of a lower type.
    """
    outputs = jax.tree.leaves(read(module, weights))
    if any(floating(leaf) and leaf.dtype != jnp.float64 for leaf in outputs):
        return "float32"
    # From numbers of float32, which lie far from where rounding turns over.
    start = jax.tree.map(lambda w: np.asarray(w).astype(np.float32).astype(w.dtype) if floating(w) else w, weights)

    def feels(change: float) -> bool:
        moved = jax.tree.map(lambda w: w * (1 + change) if floating(w) else w, start)
        before, after = (jax.tree.leaves(read(module, w)) for w in (start, moved))
        return any(not np.array_equal(a, b) for a, b in zip(before, after, strict=True))

    return "float32" if feels(0.1) and not feels(1e-9) else "float64"


def difference(found: PyTree, expected: PyTree, root: str = "output") -> tuple[float, str]:
    """The largest difference over all outputs, as a share of the root mean square of the output it is in, and its name.

    Example:
        >>> difference({"a": jnp.zeros(2)}, {"a": jnp.array([3.0, 3.0])})
        (1.0, "output['a']")
    """
    shares = []
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
        shares.append(float(np.max(np.abs(a - b), initial=0.0) / (np.sqrt(np.mean(np.square(b))) or 1.0)))
    worst = int(np.argmax(shares))  # NaN first
    return shares[worst], leaf_names(expected, root)[worst]
