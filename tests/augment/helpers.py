"""What several tests of augmentations share."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

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
