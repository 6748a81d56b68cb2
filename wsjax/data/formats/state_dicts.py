"""A directory of state dicts of one dense architecture, from anywhere or as `write_state_dicts` makes it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import jax
import numpy as np

from wsjax.data.dataset import WeightDataset, check_numbers
from wsjax.data.formats.archive import check_npz
from wsjax.data.formats.contents import read_layers, weight_from_kernel, write_file
from wsjax.data.formats.gather import finish, gather
from wsjax.data.formats.paths import check_new, find_files, inside, read_json_file
from wsjax.data.formats.splits import SPLIT_NAMES
from wsjax.data.metadata import Metadata
from wsjax.data.sources.images import SPLITS
from wsjax.errors import DataError, check_choice, listing
from wsjax.networks import Network
from wsjax.progress import progress_of
from wsjax.storage.files import write_checked_json

FILES = r"\.(safetensors|npz|pt|pth)$"
SUFFIXES = {"safetensors": ".safetensors", "torch": ".pth", "npz": ".npz"}
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
        leave_out, progress: files to leave out, by their path in the directory; show a bar.

    Raises:
        ValueError: no network where no finished export is. DataError, naming the file: another architecture, no label,
            or a file that is not safe to read.

    Example:
        >>> import pathlib, tempfile
        >>> directory = pathlib.Path(tempfile.mkdtemp())
        >>> hidden, last = {"0.weight": np.ones((4, 2)), "0.bias": np.ones(4)}, {"2.weight": np.ones((1, 4))}
        >>> np.savez(directory / "a.npz", label=1, **hidden, **last, **{"2.bias": np.ones(1)})
        >>> read_state_dicts(directory, Network("mlp", (2, 4, 1), activation="relu"), progress=False)
        WeightDataset('state-dicts', 1 networks: 1 train, 0 validation, 0 test)
    """
    files, written = find_files(directory, FILES, leave_out), Path(directory) / CONTENTS
    if network is None:
        if not written.is_file():
            raise ValueError(
                f"{directory} has no {CONTENTS}, which an export writes last: of an export that was stopped remove the "
                f"directory and export again; of files from elsewhere pass the network"
            )
        return _read_back(inside(written, Path(directory)), files, progress)
    metadata = network if isinstance(network, Metadata) else Metadata("state-dicts", network, network.symmetry)
    read = partial(read_layers, key=key, layers=layers)
    weights, extras = gather(files, read, metadata.symmetry, name=metadata.name, progress=progress)
    label = np.array([_label(name, extra, labels) for name, extra in zip(files, extras, strict=True)])
    source = {**metadata.source, "format": "state-dicts", "left_out": [*leave_out]}
    if np.issubdtype(label.dtype, np.integer):
        classes = metadata.classes or tuple(map(str, range(int(label.max()) + 1)))
        described = replace(metadata, label="class", classes=classes, source=source)
    else:
        described = replace(metadata, label="target", classes=(), source=source)
    return finish(described, weights, label, image=np.arange(len(files)), split=_splits(files))


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
    if outside and len(outside) < len(files):
        raise DataError(f"{outside[0]} is in none of the folders {listing(SPLIT_NAMES)}; other files are: move it")
    return [SPLIT_NAMES.get(folder, 0) for folder in folders.values()]


def _read_back(written: Path, files: Mapping[str, Path], progress: bool) -> WeightDataset:
    content = read_json_file(written)
    try:
        names, metadata = content["files"], Metadata.from_json(content["metadata"])
        columns = {name: _from_json(column) for name, column in content["columns"].items()}
        label = _from_json(content["label"])
        differing, short = sorted(set(names) ^ set(files)), len(names) != len(label)
    except DataError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise DataError(f"{written} is not as wsjax writes it ({error!r}): export the set again") from None
    if differing or short:
        raise DataError(f"{written} and the files beside it differ in {listing(differing[:5])}: export the set again")
    ordered = {name: files[name] for name in names}
    weights, _ = gather(ordered, read_layers, metadata.symmetry, name=metadata.name, progress=progress)
    return WeightDataset(weights, label, columns, metadata)


def write_state_dicts(
    dataset: WeightDataset, directory: str | Path, *, kind: str = "safetensors", progress: bool = True
) -> None:
    """One state dict for each network, `{split}/model_{row}`, with `seq.0.weight` (out, in), `seq.0.bias`, ...

    `networks.json` beside them holds labels, columns and metadata; `read_state_dicts` reads the whole back bit-equal.
    It is written last: a directory without it is an export that was stopped, to be removed before another.

    Args:
        dataset: of a Network.
        directory: a new one.
        kind: `"safetensors"`, `"torch"` (`torch.save`) or `"npz"`, which has no bfloat16.
        progress: show a bar.

    Raises:
        ValueError: an unknown kind or one that cannot hold the weights, a data set without a Network, or a directory
            that holds something. ImportError: a package is missing. OSError: the directory cannot be written.

    Example:
        `networks` is a data set of 40 SIRENs.

        >>> import tempfile
        >>> directory = tempfile.mkdtemp()
        >>> write_state_dicts(networks, directory, kind="npz", progress=False)
        >>> read_state_dicts(directory, progress=False)
        WeightDataset('digits', 40 networks: 24 train, 7 validation, 9 test)
    """
    check_choice("kind of file", kind, tuple(SUFFIXES))
    name, root = dataset.metadata.name, Path(directory)
    if dataset.metadata.network is None:
        raise ValueError(f"{name} has no Network, so its layers have no order; expected SIRENs or MLPs")
    check_new(root)
    check_numbers(dataset, "writing")
    weights = jax.tree.map(np.asarray, dataset.weights)
    if kind == "npz":
        check_npz(name, [leaf[:1] for leaf in jax.tree.leaves(weights)])
    digits, files = len(str(len(dataset) - 1)), []
    for row in progress_of(range(len(dataset)), desc=name, unit="networks", disable=not progress):
        split = SPLITS[int(dataset.columns["split"][row])]
        file = f"{split}/model_{row:0{digits}d}{SUFFIXES[kind]}"
        state = {}
        for i, (kernel, bias) in enumerate(weights):
            state |= {f"seq.{i}.weight": weight_from_kernel(kernel[row]), f"seq.{i}.bias": bias[row]}
        write_file(root / file, state)
        files.append(file)
    columns = {name: _to_json(column) for name, column in dataset.columns.items()}
    content = {"files": files, "label": _to_json(dataset.label), "columns": columns}
    write_checked_json(root / CONTENTS, {**content, "metadata": dataset.metadata.to_json()})


def _to_json(array: np.ndarray) -> dict[str, Any]:
    return {"dtype": array.dtype.name, "values": array.tolist()}


def _from_json(content: dict[str, Any]) -> np.ndarray:
    return np.array(content["values"], np.dtype(content["dtype"]))
