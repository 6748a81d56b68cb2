"""Small Symmetries of every kind that a reader must take: chains, convolutions, recurrence, concatenation."""

from dataclasses import replace

import equinox as eqx
import jax
import numpy as np

from tests.helpers import dense_axes
from wsjax.models.layers.feature_layout import features, lift
from wsjax.models.testing.precise import generator
from wsjax.symmetry import Axes, Fixed, Group, Sum, Symmetry, mlp, siren, symmetry_of

IN, OUT = Fixed(2, "input"), Fixed(2, "output")

CONVOLUTION = symmetry_of(
    {
        "conv": {"kernel": Axes("row", "column", "in", "c"), "bias": Axes("c", bias=True)},
        "dense": dense_axes(("pixel", "c*"), "out"),
    },
    {"row": Fixed(2), "column": Fixed(2), "in": Fixed(1, "input"), "c": Group(3), "pixel": Fixed(2), "out": OUT},
)
RECURRENT = symmetry_of(
    {"in": Axes("in", "h"), "step": dense_axes("h*", "h"), "out": dense_axes("h*", "out")},
    {"in": IN, "h": Group(4, "tanh"), "out": Fixed(1, "output")},
)
"""The state's kernel carries its group on both axes. With four neurons all 15 of its maps to itself are independent."""

JOINED_RECURRENT = symmetry_of(
    {"step": dense_axes(Sum("in", "h*"), "h"), "out": dense_axes("h*", "out")},
    {"in": IN, "h": Group(4, "tanh"), "out": Fixed(1, "output")},
)
"""One kernel for the concatenated input and state."""

SKIP = symmetry_of(
    [dense_axes("in", "h1"), dense_axes(Sum("in", "h1*"), "h2"), dense_axes("h2*", "out")],
    {"in": IN, "h1": Group(3, "tanh"), "h2": Group(2, "tanh"), "out": Fixed(1, "output")},
)
"""A skip connection that concatenates."""

NESTED = symmetry_of(
    {
        "a": dense_axes("in", "g"),
        "b": dense_axes("g*", "h"),
        "c": {"kernel": Axes(("pixel", Sum("h*", "in", "g*")), "out"), "bias": Axes("out", bias=True)},
    },
    {"in": IN, "g": Group(2, "tanh"), "h": Group(3, "tanh"), "pixel": Fixed(2), "out": OUT},
)
"""Channels concatenated and then flattened: a product of a sum."""

THREE_AXES = symmetry_of(
    {"k": Axes("g*", "h*", "h"), "b": Axes("h", bias=True), "c": Axes("g", bias=True)},
    {"g": Group(2, "tanh"), "h": Group(3, "tanh")},
)
PERMUTED = Group(2, "linear", actions=("permute",))
HEADS = symmetry_of(
    {
        "made": Axes("in", ("head", "key")),
        "bias": Axes("head", "key", bias=True),
        "mix": Axes("head*", "key*", "head", "key"),
        "gate": Axes("head"),
        "read": Axes("key*", "head*", "out"),
    },
    {"in": Fixed(1, "input"), "head": PERMUTED, "key": Group(2, "tanh", within="head"), "out": Fixed(1, "output")},
)
"""Neurons within heads, and one kernel from all heads to all."""

LAYERS = symmetry_of(
    {
        "first": Axes("in", "s"),
        "up": Axes("layer", "s*", "h"),
        "bias": Axes(("layer", "h"), bias=True),
        "down": Axes("layer", "h*", "s"),
        "gain": Axes("layer", "s"),
        "last": Axes("s*", "out"),
    },
    {
        "in": Fixed(1, "input"),
        "layer": Fixed(2),
        "s": PERMUTED,
        "h": Group(2, "tanh", within="layer"),
        "out": Fixed(1, "output"),
    },
)
"""Stacked layers, whose hidden neurons are within a fixed axis."""

STACKED_HEADS = symmetry_of(
    {
        "value": Axes("layer", "in", ("head", "value")),
        "slope": Axes("layer", "head"),
        "out": Axes("layer", ("head*", "value*"), "out"),
    },
    {
        "in": Fixed(1, "input"),
        "layer": Fixed(2),
        "head": replace(PERMUTED, within="layer"),
        "value": Group(2, "tanh", within="head"),
        "out": Fixed(1, "output"),
    },
)
ADAPTED = symmetry_of(
    {
        "first": dense_axes("in", "s"),
        "up": {"kernel": Axes("layer", "s*", "h"), "bias": Axes("layer", "h", bias=True)},
        "down": Axes("layer", "h*", "s"),
        "a": Axes("layer", "s*", "rank"),
        "b": Axes("layer", "rank*", "s"),
        "last": dense_axes("s*", "out"),
    },
    {
        "in": IN,
        "layer": Fixed(2),
        "s": Group(3, "linear", actions=("permute",)),
        "h": Group(3, "sine", 5.0, within="layer"),
        "rank": Group(2, "linear", actions=("linear",), within="layer"),
        "out": OUT,
    },
)
"""Stacked layers of sines, each beside a pair of low rank on which matrices act."""

WITHIN = {"heads": HEADS, "layers": LAYERS, "stacked heads": STACKED_HEADS}
SPECS = {
    "three layers": siren((2, 3, 2, 2)),
    "two layers": mlp((2, 3, 2)),
    "four layers": mlp((1, 2, 3, 2, 2)),
    "convolution": CONVOLUTION,
    "recurrent": RECURRENT,
    "joined recurrent": JOINED_RECURRENT,
    "skip": SKIP,
    "nested": NESTED,
    "three axes": THREE_AXES,
    **WITHIN,
}


def lifted(symmetry: Symmetry, weights) -> list[jax.Array]:
    return lift(symmetry.leaves(weights), features(symmetry))


def ones(symmetry: Symmetry, channels: int = 1) -> list[np.ndarray]:
    """Of the shapes of what a layer takes."""
    return [np.ones((*f.sizes, channels * f.fixed)) for f in features(symmetry)]


def random_weights(key: jax.Array, symmetry: Symmetry):
    """In float64 where it is enabled; drawn by NumPy, which compiles nothing."""
    rng = generator(key)
    return symmetry.unflatten([jax.device_put(rng.normal(size=shape)) for shape in symmetry.shapes])


def stacked_weights(key: jax.Array, symmetry: Symmetry, count: int):
    """So many networks side by side."""
    rng = generator(key)
    return symmetry.unflatten([jax.device_put(rng.normal(size=(count, *shape))) for shape in symmetry.shapes])


def double(tree):
    """Floating-point arrays in float64, integers in int64, all else as it is."""
    wide = lambda x: jax.device_put(
        np.asarray(x).astype(np.float64 if np.issubdtype(x.dtype, np.floating) else np.int64)
    )
    return jax.tree.map(lambda x: wide(x) if eqx.is_array(x) else x, tree)
