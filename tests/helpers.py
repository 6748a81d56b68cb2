"""What several test files share: a table of small networks, and how to compare two trees of arrays."""

import math
import os
from collections.abc import Callable
from itertools import count, pairwise
from typing import Any, NamedTuple

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from wsjax import networks, symmetry
from wsjax.storage import orbax_calls
from wsjax.symmetry import Axes, Fixed, Group, Symmetry, symmetry_of
from wsjax.typing import Layer

W0 = (9.5, 6.25)
"""A frequency for each layer, and no integers: w0 pi must not be a multiple of pi by chance."""

USERS_CODE = {
    "xla_backend_optimization_level": 3,
    "xla_llvm_disable_expensive_passes": False,
    "xla_cpu_use_fusion_emitters": True,
}
"""What `jax.jit(f, compiler_options=...)` takes to compile as it does outside the tests."""


def one_save_then(error: int) -> Callable[[str, Any], None]:
    """Orbax's save as it is for one call, and from the second on one that raises an error of the system."""
    save, calls = orbax_calls.ocp.save, count()

    def late(path: str, arrays: Any) -> None:
        if next(calls):
            raise OSError(error, os.strerror(error))
        save(path, arrays)

    return late


class Case(NamedTuple):
    """A kind of network: its Symmetry for some widths, and its function."""

    symmetry: Callable[[tuple[int, ...]], Symmetry]
    apply: Callable[[Any, jax.Array], jax.Array]


def kernel_siren(weights, x: jax.Array) -> jax.Array:
    """sin(w0 x W + b), written out: the other of the two places where a frequency may stand."""
    *hidden, last = weights
    for layer, w0 in zip(hidden, W0, strict=True):
        x = jnp.sin(w0 * (x @ layer.kernel) + layer.bias[None, :])
    return x @ last.kernel + last.bias[None, :]


def dense(activation: str) -> Case:
    return Case(
        lambda widths: symmetry.mlp(widths, activation),
        lambda weights, x: networks.mlp_apply(weights, x, activation=activation),
    )


CASES = {
    "siren": Case(lambda widths: symmetry.siren(widths, W0), lambda w, x: networks.siren_apply(w, x, w0=W0)),
    "kernel siren": Case(lambda widths: symmetry.siren(widths, W0, "kernel"), kernel_siren),
    "tanh": dense("tanh"),
    "relu": dense("relu"),
    "leaky_relu": dense("leaky_relu"),
}


def cnn_symmetry(widths: tuple[int, ...]) -> Symmetry:
    inputs, *hidden, outputs = widths
    names = ["color", *(f"c{i}" for i in range(len(hidden)))]
    layers = [
        Layer(Axes("row", "column", a if a == "color" else f"{a}*", b), Axes(b, bias=True)) for a, b in pairwise(names)
    ]
    return symmetry_of(
        (*layers, Layer(Axes(f"{names[-1]}*", "out"), Axes("out", bias=True))),
        {
            "row": Fixed(3),
            "column": Fixed(3),
            "color": Fixed(inputs, "input"),
            **{name: Group(n) for name, n in zip(names[1:], hidden, strict=True)},
            "out": Fixed(outputs, "output"),
        },
    )


def cnn_apply(weights, x: jax.Array) -> jax.Array:
    """Two convolutions of 3 x 3 with ReLU and a dense last layer at every pixel; the points are a square image."""
    *hidden, last = weights
    side = math.isqrt(len(x))
    y = x.reshape(1, side, side, -1)
    for layer in hidden:
        y = jax.lax.conv_general_dilated(y, layer.kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
        y = jax.nn.relu(y + layer.bias[None, None, None, :])
    return y.reshape(len(x), -1) @ last.kernel + last.bias[None, :]


CNN = Case(cnn_symmetry, cnn_apply)
"""A small convolutional network. Its inputs are colors, which no shift moves exactly."""


def dense_axes(inputs, outputs: str) -> dict:
    return {"kernel": Axes(inputs, outputs), "bias": Axes(outputs, bias=True)}


class Normed(nn.Module):
    """A Flax network with batch statistics."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = nn.BatchNorm(use_running_average=True)(nn.Dense(4)(x))
        return nn.Dense(2)(jnp.tanh(x))


def normed_spec(*actions) -> Symmetry:
    """Its Symmetry; only permutations are right."""
    vector = Axes("h")
    tree = {
        "batch_stats": {"BatchNorm_0": {"mean": vector, "var": vector}},
        "params": {
            "Dense_0": dense_axes("in", "h"),
            "BatchNorm_0": {"scale": vector, "bias": Axes("h", bias=True)},
            "Dense_1": dense_axes("h*", "out"),
        },
    }
    return symmetry_of(
        tree, {"in": Fixed(3, "input"), "h": Group(4, "tanh", actions=actions), "out": Fixed(2, "output")}
    )


def random_weights(key: jax.Array, spec: Symmetry, dtype: Any = np.float32):
    """NumPy weights of a Symmetry with every entry drawn, biases too: zero biases hide mistakes."""
    draw = np.asarray(jax.random.normal(key, (512,)))  # of one shape always, so that it compiles once
    ends = np.cumsum([np.prod(shape, dtype=int) for shape in spec.shapes])
    parts = np.split(0.5 * draw[: ends[-1]], ends[:-1])
    return spec.unflatten([p.reshape(shape).astype(dtype) for p, shape in zip(parts, spec.shapes, strict=True)])


def points(key: jax.Array, inputs: int, dtype: Any = np.float32) -> jax.Array:
    draw = np.asarray(jax.random.uniform(key, (16, 3), minval=-1.0, maxval=1.0))
    return jnp.asarray(draw[:, :inputs], dtype)


@jax.jit
def compiled(transform: Callable[[jax.Array, Any], Any], key: jax.Array, argument: Any) -> Any:
    """One program for each kind of transform and argument, whatever its settings: tests share it."""
    return transform(key, argument)


def change(found: Any, expected: Any) -> float:
    """The largest difference, as a fraction of the expected values' root mean square."""
    a, b = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    return float(np.abs(a - b).max() / max(np.sqrt(np.mean(b**2)), 1e-30))


def assert_identical(found: Any, expected: Any) -> None:
    """The same structure, shapes, dtypes and bits."""
    chex.assert_trees_all_equal_structs(found, expected)
    chex.assert_trees_all_equal_shapes_and_dtypes(found, expected)
    chex.assert_trees_all_equal(found, expected)


def touched(found: Any, expected: Any) -> set[str]:
    """The paths of the leaves that differ."""
    pairs = zip(jax.tree_util.tree_leaves_with_path(found), jax.tree.leaves(expected), strict=True)
    return {jax.tree_util.keystr(path) for (path, a), b in pairs if not np.array_equal(a, b)}
