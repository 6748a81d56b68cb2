"""A directory of state dicts of one dense architecture, from anywhere or as `write_state_dicts` left it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from wsjax.data.dataset import WeightDataset
from wsjax.data.formats.contents import Contents, read_contents
from wsjax.data.formats.dense import layers_of
from wsjax.data.formats.gather import SPLIT_NAMES, finish, gather
from wsjax.data.formats.paths import find_files, inside, read_json_file
from wsjax.data.metadata import Metadata
from wsjax.errors import DataError, listing
from wsjax.networks import Network
from wsjax.typing import Layer

FILES = r"\.(safetensors|npz|pt|pth)$"
CONTENTS = "networks.json"
"""Beside the files of an export: their names, labels, columns and metadata."""


def read_state_dicts(
    directory: str | Path,
    network: Network | Metadata | None = None,
    *,
    labels: Mapping[str, float] | None = None,
    key: str | None = None,
    layers: Sequence[str] | None = None,
    leave_out: Sequence[str] = (),
    progress: bool = True,
) -> WeightDataset:
    """Every `.safetensors`, `.npz`, `.pt` and `.pth` under a directory, one network each, weights (out, in).

    A directory that `write_state_dicts` made is read back whole and bit-equal. In any other the split is that of the
    outermost folder's name (`train`, `val`, `test`, ...); without such folders all networks are for training.

    Args:
        directory: the files, in folders of any depth.
        network: the architecture, or metadata with all that is known; None for a directory that wsjax wrote.
        labels: each file's label by its path in the directory, integers for classes; None takes the entry "label"
            inside the files.
        key: where the state dict stands in checkpoints that hold more, `"model"` for example.
        layers: names without `.weight`, from input to output; None takes the one number in each name.
        leave_out: files to leave out, by their path in the directory.
        progress: show a bar.

    Raises:
        ValueError: no network where no finished export is.
        DataError: a file of another architecture, without a label, or not safe to read; each is named.

    Example:
        >>> import pathlib, tempfile
        >>> directory = pathlib.Path(tempfile.mkdtemp())
        >>> hidden, last = {"0.weight": np.ones((4, 2)), "0.bias": np.ones(4)}, {"2.weight": np.ones((1, 4))}
        >>> np.savez(directory / "a.npz", label=1, **hidden, **last, **{"2.bias": np.ones(1)})
        >>> read_state_dicts(directory, Network("mlp", (2, 4, 1), activation="relu"), progress=False)
        WeightDataset('state-dicts', 1 networks: 1 train, 0 validation, 0 test)
    """
    files = find_files(directory, FILES, leave_out)
    written = Path(directory) / CONTENTS
    if network is None:
        if not written.is_file():
            raise ValueError(
                f"{directory} has no {CONTENTS}, which an export writes last: of an export that was stopped remove the "
                f"directory and export again; of files from elsewhere pass the network"
            )
        return _read_back(inside(written, Path(directory)), files, progress)
    metadata = network if isinstance(network, Metadata) else Metadata("state-dicts", network, network.symmetry)

    def read(path: Path) -> tuple[tuple[Layer, ...], dict[str, Any]]:
        contents = read_contents(path, key=key)
        return layers_of(contents, str(path), layers), contents.extras

    weights, extras = gather(files, read, metadata.symmetry, name=metadata.name, progress=progress)
    label = np.array([_label(name, extra, labels) for name, extra in zip(files, extras, strict=True)])
    integers = np.issubdtype(label.dtype, np.integer)
    classes = metadata.classes or (tuple(map(str, range(int(label.max()) + 1))) if integers else ())
    source = {**metadata.source, "format": "state-dicts", "left_out": [*leave_out]}
    described = replace(
        metadata, label="class" if integers else "target", classes=classes if integers else (), source=source
    )
    rows = np.arange(len(files))
    return finish(described, weights, label, {"image": rows, "view": 0 * rows, "split": _splits(files)})


def _label(name: str, extras: Mapping[str, Any], labels: Mapping[str, float] | None) -> float:
    given = extras.get("label") if labels is None else labels.get(name)
    array = np.asarray(given)
    if given is None or array.size != 1 or array.dtype.kind not in "iuf":
        way = "labels={'path': label}, or store a number 'label' in each file"
        raise DataError(f"{name} has the label {given!r}; expected one number: pass {way}")
    return array.item()


def _splits(files: Mapping[str, Path]) -> list[int]:
    folders = {name: PurePosixPath(name).parts[0] for name in files}
    outside = [name for name, folder in folders.items() if folder not in SPLIT_NAMES]
    if len(outside) == len(files):
        return [0] * len(files)
    if outside:
        raise DataError(f"{outside[0]} is in none of the folders {listing(SPLIT_NAMES)}; other files are: move it")
    return [SPLIT_NAMES[folder] for folder in folders.values()]


def _read_back(written: Path, files: Mapping[str, Path], progress: bool) -> WeightDataset:
    content = read_json_file(written)
    try:
        names, metadata = content["files"], Metadata.from_json(content["metadata"])
        columns = {name: np.array(c["values"], np.dtype(c["dtype"])) for name, c in content["columns"].items()}
        label = np.array(content["label"], np.int32 if metadata.label == "class" else np.float32)
        differing = sorted(set(names) ^ set(files))
    except DataError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise DataError(f"{written} is not as wsjax writes it ({error!r}): export the set again") from None
    if differing or len(names) != len(label):
        raise DataError(f"{written} and the files beside it differ in {listing(differing[:5])}: export the set again")

    def read(path: Path) -> tuple[tuple[Layer, ...], None]:
        contents: Contents = read_contents(path)
        return layers_of(contents, str(path)), None

    ordered = {name: files[name] for name in names}
    weights, _ = gather(ordered, read, metadata.symmetry, name=metadata.name, progress=progress)
    return WeightDataset(weights, label, columns, metadata)
