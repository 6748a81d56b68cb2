"""The record of the fitted signals in the metadata of a data set, and how they are loaded again from it."""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from wsjax.data.metadata import Metadata
from wsjax.data.sources import mnist
from wsjax.data.sources.images import Images, limit
from wsjax.data.sources.registry import SOURCES, load_source
from wsjax.data.sources.signals import Signals
from wsjax.errors import DataError, listing
from wsjax.storage.files import digest


def source_of(found: Images | Signals) -> dict[str, Any]:
    """What the metadata says of images or signals: name, count, SHA-256 of all arrays, and how to make them again."""
    if isinstance(found, Images):
        return {"name": found.name, "images": len(found.split), "sha256": content_sha256(found)}
    return {
        "name": found.name,
        "signals": len(found.split),
        "sha256": content_sha256(found),
        "quantity": found.quantity,
        "inputs": found.points.shape[-1],
        "options": dict(found.options),
    }


def content_sha256(found: Images | Signals) -> str:
    """SHA-256 of the arrays of images or signals."""
    return arrays_sha256(array for array in found if isinstance(array, np.ndarray))


def arrays_sha256(arrays: Iterable[np.ndarray]) -> str:
    """SHA-256 of the digests of arrays, in that order."""
    return hashlib.sha256(" ".join(map(digest, arrays)).encode()).hexdigest()


def find_source(metadata: Metadata, directory: str | Path | None = None) -> Images | Signals:
    """What the networks of a data set were fitted to, from `directory` or the usual places; nothing is downloaded.

    Signals that are made, not read from files, may differ in their last bits on another kind of machine, so their
    SHA-256 is not compared. Raises DataError where the source is unknown, is not here, or is another.
    """
    name, options = metadata.source.get("name"), metadata.source.get("options", {})
    if name not in SOURCES:
        raise DataError(f"the metadata's source is {name!r}, which wsjax cannot load; pass what was fitted as images=")
    reason = "no directory is named"
    for place in _places(name, directory):
        try:
            found = load_source(name, place, options)
            break
        except (ValueError, ImportError) as error:
            reason = str(error)
    else:
        raise DataError(
            f"the {name} that were fitted are not at hand ({reason}); name the directory of their files, or pass them "
            f"as images="
        )
    count = int(metadata.source.get("signals", metadata.source.get("images", 0)))
    present = len(np.unique(found.split))
    few = limit(found, count) if present <= count <= len(found.split) else found
    made = isinstance(few, Signals) and SOURCES[name].directory == "none"
    if not made and content_sha256(few) != metadata.source.get("sha256"):
        raise DataError(f"the {name} at hand are not those that were fitted; pass those as images=")
    return few


def _places(name: str, directory: str | Path | None) -> list[str | Path | None]:
    """Where a source may be loaded from without a download; None for one that needs no files."""
    if SOURCES[name].directory == "none":
        return [None]
    if directory is not None:
        return [directory]
    return list(mnist.places(name)) if name in mnist.ARCHIVES else []


def rows_of(found: Images | Signals, numbers: np.ndarray) -> np.ndarray:
    """The rows of the images or signals of some numbers, such as a data set's column `image`.

    Raises DataError for numbers that are not there.
    """
    order = np.argsort(found.index)
    place = order[np.searchsorted(found.index, numbers, sorter=order).clip(max=len(order) - 1)]
    absent = np.asarray(numbers)[found.index[place] != numbers]
    if len(absent):
        raise DataError(
            f"numbers {listing(absent[:5])} are not among the {len(order)} of {found.name}; expected what the networks "
            f"were fitted to: load that source without a limit"
        )
    return place
