"""PyTorch files, as arrays only.

`torch.save` writes a zip archive: `data.pkl` says what the objects are, `data/0`, `data/1`, ... hold the numbers.
Before PyTorch's own safe loader reads it, the archive's directory is checked, and every name that the pickle would call
is looked up in a short list, without running it: even that loader allocates what `torch.FloatTensor(10**12)` asks for.
"""

import pickletools
import warnings
import zipfile
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from wsjax.data.formats.archive import check_size, damaged, zip_members
from wsjax.data.optional import require
from wsjax.errors import DataError

MAX_PICKLE = 1 << 24
STORAGES = ("Float", "Double", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool")
CALLABLE = {
    "collections OrderedDict",
    "torch Size",
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_parameter",
    *(f"torch {kind}Storage" for kind in STORAGES),
}
UNNAMED = ("STACK_GLOBAL", "INST", "OBJ", "EXT1", "EXT2", "EXT4")
"""Opcodes that call what no GLOBAL names; torch.save does not write them."""
BEFORE_1_6 = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""How files begin that torch.save wrote before 1.6, and since then with `_use_new_zipfile_serialization=False`."""
SAVE_AGAIN = "Save it again as arrays: torch.save(model.state_dict(), path), or safetensors."


def load_torch(path: Path, *, stand_ins: Mapping[str, type] | None = None) -> dict[str, Any]:
    """The dict that a PyTorch file holds, its tensors as NumPy arrays.

    `stand_ins` are further names that the file may hold, "module name", and the inert class built in place of each.
    """
    torch, stand_ins = require("torch", str(path)), stand_ins or {}
    check_torch(path, {*CALLABLE, *stand_ins})
    allowed: Any = [(stand_in, _in_python_3(name)) for name, stand_in in stand_ins.items()]
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(allowed):
            warnings.simplefilter("ignore")
            found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # its loader raises what the file makes it raise
        reason = str(error).splitlines()[0] if str(error) else repr(error)
        raise DataError(f"{path} is no PyTorch file of arrays ({reason}). {SAVE_AGAIN}") from None
    if not isinstance(found, Mapping):
        raise DataError(f"{path} holds a {type(found).__name__}; expected a state dict. {SAVE_AGAIN}")
    return {name: _plain(torch, value, f"{path}: {name}") for name, value in found.items()}


def check_torch(path: Path, allowed: set[str]) -> None:
    """Raise DataError where a PyTorch file's directory or the names in its pickle are not those of a state dict."""
    check_size(path)
    with path.open("rb") as file:
        old = file.read(len(BEFORE_1_6)) == BEFORE_1_6
    if old:
        raise DataError(
            f"{path} is in the format of PyTorch before 1.6; expected the zip archive that torch.save writes since. "
            f"Where you trust the file, write it anew: "
            f"torch.save(torch.load(path, map_location='cpu', weights_only=True), path)"
        )
    pickles = [m for m in zip_members(path, stored=True) if m.filename.lower().rpartition("/")[2] == "data.pkl"]
    if len(pickles) != 1 or pickles[0].file_size > MAX_PICKLE:
        sizes = [m.file_size for m in pickles]
        raise DataError(f"{path} has data.pkl of {sizes} bytes; expected one of at most {MAX_PICKLE}. {SAVE_AGAIN}")
    try:
        with zipfile.ZipFile(path) as archive:
            content = archive.read(pickles[0])
        calls = [(op.name, arg) for op, arg, _ in pickletools.genops(content) if op.name in ("GLOBAL", *UNNAMED)]
    except (ValueError, IndexError, UnicodeDecodeError, zipfile.BadZipFile, EOFError, RuntimeError) as error:
        raise damaged(path, "PyTorch file", error) from None
    for opcode, name in calls:
        if opcode != "GLOBAL" or name not in allowed:
            called = str(name).replace(" ", ".") if opcode == "GLOBAL" else f"something by {opcode}"
            raise DataError(f"{path} would call {called} when loaded; expected arrays alone: refused. {SAVE_AGAIN}")


def as_tensor(torch: Any, array: np.ndarray) -> Any:
    """A copy as a tensor of the same dtype, bfloat16 too, which PyTorch does not take from NumPy."""
    is_bfloat16 = array.dtype == jnp.bfloat16
    return torch.tensor(array.view(np.int16)).view(torch.bfloat16) if is_bfloat16 else torch.tensor(array)


def _in_python_3(name: str) -> str:
    """A pickle's name as the loader looks it up: protocol 2 keeps Python 2's names of the built-in types."""
    module, _, kind = name.partition(" ")
    module, kind = NAME_MAPPING.get((module, kind), (IMPORT_MAPPING.get(module, module), kind))
    return f"{module}.{kind}"


def _plain(torch: Any, value: Any, where: str) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(torch, inner, f"{where}.{name}") for name, inner in value.items()}
    if not isinstance(value, torch.Tensor):
        return value
    if value.layout != torch.strided or value.device.type != "cpu":
        raise DataError(f"{where} is a {value.layout} tensor on {value.device}; expected a dense one. {SAVE_AGAIN}")
    stored = value.untyped_storage().nbytes()
    if value.numel() * value.element_size() > stored:
        found = f"{where} has shape {tuple(value.shape)} and only {stored} bytes of data"
        raise DataError(f"{found}; expected a number for each entry: refused. {SAVE_AGAIN}")
    tensor = value.detach().contiguous()
    if tensor.dtype == torch.bfloat16:
        return tensor.view(torch.int16).numpy().view(jnp.dtype(jnp.bfloat16))
    return np.array(tensor.numpy())
