"""CNN Wild Park: CNNs for CIFAR-10 of thousands of architectures, three checkpoints each."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from wsjax.data.collection import Collection
from wsjax.data.formats.cnn_symmetry import residual_symmetry
from wsjax.data.formats.contents import Contents, layers_of
from wsjax.data.formats.gather import finish, gather
from wsjax.data.formats.paths import find_files
from wsjax.data.formats.splits import find_splits, read_splits
from wsjax.data.formats.torch_file import load_torch
from wsjax.data.metadata import Metadata
from wsjax.errors import DataError, listing
from wsjax.progress import progress_of
from wsjax.typing import Layer

CHECKPOINT = r"[^/]+/[^/]+/checkpoint\.pt$"
ACTIVATIONS = ("relu", "gelu", "tanh", "sigmoid", "leaky_relu")
MAX_DEPTH = 20
APPLY = (
    "each convolution's output, the outputs of `residual` added to its first channels, its activation; mean over the "
    "pixels; a dense layer"
)


class Architecture(NamedTuple):
    """One architecture of the park: a number or a name for each layer."""

    channels: tuple[int, ...]
    kernel_size: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    residual: tuple[int, ...]
    activation: tuple[str, ...]

    @property
    def name(self) -> str:
        """A directory's name, the same for all networks of this architecture and for no others."""
        *sizes, (_, activation) = self._asdict().items()
        words = [key[0] + "-".join("n" if n == -1 else str(n) for n in value) for key, value in sizes]
        return "_".join([*words, "-".join(activation)])


class Checkpoint(NamedTuple):
    """What one file holds."""

    architecture: Architecture
    layers: tuple[Layer, ...]
    accuracy: float
    step: int


def read_cnn_park(
    directory: str | Path, *, splits: str | Path | None = None, leave_out: Sequence[str] = (), progress: bool = True
) -> Collection:
    """`{run}/{checkpoint}/checkpoint.pt` as a collection: a data set for each architecture under one index.

    The label is the test accuracy in the checkpoint. The column `image` numbers the runs, `steps` is the checkpoint's
    iteration. The configuration in the files, OmegaConf's, is read without OmegaConf, and nothing else but arrays.

    Args:
        directory: the unpacked set.
        splits: its splits JSON; None takes the one `*splits.json` in the directory, and without one draws 70 % of the
            runs for training and 15 % for validation.
        leave_out, progress: files to leave out, by their path in the directory; show a bar.

    Raises:
        DataError: a configuration that does not fit its arrays, a file in no split, or one that is not safe to read;
            each is named.

    Source: arXiv 2403.12143 and its code; Zenodo 12797219.

    Example:
        >>> read_cnn_park("/nowhere")
        Traceback (most recent call last):
        wsjax.errors.DataError: /nowhere is no directory; expected the unpacked data set
    """
    files = find_files(directory, CHECKPOINT, leave_out)
    run_of = {name: name.rsplit("/", 2)[0] for name in files}
    numbers = {run: i for i, run in enumerate(dict.fromkeys(run_of.values()))}
    path, drawn = find_splits(directory, splits), _split(len(numbers))
    listed = {} if path is None else read_splits(path, [*files, *leave_out], 3).split
    split = listed if path else {name: drawn[numbers[run]] for name, run in run_of.items()}
    outside = [name for name in files if name not in split]
    if outside:
        raise DataError(f"{path} lists none of {len(outside)} files, {outside[0]} first: complete it, or leave_out")
    shown = progress_of(files.items(), unit="networks", desc="cnn-park", disable=not progress)
    found = {name: _read_checkpoint(file) for name, file in shown}
    members: dict[str, list[str]] = {}
    for name, checkpoint in found.items():
        members.setdefault(checkpoint.architecture.name, []).append(name)
    source = {"format": "cnn-park", "label": "accuracy on the test images", "left_out": [*leave_out], "apply": APPLY}
    source["splits"] = path.name if path else "drawn by wsjax, run by run"
    layers = {files[name]: checkpoint.layers for name, checkpoint in found.items()}
    sets = {}
    for member, names in members.items():
        a, outputs = found[names[0]].architecture, found[names[0]].layers[-1].bias.shape[-1]
        symmetry = residual_symmetry(a.channels, a.kernel_size, a.residual, a.activation, outputs)
        read = lambda file: (layers[file], None)
        weights, _ = gather({name: files[name] for name in names}, read, symmetry, name=member, progress=False)
        described = {**source, "architecture": a._asdict()}
        sets[member] = finish(
            Metadata(member, None, symmetry, label="target", source=described),
            weights,
            [found[name].accuracy for name in names],
            image=np.array([numbers[run_of[name]] for name in names]),
            split=[split[name] for name in names],
            steps=np.array([found[name].step for name in names], np.int32),
        )
    return Collection.from_datasets(sets, [found[name].architecture.name for name in files])


def _split(runs: int) -> list[int]:
    place = np.digitize(np.arange(runs), [int(0.7 * runs), int(0.85 * runs)])
    return place[np.argsort(np.random.default_rng(0).permutation(runs))].tolist()


def _read_checkpoint(path: Path) -> Checkpoint:
    found = load_torch(path, stand_ins=OMEGACONF)
    missing = [key for key in ("model", "config", "last_result", "iteration") if key not in found]
    if missing or not isinstance(found["model"], dict):
        raise DataError(f"{path} holds {listing(found)}; expected model, config, last_result and iteration")
    architecture = _architecture(_plain_config(found["config"], f"{path}: config"), path)
    names = [*(f"layers.{i}" for i in range(len(architecture.kernel_size))), "fc"]
    layers = layers_of(Contents(found["model"], {}), str(path), names)
    result, step = found["last_result"], found["iteration"]
    accuracy = result.get("test/acc") if isinstance(result, Mapping) else None
    if not isinstance(accuracy, float | int) or type(step) is not int:
        raise DataError(f"{path} has test/acc {accuracy!r} and iteration {step!r}; expected two numbers")
    return Checkpoint(architecture, layers, float(accuracy), step)


def _architecture(config: Any, path: Path) -> Architecture:
    try:
        found = Architecture(*(tuple(config[name]) for name in Architecture._fields))
    except (KeyError, TypeError) as error:
        raise DataError(f"{path}: config lacks {error}; expected {listing(Architecture._fields)}") from None
    *sizes, activation = found
    depth = len(found.kernel_size)
    lengths = [len(value) for value in found] == [depth + 1, *[depth] * (len(found) - 1)]
    integers = lengths and depth and all(type(n) is int for value in sizes for n in value)
    positive = integers and all(n > 0 for n in (*found.channels, *found.kernel_size, *found.stride))
    earlier = positive and all(-1 <= source < layer for layer, source in enumerate(found.residual))
    if not earlier or not set(activation) <= set(ACTIVATIONS):
        raise DataError(
            f"{path}: config is {found}; expected as many entries as layers, positive sizes, earlier layers, "
            f"activations among {listing(ACTIVATIONS)}"
        )
    return found


class Inert:
    """Stands in for a class of OmegaConf, which is never imported: built of anything, it keeps its state alone."""

    state: Any = None

    def __init__(self, *_: Any):
        pass

    def __setstate__(self, state: Any):
        self.state = state


OMEGACONF: dict[str, type] = {
    **{
        f"{module} {kind}": type(kind, (Inert,), {})
        for module, kinds in {
            "omegaconf.base": ("ContainerMetadata", "Metadata"),
            "omegaconf.dictconfig": ("DictConfig",),
            "omegaconf.listconfig": ("ListConfig",),
            "omegaconf.nodes": ("AnyNode", "BooleanNode", "FloatNode", "IntegerNode", "StringNode"),
            "typing": ("Any",),
        }.items()
        for kind in kinds
    },
    "__builtin__ dict": dict,
    "__builtin__ list": list,
    "__builtin__ long": int,
    "__builtin__ int": int,
    "__builtin__ unicode": str,
    "collections defaultdict": defaultdict,
}
"""What a pickled DictConfig names, as protocol 2 spells it, and what is built in place of each."""


def _plain_config(value: Any, where: str, depth: int = 0) -> Any:
    """The dicts, lists and numbers in a configuration, OmegaConf's or plain; DataError for anything else, or itself."""
    if depth > MAX_DEPTH:
        raise DataError(f"{where} is nested more than {MAX_DEPTH} deep; expected a configuration: refused")
    if isinstance(value, Inert):
        state = value.state if isinstance(value.state, dict) else {}
        held = [name for name in ("_content", "_val") if name in state]
        if not held:
            raise DataError(f"{where} holds a {type(value).__name__} without content; expected a configuration")
        return _plain_config(state[held[0]], where, depth + 1)
    if isinstance(value, dict):
        return {str(name): _plain_config(inner, f"{where}.{name}", depth + 1) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain_config(inner, where, depth + 1) for inner in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise DataError(f"{where} holds a {type(value).__name__}; expected numbers, text, lists and dicts")
