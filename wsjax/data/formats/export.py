"""A data set as a directory of state dicts that PyTorch loads."""

from pathlib import Path

import jax
import numpy as np

from wsjax.data.dataset import WeightDataset, check_numbers
from wsjax.data.formats.contents import write_file
from wsjax.data.formats.dense import weight_from_kernel
from wsjax.data.formats.paths import check_new
from wsjax.data.formats.state_dicts import CONTENTS
from wsjax.data.sources.images import SPLITS
from wsjax.errors import check_choice
from wsjax.progress import progress_of
from wsjax.storage.files import write_checked_json

SUFFIXES = {"safetensors": ".safetensors", "torch": ".pth", "npz": ".npz"}


def write_state_dicts(
    dataset: WeightDataset, directory: str | Path, *, kind: str = "safetensors", progress: bool = True
) -> None:
    """One state dict for each network, `{split}/model_{row}`, with `seq.0.weight` (out, in), `seq.0.bias`, ...

    `networks.json` beside them holds labels, columns and metadata; `read_state_dicts` reads the whole back bit-equal.
    It is written last: a directory without it is an export that was stopped, to be removed before another.

    Args:
        dataset: of a Network.
        directory: a new one.
        kind: `"safetensors"`, `"torch"` (`torch.save`) or `"npz"`.
        progress: show a bar.

    Raises:
        ValueError: an unknown kind, a data set without a Network, or a directory that holds something.
        ImportError: the package that writes this kind is not installed.
        OSError: the directory cannot be written.

    Example:
        `networks` is a data set of 40 SIRENs.

        >>> import tempfile
        >>> directory = tempfile.mkdtemp()
        >>> write_state_dicts(networks, directory, kind="npz", progress=False)
        >>> from wsjax.data.formats.state_dicts import read_state_dicts
        >>> read_state_dicts(directory, progress=False)
        WeightDataset('digits', 40 networks: 24 train, 7 validation, 9 test)
    """
    check_choice("kind of file", kind, tuple(SUFFIXES))
    if dataset.metadata.network is None:
        raise ValueError(
            f"{dataset.metadata.name} has no Network, so its layers have no order; expected SIRENs or MLPs"
        )
    root = Path(directory)
    check_new(root)
    check_numbers(dataset, "writing")
    weights = jax.tree.map(np.asarray, dataset.weights)
    digits, files = len(str(len(dataset) - 1)), []
    for row in progress_of(range(len(dataset)), desc=dataset.metadata.name, unit="networks", disable=not progress):
        split = SPLITS[int(dataset.columns["split"][row])]
        name = f"{split}/model_{row:0{digits}d}{SUFFIXES[kind]}"
        state = {}
        for i, (kernel, bias) in enumerate(weights):
            state |= {f"seq.{i}.weight": weight_from_kernel(kernel[row]), f"seq.{i}.bias": bias[row]}
        write_file(root / name, state)
        files.append(name)
    columns = {n: {"dtype": c.dtype.name, "values": c.tolist()} for n, c in dataset.columns.items()}
    content = {
        "files": files,
        "label": dataset.label.tolist(),
        "columns": columns,
        "metadata": dataset.metadata.to_json(),
    }
    write_checked_json(root / CONTENTS, content)
