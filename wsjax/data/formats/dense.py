"""Dense layers between PyTorch's (out, in) names and ours: `weight` is the kernel's transpose."""

import re
from collections.abc import Mapping, Sequence

import numpy as np

from wsjax.data.formats.contents import Contents
from wsjax.errors import DataError, listing
from wsjax.typing import Layer

EXTRAS = ("label", "coef", "x", "y")
"""What public sets store inside a state dict beside the weights."""


def kernel_from_torch(weight: np.ndarray) -> np.ndarray:
    """A PyTorch weight as a kernel: (out, in) to (in, out), OIHW to HWIO.

    Example:
        >>> kernel_from_torch(np.zeros((16, 3, 5, 7))).shape
        (5, 7, 3, 16)
    """
    return np.ascontiguousarray(np.moveaxis(weight, (0, 1), (-1, -2)))


def weight_from_kernel(kernel: np.ndarray) -> np.ndarray:
    """The inverse of `kernel_from_torch`.

    Example:
        >>> weight_from_kernel(np.zeros((5, 7, 3, 16))).shape
        (16, 3, 5, 7)
    """
    return np.ascontiguousarray(np.moveaxis(kernel, (-1, -2), (0, 1)))


def layers_of(contents: Contents, where: str, layers: Sequence[str] | None = None) -> tuple[Layer, ...]:
    """The layers of a state dict, from input to output, as `Layer(kernel, bias)`.

    Their order is that of the one number in each name (`seq.0`, `net.1.linear`), or as given; never that of the file.

    Args:
        contents: what `read_contents` gave.
        where: the file, for messages.
        layers: the layers' names without `.weight`, from input to output; None reads their numbers.

    Raises:
        DataError: a layer without a weight or a bias, entries that no reader knows, or names without one number each.

    Example:
        >>> arrays = {"seq.0.weight": np.ones((3, 2)), "seq.0.bias": np.zeros(3)}
        >>> [layer.kernel.shape for layer in layers_of(Contents(arrays, {}), "net.pth")]
        [(2, 3)]
    """
    unknown = [name for name in contents.extras if name not in EXTRAS]
    if unknown:
        raise DataError(
            f"{where} holds {listing(unknown[:5])}; expected weights and biases alone: it is another network, or its "
            f"state dict stands under a key of its own"
        )
    prefixes = list(dict.fromkeys(name.rpartition(".")[0] for name in contents.arrays))
    ordered = _in_order(prefixes, where) if layers is None else list(layers)
    if set(ordered) != set(prefixes):
        raise DataError(f"{where} has layers {listing(prefixes)}; expected {listing(ordered)}")
    return tuple(_layer(contents.arrays, prefix, where) for prefix in ordered)


def _in_order(prefixes: list[str], where: str) -> list[str]:
    numbers = [re.findall(r"\d+", prefix) for prefix in prefixes]
    if any(len(found) != 1 for found in numbers) or len({found[0] for found in numbers}) != len(prefixes):
        raise DataError(
            f"{where} has layers {listing(map(repr, prefixes))}; expected one number in each name, or their order: "
            f"pass layers=[...] from input to output"
        )
    return sorted(prefixes, key=lambda prefix: int(re.findall(r"\d+", prefix)[0]))


def _layer(arrays: Mapping[str, np.ndarray], prefix: str, where: str) -> Layer:
    stem = f"{prefix}." if prefix else ""
    missing = [stem + part for part in ("weight", "bias") if stem + part not in arrays]
    if missing:
        raise DataError(f"{where} lacks {listing(missing)}; expected a weight and a bias in every layer")
    weight, bias = arrays[f"{stem}weight"], arrays[f"{stem}bias"]
    if weight.ndim < 2 or bias.shape != weight.shape[:1]:
        raise DataError(
            f"{where}: {stem}weight has shape {weight.shape} and {stem}bias {bias.shape}; expected (out, ...)"
        )
    return Layer(kernel_from_torch(weight), bias)
