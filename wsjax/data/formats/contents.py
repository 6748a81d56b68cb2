"""`Contents`: the arrays of one foreign file, and what else lay beside them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from wsjax.data.formats.archive import check_size, read_npz
from wsjax.data.formats.torch_file import load_torch
from wsjax.data.optional import require
from wsjax.errors import DataError, listing, writing

PARAMETERS = ("weight", "bias")
WAY_OUT = "Remove it, or put a whole copy in its place."


class Contents(NamedTuple):
    """One file: `arrays`, its weights and biases by name, and `extras`, all that is stored beside them."""

    arrays: dict[str, np.ndarray]
    extras: dict[str, Any]


def read_contents(path: str | Path, *, key: str | None = None) -> Contents:
    """The arrays of a PyTorch file, a `.safetensors` or an `.npz`, read without running anything that it holds.

    Names that end in `weight` or `bias` are arrays; everything else, a number "label" inside a state dict for example,
    is handed back separately.

    Args:
        path: the file; any suffix but `.safetensors` and `.npz` is read as PyTorch's.
        key: where the state dict stands in a checkpoint that holds more, `"model"` for example.

    Raises:
        DataError: a file that is missing, damaged, larger than `archive.MAX_BYTES`, or that holds objects other than
            arrays; its name and what was found are in the message.
        ImportError: PyTorch or safetensors are needed and not installed; the extra is named.

    Example:
        >>> import pathlib, tempfile
        >>> file = pathlib.Path(tempfile.mkdtemp(), "net.npz")
        >>> np.savez(file, **{"fc.weight": np.ones((3, 2)), "label": 7})
        >>> contents = read_contents(file)
        >>> contents.arrays["fc.weight"].shape, int(contents.extras["label"])
        ((3, 2), 7)
    """
    path = Path(path)
    check_size(path)
    if path.suffix == ".safetensors":
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
        is_parameter = isinstance(value, np.ndarray) and str(name).rpartition(".")[2] in PARAMETERS
        (arrays if is_parameter else extras)[str(name)] = value
    return Contents(arrays, extras)


def read_safetensors(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a safetensors file. Raises DataError for a damaged one, ImportError without the package."""
    safetensors = require("safetensors", str(path))
    try:
        return require("safetensors.numpy", str(path)).load_file(path)
    except (safetensors.SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is no whole safetensors file ({error}). {WAY_OUT}") from None


def write_file(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Arrays by name in a new file of the kind that its suffix says: `.npz`, `.safetensors`, or PyTorch's.

    Raises:
        OSError: naming the file.
        ImportError: the package that writes this kind is not installed.
    """
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            if path.suffix == ".npz":
                np.savez(file, allow_pickle=False, **arrays)
            elif path.suffix != ".safetensors":
                torch = require("torch", str(path))
                torch.save({name: torch.from_numpy(array) for name, array in arrays.items()}, file)
    if path.suffix == ".safetensors":
        require("safetensors.numpy", str(path)).save_file(arrays, path)
