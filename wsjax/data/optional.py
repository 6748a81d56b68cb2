"""Packages that only some formats need."""

import importlib
from typing import Any

EXTRAS = {"torch": "torch", "safetensors": "formats", "h5py": "formats", "trimesh": "formats"}


def require(module: str, what: str) -> Any:
    """A module of an optional package; the ImportError names the extra that brings it."""
    try:
        return importlib.import_module(module)
    except ImportError:
        package = module.partition(".")[0]
        raise ImportError(
            f"{what} needs {package}, which is not installed; install it with: pip install 'wsjax[{EXTRAS[package]}]'"
        ) from None
