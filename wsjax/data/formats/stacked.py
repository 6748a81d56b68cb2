"""A whole data set as one file of stacked arrays, which NumPy or any framework with safetensors reads."""

import json
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from wsjax.data.dataset import WeightDataset, check_numbers
from wsjax.data.formats.archive import check_npz, read_npz
from wsjax.data.formats.contents import read_safetensors, write_file
from wsjax.data.formats.paths import check_new
from wsjax.data.metadata import Metadata
from wsjax.data.store.save_load import COLUMN, as_arrays, from_arrays
from wsjax.errors import DataError, check_choice, listing

FILES = {"safetensors": "networks.safetensors", "npz": "networks.npz"}
METADATA = "metadata.json"
"""The array of bytes that holds the metadata."""


def write_arrays(dataset: WeightDataset, directory: str | Path, *, kind: str = "safetensors") -> None:
    """All networks in one file: an array for each leaf, by its name, with a leading axis of networks; `label`,
    `columns.split` and the other columns; and the metadata as JSON, the bytes of `metadata.json`.

    Networks of any architecture, the zoos' too; `read_arrays` reads the whole back bit-equal.

    Args:
        dataset: what to write.
        directory: a new one, for `networks.safetensors` or `networks.npz`.
        kind: `"safetensors"`, or `"npz"`, which NumPy alone reads, of at most 1 GiB and not in bfloat16.

    Raises:
        ValueError: an unknown kind, weights that an npz cannot hold, or a directory that holds something.
            ImportError: safetensors is not installed. OSError: the directory cannot be written.

    Example:
        `networks` is a data set of 40 SIRENs.

        >>> import tempfile
        >>> directory = tempfile.mkdtemp()
        >>> write_arrays(networks, directory, kind="npz")
        >>> np.load(f"{directory}/networks.npz")["weights[0].kernel"].shape
        (40, 2, 4)
    """
    check_choice("kind of file", kind, tuple(FILES))
    root = Path(directory)
    check_new(root)
    check_numbers(dataset, "writing")
    arrays = as_arrays(dataset.weights, dataset.label, dataset.columns)
    arrays[METADATA] = np.frombuffer(json.dumps(dataset.metadata.to_json()).encode(), np.uint8)
    if kind == "npz":
        check_npz(dataset.metadata.name, [*arrays.values()])
    write_file(root / FILES[kind], arrays)


def read_arrays(directory: str | Path) -> WeightDataset:
    """A data set that `write_arrays` wrote, from the directory that holds its file.

    Raises:
        DataError: no such file, a damaged one, one that wsjax did not write, or arrays that its metadata does not
            describe. ImportError: safetensors is not installed.

    Example:
        >>> read_arrays("/nowhere")
        Traceback (most recent call last):
        wsjax.errors.DataError: /nowhere holds no networks.safetensors or networks.npz; expected what write_arrays ...
    """
    path = next((path for name in FILES.values() if (path := Path(directory) / name).is_file()), None)
    if path is None:
        names = " or ".join(FILES.values())
        raise DataError(f"{directory} holds no {names}; expected what write_arrays or `wsjax convert to-arrays` wrote")
    arrays = read_npz(path) if path.suffix == ".npz" else read_safetensors(path)
    try:
        metadata = Metadata.from_json(json.loads(arrays.pop(METADATA).tobytes()))
    except (KeyError, ValueError, AttributeError, TypeError, RecursionError) as error:
        raise DataError(f"{path} has no wsjax metadata ({error!r}); expected what write_arrays wrote") from None
    columns = [name for name in arrays if name.startswith(COLUMN)]
    wrong = sorted({*metadata.symmetry.names, "label", *columns} ^ set(arrays))
    if wrong:
        raise DataError(f"{path}: metadata and arrays do not belong together: {listing(wrong)} differ; write it again")
    label = arrays["label"]
    if not label.ndim or not (jnp.issubdtype(label.dtype, jnp.number) or label.dtype == bool):
        found = f"{path}: label has shape {label.shape} and dtype {label.dtype}"
        raise DataError(f"{found}; expected a number, or several, for each network: write it again")
    try:
        return from_arrays(path, metadata, arrays)
    except DataError:
        raise
    except ValueError as error:
        raise DataError(f"{path}: metadata and arrays do not belong together: {error}") from None
