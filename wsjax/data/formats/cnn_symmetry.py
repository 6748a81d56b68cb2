"""The Symmetry of a plain convolutional network: convolutions, then dense layers, a tuple of `Layer`."""

from collections.abc import Collection, Sequence
from itertools import pairwise

from wsjax.errors import DataError
from wsjax.symmetry import Axes, Fixed, Group, Symmetry, symmetry_of
from wsjax.symmetry.group import Action, actions_of
from wsjax.typing import Layer

MIXED = "mixed"
"""Stands for several activations in one data set: permutations alone preserve all of them."""

TORCH_ACTIVATIONS = {"leakyrelu": "leaky_relu"}
"""Others' names of activations that differ from ours."""


def cnn_symmetry(
    shapes: Sequence[tuple[int, ...]], activation: str, *, pooled: Collection[int] = (), where: str = "the network"
) -> Symmetry:
    """Permutations of channels and neurons, with the signs or scales that the activation allows.

    Channels are `c1`, `c2`, ..., neurons of dense layers `h1`, ...; the first dense layer reads channels averaged over
    the image, or the flattened image, pixels outside and channels inside, as `x.reshape(len(x), -1)` of (rows,
    columns, channels) gives it. Max-pooling before an odd activation is not odd: such channels keep no sign.

    Args:
        shapes: of the kernels, HWIO for convolutions and (in, out) for dense layers, from input to output.
        activation: at every hidden layer; `MIXED` where networks differ.
        pooled: numbers of the convolutions that max-pooling follows, from 0.
        where: what the shapes are of, for messages.

    Raises:
        DataError: shapes that do not fit one another.

    Example:
        >>> cnn_symmetry([(3, 3, 1, 4), (3, 3, 4, 5), (5, 10)], "relu")
        Symmetry(c1: 4 relu (permute/rescale), c2: 5 relu (permute/rescale))
    """
    convolutions = [shape for shape in shapes if len(shape) == 4]
    depth = len(convolutions)
    ranks = [len(shape) for shape in shapes]
    if ranks != [4] * depth + [2] * (len(shapes) - depth) or not 0 < depth < len(shapes):
        raise DataError(f"{where} has kernels of shapes {list(shapes)}; expected convolutions, then dense layers")
    for i, (before, after) in enumerate(pairwise(shapes)):
        if after[-2] % before[-1] or (after[-2] != before[-1] and i + 1 != depth):
            raise DataError(f"{where}: kernel {i + 1} of shape {after} does not take what {before} gives")
    names = [f"c{i + 1}" if i < depth else f"h{i + 1 - depth}" for i in range(len(shapes) - 1)]
    pixels = shapes[depth][0] // shapes[depth - 1][-1]
    consumed: list = ["in", *(f"{name}*" for name in names)]
    dimensions: dict[str, Group | Fixed] = {"in": Fixed(shapes[0][2], "input")}
    if pixels > 1:
        consumed[depth] = ("pixel", consumed[depth])
        dimensions["pixel"] = Fixed(pixels)
    layers = []
    for i, (shape, reads, makes) in enumerate(zip(shapes, consumed, [*names, "out"], strict=True)):
        window = (f"row{i + 1}", f"column{i + 1}") if len(shape) == 4 else ()
        dimensions |= {name: Fixed(size) for name, size in zip(window, shape, strict=False)}
        layers.append(Layer(Axes(*window, reads, makes), Axes(makes, bias=True)))
    for i, name in enumerate(names):
        allowed: tuple[Action, ...] = tuple(a for a in actions_of(activation) if not (i in pooled and a == "sign"))
        dimensions[name] = Group(shapes[i][-1], activation, actions=allowed)
    return symmetry_of(tuple(layers), {**dimensions, "out": Fixed(shapes[-1][-1], "output")})


def our_activation(name: str) -> str:
    """Our name of an activation."""
    return TORCH_ACTIVATIONS.get(name, name)
