"""The Symmetry of a convolutional network whose layers add earlier outputs to their first channels."""

from collections.abc import Sequence

from wsjax.data.formats.cnn_symmetry import MIXED
from wsjax.symmetry import Axes, Fixed, Group, Sum, Symmetry, symmetry_of
from wsjax.symmetry.axes import Entry
from wsjax.symmetry.group import Action, actions_of
from wsjax.typing import Layer


def residual_symmetry(
    channels: Sequence[int], windows: Sequence[int], residual: Sequence[int], activations: Sequence[str], outputs: int
) -> Symmetry:
    """Which channels may be permuted (negated, rescaled) together.

    Layer i adds the output of layer `residual[i]` to its own first channels, as many as both have, so those channels
    move as one. A layer whose channels fall into several such groups has an axis that is their concatenation, a `Sum`;
    its bias is then not marked as one, which matters to phases alone, and no activation here has them. A group is named
    by its layers from 1: `c1_3` are channels of layers 1 and 3.

    Args:
        channels: from the input on, one more than layers.
        windows: each layer's kernel size.
        residual: the layer added to each, -1 for none.
        activations: of each layer.
        outputs: of the dense layer behind the mean over the image.

    Example:
        >>> residual_symmetry((3, 4, 2, 6), (3, 3, 3), (-1, -1, 0), ("relu", "tanh", "relu"), 10).axes[6].entries
        (Sum(parts=('c1_3*', 'c3*')), 'out')
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
    common: tuple[Action, ...] = tuple(
        a for a in actions_of(activations[0]) if all(a in actions_of(b) for b in activations)
    )
    name = activations[0] if len(common) > 1 or len(set(activations)) == 1 else MIXED
    return Group(size, name, actions=common)


def _name(layers: Sequence[int]) -> str:
    return "c" + "_".join(str(layer + 1) for layer in layers)


def _entry(names: Sequence[str]) -> Entry:
    return names[0] if len(names) == 1 else Sum(*names)
