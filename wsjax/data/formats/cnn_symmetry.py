"""The Symmetry of convolutional networks, a tuple of `Layer`: plain, or with layers that add earlier outputs."""

from collections.abc import Collection, Sequence
from itertools import pairwise

from wsjax.errors import DataError
from wsjax.symmetry import Axes, Fixed, Group, Sum, Symmetry, symmetry_of
from wsjax.symmetry.axes import Entry
from wsjax.symmetry.group import Action, actions_of
from wsjax.typing import Layer

MIXED = "mixed"
"""Stands for several activations in one data set: permutations alone preserve all of them."""


def cnn_symmetry(
    shapes: Sequence[tuple[int, ...]], activation: str, *, pooled: Collection[int] = (), where: str = "the network"
) -> Symmetry:
    """Of convolutions (HWIO, channels `c1`, `c2`, ...), then dense layers (neurons `h1`, ...) with one activation.

    The first dense layer reads channels averaged over the image, or the flattened image: pixels outside, channels
    inside. Convolutions in `pooled`, counted from 0, precede max-pooling, under which an odd activation keeps no sign.
    """
    depth = sum(len(shape) == 4 for shape in shapes)
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
    allowed = actions_of(activation)
    unsigned: tuple[Action, ...] = tuple(action for action in allowed if action not in ("sign", "phase"))
    for i, name in enumerate(names):
        dimensions[name] = Group(shapes[i][-1], activation, actions=unsigned if i in pooled else allowed)
    return symmetry_of(tuple(layers), {**dimensions, "out": Fixed(shapes[-1][-1], "output")})


def residual_symmetry(
    channels: Sequence[int], windows: Sequence[int], residual: Sequence[int], activations: Sequence[str], outputs: int
) -> Symmetry:
    """Of convolutions where layer i adds the output of layer `residual[i]` (-1: none) to its own first channels.

    Both have as many of those, which move as one, so a layer's axis may be a `Sum` of groups, each named by its layers
    from 1: `c1_3` are channels of layers 1 and 3. A bias over a `Sum` is not marked as one, which matters to phases
    alone, and no activation here has them. A dense layer reads the mean over the image.
    """
    sizes: dict[tuple[int, ...], int] = {}
    parts: list[list[tuple[int, ...]]] = [[] for _ in residual]
    for channel in range(max(channels[1:])):
        for layers in _tied(channel, channels[1:], residual):
            sizes[layers] = sizes.get(layers, 0) + 1
            for layer in layers:
                if layers not in parts[layer]:
                    parts[layer].append(layers)
    dimensions: dict[str, Group | Fixed] = {"in": Fixed(channels[0], "input")}
    for layers, size in sizes.items():
        dimensions[_name(layers)] = _group(size, [activations[layer] for layer in layers])
    tree, reads = [], "in"
    for i, (window, groups) in enumerate(zip(windows, parts, strict=True)):
        makes = _entry([_name(layers) for layers in groups])
        dimensions |= {f"row{i + 1}": Fixed(window), f"column{i + 1}": Fixed(window)}
        tree.append(Layer(Axes(f"row{i + 1}", f"column{i + 1}", reads, makes), Axes(makes, bias=len(groups) == 1)))
        reads = _entry([f"{_name(layers)}*" for layers in groups])
    tree.append(Layer(Axes(reads, "out"), Axes("out", bias=True)))
    return symmetry_of(tuple(tree), {**dimensions, "out": Fixed(outputs, "output")})


def _tied(channel: int, sizes: Sequence[int], residual: Sequence[int]) -> list[tuple[int, ...]]:
    """The layers that have a channel of this number, in groups of those that share it through additions."""
    root = {layer: layer for layer, size in enumerate(sizes) if size > channel}
    for layer, source in enumerate(residual):
        if source >= 0 and layer in root and source in root:
            old, new = root[layer], root[source]
            root = {name: new if first == old else first for name, first in root.items()}
    return [tuple(sorted(name for name in root if root[name] == first)) for first in dict.fromkeys(root.values())]


def _group(size: int, activations: Sequence[str]) -> Group:
    allowed = [actions_of(activation) for activation in activations]
    common: tuple[Action, ...] = tuple(action for action in allowed[0] if all(action in other for other in allowed))
    name = activations[0] if len(common) > 1 or len(set(activations)) == 1 else MIXED
    return Group(size, name, actions=common)


def _name(layers: Sequence[int]) -> str:
    return "c" + "_".join(str(layer + 1) for layer in layers)


def _entry(names: Sequence[str]) -> Entry:
    return names[0] if len(names) == 1 else Sum(*names)
