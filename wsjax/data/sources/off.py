"""OFF files: meshes as text, the counts on a line of their own or, as often in ModelNet, right behind the word OFF."""

import re
from pathlib import Path

import numpy as np
from jaxtyping import Float

from wsjax.data.optional import require
from wsjax.errors import DataError

HEADER = re.compile(rb"\s*C?OFF\s*(\d+)\s+(\d+)\b")
WAY_OUT = "put a whole copy in its place, or leave the file out"


def read_off(path: str | Path) -> Float[np.ndarray, "triangles 3 3"]:
    """The triangles of an OFF file, (triangles, 3 corners, 3) float64; faces of more corners are cut into triangles.

    Trimesh reads the text; nothing is merged, mended or left out.

    Raises:
        DataError: the file is no OFF file, is cut off, or has no triangle, a corner that is no vertex, or numbers that
            are not finite.
        ImportError: trimesh is not installed; the extra that brings it is named.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "square.off"
        >>> _ = path.write_text("OFF4 1 0\\n0 0 0\\n1 0 0\\n1 1 0\\n0 1 0\\n4 0 1 2 3\\n")
        >>> read_off(path).shape
        (2, 3, 3)
    """
    off = require("trimesh.exchange.off", str(path))
    try:
        text = Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}; {WAY_OUT}") from None
    header = HEADER.match(re.sub(rb"#[^\n]*", b"", text))
    if header is None:
        raise DataError(f"{path} begins with {text[:20]!r}; expected OFF and two counts: {WAY_OUT}")
    try:
        with Path(path).open("rb") as file:
            found = off.load_off(file)
    except (ValueError, IndexError, TypeError, OverflowError) as error:
        raise DataError(f"{path} is no whole OFF file ({error}); {WAY_OUT}") from None
    vertices, faces = np.asarray(found["vertices"], np.float64), np.asarray(found["faces"])
    stated = int(header[2])
    if len(faces) < max(stated, 1):
        raise DataError(f"{path} holds {len(faces)} triangles; expected {max(stated, 1)} or more: {WAY_OUT}")
    if faces.min() < 0 or faces.max() >= len(vertices):
        wrong = faces.min() if faces.min() < 0 else faces.max()
        raise DataError(f"{path} has a face at vertex {wrong}; expected 0 to {len(vertices) - 1}: {WAY_OUT}")
    triangles = vertices[faces]
    if not np.isfinite(triangles).all():
        raise DataError(f"{path} has vertices that are not finite; expected finite numbers: {WAY_OUT}")
    return triangles
