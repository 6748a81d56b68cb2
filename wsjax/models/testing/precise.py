"""What the checks share: modules and networks in float64, and differences as a fraction of an output's size.

A check costs what its programs take to compile, a second or more for a reader, and little besides. So all that is drawn
is drawn by NumPy, every row of every check runs in one program for a kind of module, and what is traced to the same
program is not compiled again.
"""

import functools
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from wsjax.errors import leaf_names
from wsjax.floats import floating
from wsjax.models.layers.draws import normal
from wsjax.symmetry import Symmetry
from wsjax.typing import Key, Weights

Module = Callable[..., PyTree]
"""What is proved: an Equinox module, or any function of one network's weights."""

TOLERANCES = {"float64": 1e-10, "float32": 1e-4}
"""The largest difference allowed, as a fraction of an output's root mean square, by the type a module computes in."""


def read(module: Module, weights: Weights, **settings: Any) -> PyTree:
    """What a module makes of a network, compiled once for a kind of module, whatever its parameters."""
    return _run(*_parted((module, weights, settings)))


def same_program(module: Module, other: Module, weights: Weights, **settings: Any) -> bool:
    """Whether `other(weights, **settings)` is traced to the program of `module(weights)`, which may give more outputs.

    Then the outputs are equal, and one of the two need not be compiled.
    """
    text, outputs, consts = _traced(module, weights, {})
    other_text, other_outputs, other_consts = _traced(other, weights, settings)
    if text != other_text or outputs != other_outputs[: len(outputs)]:
        return False
    plain = lambda x: jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x
    same = [np.array_equal(plain(a), plain(b)) for a, b in zip(consts, other_consts, strict=False)]
    return len(consts) == len(other_consts) and all(same)


def _parted(tree: PyTree) -> tuple[Any, list[Any]]:
    """What a program is compiled for, and the arrays that it takes."""
    leaves, treedef = jax.tree.flatten(tree)
    held = [isinstance(leaf, jax.Array | np.ndarray) for leaf in leaves]
    arrays = [leaf if may else None for leaf, may in zip(leaves, held, strict=True)]
    return (treedef, tuple(None if may else leaf for leaf, may in zip(leaves, held, strict=True))), arrays


@functools.partial(jax.jit, static_argnums=0)
def _run(static: Any, arrays: list[Any]) -> PyTree:
    treedef, rest = static
    leaves = [leaf if array is None else array for array, leaf in zip(arrays, rest, strict=True)]
    module, weights, settings = jax.tree.unflatten(treedef, leaves)
    return module(weights, **settings)


def _traced(*arguments: Any) -> tuple[str, list[str], list[Any]]:
    """A program without the addresses of functions in it, the names of its outputs, and the arrays it closes over."""
    closed = _run.trace(*_parted(arguments)).jaxpr
    text, outputs = _printed(closed.jaxpr)
    return text, re.findall(r"[^\s,(){}]+", outputs), closed.consts


@functools.lru_cache(maxsize=8)
def _printed(jaxpr: Any) -> list[str]:
    """The program's text, and that of its outputs; several checks ask for the same."""
    return re.sub(r" at 0x[0-9a-f]+", "", jaxpr.pretty_print(use_color=False)).rsplit("in (", 1)


def generator(key: Key, *index: int) -> np.random.Generator:
    """Draws from a key that compile nothing."""
    return np.random.default_rng([*np.asarray(jax.random.key_data(key)).reshape(-1).tolist(), *index])


def permutation(rng: np.random.Generator, count: int) -> np.ndarray:
    """A random order, though never that of before."""
    order = rng.permutation(count)
    return np.roll(order, 1) if np.array_equal(order, np.arange(count)) else order


@contextmanager
def in_float64() -> Iterator[None]:
    """Arrays may be float64; modules that hold float32 constants still run, whatever promotion the caller asks for."""
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
        yield


def to_float64(tree: PyTree) -> PyTree:
    """Every floating-point array in float64, all else as it is."""

    def cast(leaf: Any) -> Any:
        held = isinstance(leaf, jax.Array | np.ndarray) and floating(leaf)
        return jax.device_put(np.asarray(leaf).astype(np.float64)) if held else leaf

    return jax.tree.map(cast, tree)


def random_weights(key: Key, symmetry: Symmetry) -> Weights:
    """A network with nothing special about it: normal entries, variance one over an array's longest axis, no zeros.

    Example:
        >>> import jax
        >>> from wsjax.symmetry import siren
        >>> [layer.kernel.shape for layer in random_weights(jax.random.key(0), siren((2, 4, 1)))]
        [(2, 4), (4, 1)]
    """
    keys = [jax.random.fold_in(key, i) for i, _ in enumerate(symmetry.shapes)]
    drawn = [normal(k, shape, max((1, *shape)) ** -0.5) for k, shape in zip(keys, symmetry.shapes, strict=True)]
    return symmetry.unflatten(drawn)


def network(symmetry: Symmetry, weights: Weights | None, rng: np.random.Generator) -> Weights:
    """Weights in float64, held to the Symmetry before a module meets them; random ones for None."""
    if weights is None:
        return symmetry.unflatten([rng.normal(size=s) * max((1, *s)) ** -0.5 for s in symmetry.shapes])
    found = to_float64(weights)
    symmetry.leaves(found)
    return found


class Case(NamedTuple):
    """A network in float64, how a module is read, what it makes of the network, and the type that it computes in."""

    weights: Weights
    evaluate: Callable[[Weights], PyTree]
    output: PyTree
    dtype: str

    def allowed(self, tolerance: float | None) -> float:
        """A tolerance, or for None that of the type."""
        return TOLERANCES[self.dtype] if tolerance is None else tolerance


def case(
    reader: Module, symmetry: Symmetry, weights: Weights | None, key: Key, evaluate: Callable | None = None
) -> Case:
    """What a check begins with, within `in_float64`: a reader and a network, drawn if None; `evaluate` reads a part."""
    weights = network(symmetry, weights, generator(key))
    evaluate = functools.partial(read, to_float64(reader)) if evaluate is None else evaluate
    output = evaluate(weights)
    return Case(weights, evaluate, output, _precision(evaluate, weights, output))


def _precision(evaluate: Callable[[Weights], PyTree], weights: Weights, output: PyTree) -> str:
    """The type a module computes in, found from outside: `"float64"`, or `"float32"` where it rounds by itself.

    It rounds its weights where a change of one part in ten changes the output and one of one part in 10^9 changes no
    bit of it, and its output where that is of a lower type.
    """
    if any(floating(leaf) and leaf.dtype != jnp.float64 for leaf in jax.tree.leaves(output)):
        return "float32"
    # From numbers of float32, which lie far from where rounding turns over.
    start = jax.tree.map(lambda w: np.asarray(w).astype(np.float32).astype(w.dtype) if floating(w) else w, weights)

    def changes(by: float) -> bool:
        moved = jax.tree.map(lambda w: w * (1 + by) if floating(w) else w, start)
        before, after = (jax.tree.leaves(evaluate(w)) for w in (start, moved))
        return any(not np.array_equal(a, b) for a, b in zip(before, after, strict=True))

    return "float32" if changes(0.1) and not changes(1e-9) else "float64"


def difference(found: PyTree, expected: PyTree) -> tuple[float, str]:
    """The largest difference, as a fraction of the root mean square of the output it is in, and that output's name."""
    fractions = []
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
        fractions.append(float(np.max(np.abs(a - b), initial=0.0) / (np.sqrt(np.mean(np.square(b))) or 1.0)))
    worst = int(np.argmax(fractions))  # NaN first
    return fractions[worst], leaf_names(expected, "output")[worst]
