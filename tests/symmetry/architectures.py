"""Networks that are no chain of dense layers, for tests of what works with any Symmetry."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from tests.helpers import dense_axes
from wsjax.symmetry import Axes, Fixed, Group, Symmetry, symmetry_of


class Residual(nn.Module):
    """Convolutions with a residual connection, which ties the axes of the stem and of the block's end."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = nn.tanh(nn.Conv(5, (3, 3), name="stem")(x))
        y = nn.tanh(nn.Conv(4, (3, 3), name="inner")(x))
        x = x + nn.Conv(5, (3, 3), name="outer")(y)
        return nn.Dense(3, name="head")(x.mean(axis=(1, 2)))


def conv_axes(inputs: str, outputs: str) -> dict:
    return {"kernel": Axes("row", "column", inputs, outputs), "bias": Axes(outputs, bias=True)}


RESIDUAL = symmetry_of(
    {
        "params": {
            "stem": conv_axes("color", "c"),
            "inner": conv_axes("c*", "d"),
            "outer": conv_axes("d*", "c"),
            "head": dense_axes("c*", "out"),
        }
    },
    {
        "row": Fixed(3),
        "column": Fixed(3),
        "color": Fixed(1, "input"),
        "c": Group(5, "tanh"),
        "d": Group(4, "tanh"),
        "out": Fixed(3, "output"),
    },
)


def tied() -> Symmetry:
    """A recurrent kernel: one group on both of its axes."""
    return symmetry_of(
        [dense_axes("in", "h"), {"kernel": Axes("h*", "h")}, dense_axes("h*", "out")],
        {"in": Fixed(2, "input"), "h": Group(8, "tanh"), "out": Fixed(1, "output")},
    )


NORMED = symmetry_of(
    [{"kernel": Axes("in", "h~")}, {"bias": Axes("h", bias=True), "scale": Axes("h")}, dense_axes("h*", "out")],
    {"in": Fixed(2, "input"), "h": Group(6, "tanh"), "out": Fixed(2, "output")},
)
"""A layer norm, which divides out what the kernel before it is multiplied by."""


def normed(weights: Any, x: jax.Array) -> jax.Array:
    h = x @ weights[0]["kernel"]
    h = (h - h.mean(axis=1, keepdims=True)) / h.std(axis=1, keepdims=True)
    h = jnp.tanh(h * weights[1]["scale"][None, :] + weights[1]["bias"][None, :])
    return h @ weights[2]["kernel"] + weights[2]["bias"][None, :]
