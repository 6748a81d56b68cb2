"""One file of one network, `.pth`, `.safetensors` or `.npz`: its arrays, and the dense or convolutional layers in it.

PyTorch's weights are (out, in) and OIHW, our kernels (in, out) and HWIO.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from wsjax.data.formats.archive import check_size, damaged, read_npz
from wsjax.data.formats.torch_file import as_tensor, load_torch
from wsjax.data.optional import require
from wsjax.errors import DataError, check_several, listing, writing
from wsjax.typing import Layer

EXTRAS = ("label", "coef", "x", "y")
"""What public sets store inside a state dict beside the weights."""


class Contents(NamedTuple):
    """The arrays of a file whose names end in `weight` or `bias`, and `extras`, all that is stored beside them."""

    arrays: dict[str, np.ndarray]
    extras: dict[str, Any]


def read_contents(path: Path, *, key: str | None = None) -> Contents:
    """The arrays of a file, read without running anything that it holds; any other suffix is read as PyTorch's.

    `key` is where the state dict stands in a checkpoint that holds more, `"model"` for example.
    """
    if path.suffix == ".safetensors":
        check_size(path)
        found: Mapping[str, Any] = read_safetensors(path)
    else:
        found = read_npz(path) if path.suffix == ".npz" else load_torch(path)
    if key is not None:
        inner = found.get(key)
        if not isinstance(inner, Mapping):
            raise DataError(f"{path} holds {listing(map(repr, found))}; expected a state dict under {key!r}")
        found = inner
    arrays, extras = {}, {}
    for name, value in found.items():
        is_parameter = isinstance(value, np.ndarray) and str(name).rpartition(".")[2] in ("weight", "bias")
        (arrays if is_parameter else extras)[str(name)] = value
    return Contents(arrays, extras)


def read_safetensors(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a safetensors file of any size."""
    safetensors = require("safetensors", str(path))
    try:
        return require("safetensors.numpy", str(path)).load_file(path)
    except (safetensors.SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise damaged(path, "safetensors file", error) from None


def write_file(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Arrays by name in a new file of the kind that its suffix says; raises OSError naming it."""
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            if path.suffix == ".npz":
                np.savez(file, allow_pickle=False, **arrays)
            elif path.suffix != ".safetensors":
                torch = require("torch", str(path))
                torch.save({name: as_tensor(torch, array) for name, array in arrays.items()}, file)
    if path.suffix == ".safetensors":
        require("safetensors.numpy", str(path)).save_file(arrays, path)


def read_layers(
    path: Path, *, key: str | None = None, layers: Sequence[str] | None = None
) -> tuple[tuple[Layer, ...], dict[str, Any]]:
    """A file's layers, and what it holds beside them."""
    contents = read_contents(path, key=key)
    return layers_of(contents, str(path), layers), contents.extras


def layers_of(contents: Contents, where: str, layers: Sequence[str] | None = None) -> tuple[Layer, ...]:
    """The layers of a state dict, from input to output.

    Their order is that of `layers`, names without `.weight`, or of the one number in each name; never the file's.
    """
    check_several("layers", layers)
    unknown = [name for name in contents.extras if name not in EXTRAS]
    if unknown:
        raise DataError(
            f"{where} holds {listing(unknown[:5])}; expected weights and biases alone: it is another network, or its "
            f"state dict stands under a key of its own"
        )
    prefixes = list(dict.fromkeys(name.rpartition(".")[0] for name in contents.arrays))
    if layers is None:
        numbers = {prefix: [int(number) for number in re.findall(r"\d+", prefix)] for prefix in prefixes}
        if any(len(found) != 1 for found in numbers.values()) or len(set(map(tuple, numbers.values()))) < len(prefixes):
            raise DataError(
                f"{where} has layers {listing(map(repr, prefixes))}; expected one number in each name, or their order: "
                f"pass layers=[...] from input to output"
            )
        layers = sorted(prefixes, key=lambda prefix: numbers[prefix])
    if set(layers) != set(prefixes):
        raise DataError(f"{where} has layers {listing(prefixes)}; expected {listing(layers)}")
    return tuple(_layer(contents.arrays, prefix, where) for prefix in layers)


def kernel_from_torch(weight: np.ndarray) -> np.ndarray:
    """A PyTorch weight as a kernel: (out, in) to (in, out), OIHW to HWIO."""
    return np.ascontiguousarray(np.moveaxis(weight, (0, 1), (-1, -2)))


def weight_from_kernel(kernel: np.ndarray) -> np.ndarray:
    """The inverse of `kernel_from_torch`."""
    return np.ascontiguousarray(np.moveaxis(kernel, (-1, -2), (0, 1)))


def _layer(arrays: Mapping[str, np.ndarray], prefix: str, where: str) -> Layer:
    stem = f"{prefix}." if prefix else ""
    missing = [stem + part for part in ("weight", "bias") if stem + part not in arrays]
    if missing:
        raise DataError(f"{where} lacks {listing(missing)}; expected a weight and a bias in every layer")
    weight, bias = arrays[f"{stem}weight"], arrays[f"{stem}bias"]
    if weight.ndim < 2 or bias.shape != weight.shape[:1]:
        found = f"{where}: {stem}weight has shape {weight.shape} and {stem}bias {bias.shape}"
        raise DataError(f"{found}; expected (out, ...)")
    return Layer(kernel_from_torch(weight), bias)
