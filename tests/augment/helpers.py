"""What several tests of augmentations share."""

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from tests.helpers import W0, Case
from wsjax.augment import CATALOGUE
from wsjax.symmetry import Axes, Fixed, Group, Symmetry, mlp, symmetry_of
from wsjax.typing import Layer

NOTHING = {name: entry.identity for name, entry in CATALOGUE.items() if entry.identity}
"""Settings at which an augmentation is declared the identity, and must be, to the bit."""


def assert_uniform(found: np.ndarray, low: float, high: float) -> None:
    assert low - 1e-4 <= found.min() < low + 0.02 * (high - low)
    assert high - 0.02 * (high - low) < found.max() <= high + 1e-4
    assert stats.kstest(found, stats.uniform(low, high - low).cdf).pvalue > 1e-3


def layer(inputs: str, outputs: str) -> Layer:
    return Layer(Axes(inputs, outputs), Axes(outputs, bias=True))


def linear_layers(widths: tuple[int, ...]) -> Symmetry:
    """Dense layers without activation, on which matrices act."""
    spec = mlp(widths, "linear")
    groups = {n: replace(d, actions=("linear",)) if isinstance(d, Group) else d for n, d in spec.dimensions}
    return symmetry_of(spec.unflatten(list(spec.axes)), groups)


def skipping(outputs: int = 1) -> tuple[Symmetry, Callable[[Any, Any], jax.Array]]:
    """A layer of sines beside a linear one from inputs to outputs: two kernels read the input, two make the output."""
    sizes = {"in": Fixed(2, "input"), "h": Group(4, "sine"), "out": Fixed(outputs, "output")}
    spec = symmetry_of({"field": layer("in", "h"), "last": layer("h*", "out"), "skip": layer("in", "out")}, sizes)

    @jax.jit
    def apply(w: Any, x: Any) -> jax.Array:
        dense = lambda name, x: x @ w[name].kernel + w[name].bias[None, :]
        return dense("last", jnp.sin(dense("field", x))) + dense("skip", x)

    return spec, apply


def transformer_symmetry(widths: tuple[int, ...]) -> Symmetry:
    inputs, stream, key, outputs = widths
    permuted = functools.partial(Group, activation="linear", actions=("permute",))
    mixed = functools.partial(Group, activation="linear", actions=("linear",))
    return symmetry_of(
        {
            "embed": layer("in", "stream"),
            "query": Layer(Axes("stream*", "head", "key"), Axes("head", "key")),
            "key": Layer(Axes("stream*", "head", "key*"), Axes("head", "key*")),
            "value": Axes("stream*", ("head", "value")),
            "out": Axes(("head*", "value*"), "stream"),
            "up": Layer(Axes("block", "stream*", "h"), Axes("block", "h", bias=True)),
            "down": Axes("block", "h*", "stream"),
            "last": layer("stream*", "out"),
        },
        {
            "in": Fixed(inputs, "input"),
            "stream": permuted(stream),
            "head": permuted(2),
            "key": mixed(key, within="head"),
            "value": mixed(3, within="head"),
            "block": Fixed(2),
            "h": Group(4, "sine", W0[0], within="block"),
            "out": Fixed(outputs, "output"),
        },
    )


def transformer_apply(w: Any, x: Any) -> jax.Array:
    """Attention of all points to each other, then two dense blocks of sines, both added to what enters them."""
    stream = x @ w["embed"].kernel + w["embed"].bias[None, :]
    query, keys = (jnp.einsum("td,dhk->thk", stream, w[n].kernel) + w[n].bias[None] for n in ("query", "key"))
    attention = jax.nn.softmax(jnp.einsum("thk,shk->hts", query, keys), axis=-1)
    value = (stream @ w["value"]).reshape(len(x), 2, -1)
    stream = stream + jnp.einsum("hts,shv->thv", attention, value).reshape(len(x), -1) @ w["out"]
    for kernel, bias, down in zip(*w["up"], w["down"], strict=True):
        stream = stream + jnp.sin(W0[0] * (stream @ kernel + bias[None, :])) @ down
    return stream @ w["last"].kernel + w["last"].bias[None, :]


TRANSFORMER = Case(transformer_symmetry, transformer_apply)
"""Groups within groups and within a fixed axis, and such on which matrices act."""
