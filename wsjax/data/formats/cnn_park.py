"""CNN Wild Park: CNNs for CIFAR-10 of thousands of architectures, three checkpoints each."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from wsjax.data.collection import Collection, collect
from wsjax.data.formats.contents import Contents
from wsjax.data.formats.dense import layers_of
from wsjax.data.formats.dws_splits import Splits, find_splits, read_splits
from wsjax.data.formats.gather import finish, gather
from wsjax.data.formats.omegaconf_stand_ins import OMEGACONF, plain_config
from wsjax.data.formats.paths import find_files
from wsjax.data.formats.residual_symmetry import residual_symmetry
from wsjax.data.formats.torch_file import load_torch
from wsjax.data.metadata import Metadata
from wsjax.errors import DataError, listing
from wsjax.progress import progress_of
from wsjax.symmetry import Symmetry
from wsjax.typing import Layer

CHECKPOINT = r"[^/]+/[^/]+/checkpoint\.pt$"
KNOWN = ("relu", "gelu", "tanh", "sigmoid", "leaky_relu")
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
        sizes = self._asdict()
        del sizes["activation"]
        words = [key[0] + "-".join("n" if n == -1 else str(n) for n in value) for key, value in sizes.items()]
        return "_".join([*words, "-".join(self.activation)])


class Checkpoint(NamedTuple):
    """What one file holds."""

    architecture: Architecture
    layers: tuple[Layer, ...]
    accuracy: float
    step: int


def read_cnn_park(
    directory: str | Path,
    *,
    splits: str | Path | None = None,
    leave_out: Sequence[str] = (),
    progress: bool = True,
) -> Collection:
    """`{run}/{checkpoint}/checkpoint.pt` as a collection: a data set for each architecture under one index.

    The label is the test accuracy in the checkpoint. The column `image` numbers the runs, `steps` is the checkpoint's
    iteration. The configuration in the files, OmegaConf's, is read without OmegaConf, and nothing else but arrays.

    Args:
        directory: the unpacked set.
        splits: its splits JSON; None takes the one `*splits.json` in the directory, and without one draws 70 % of the
            runs for training and 15 % for validation.
        leave_out: files to leave out, by their path in the directory.
        progress: show a bar.

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
    runs = [name.rpartition("/")[0].rpartition("/")[0] for name in files]
    number = {run: i for i, run in enumerate(dict.fromkeys(runs))}
    path = find_splits(directory, splits)
    split = _split(files, runs, path, leave_out)
    shown = progress_of(files.items(), unit="networks", desc="cnn-park", disable=not progress)
    found = {name: read_checkpoint(file) for name, file in shown}
    members: dict[str, list[str]] = {}
    for name, checkpoint in found.items():
        members.setdefault(checkpoint.architecture.name, []).append(name)
    source = {"format": "cnn-park", "label": "accuracy on the test images", "left_out": [*leave_out], "apply": APPLY}
    source["splits"] = path.name if path else "drawn by wsjax, run by run"
    run_of = dict(zip(files, runs, strict=True))
    sets = {}
    for member, names in members.items():
        architecture = found[names[0]].architecture
        symmetry = symmetry_of_park(architecture, found[names[0]].layers[-1].bias.shape[-1])
        by_path = {files[name]: found[name].layers for name in names}
        weights, _ = gather(
            {name: files[name] for name in names},
            lambda p, kept=by_path: (kept[p], None),
            symmetry,
            name=member,
            progress=False,
        )
        metadata = Metadata(
            member, None, symmetry, label="target", source={**source, "architecture": architecture._asdict()}
        )
        image = np.array([number[run_of[name]] for name in names])
        columns = {
            "image": image,
            "view": 0 * image,
            "split": [split[name] for name in names],
            "steps": np.array([found[name].step for name in names], np.int32),
        }
        sets[member] = finish(metadata, weights, [found[name].accuracy for name in names], columns)
    return collect(sets, [found[name].architecture.name for name in files])


def symmetry_of_park(architecture: Architecture, outputs: int) -> Symmetry:
    """What may act on the networks of one architecture."""
    a = architecture
    return residual_symmetry(a.channels, a.kernel_size, a.residual, a.activation, outputs)


def read_checkpoint(path: Path) -> Checkpoint:
    """One checkpoint; raises as `read_cnn_park`."""
    found = load_torch(path, stand_ins=OMEGACONF)
    missing = [key for key in ("model", "config", "last_result", "iteration") if key not in found]
    if missing or not isinstance(found["model"], dict):
        raise DataError(f"{path} holds {listing(found)}; expected model, config, last_result and iteration")
    config = plain_config(found["config"], f"{path}: config")
    architecture = _architecture(config, path)
    depth = len(architecture.kernel_size)
    names = [*(f"layers.{i}" for i in range(depth)), "fc"]
    layers = layers_of(Contents(found["model"], {}), str(path), names)
    result = found["last_result"]
    accuracy = result.get("test/acc") if isinstance(result, Mapping) else None
    if not isinstance(accuracy, float | int) or type(found["iteration"]) is not int:
        raise DataError(f"{path} has test/acc {accuracy!r} and iteration {found['iteration']!r}; expected two numbers")
    return Checkpoint(architecture, layers, float(accuracy), found["iteration"])


def _architecture(config: Any, path: Path) -> Architecture:
    try:
        fields = {name: tuple(config[name]) for name in Architecture._fields}
    except (KeyError, TypeError) as error:
        raise DataError(f"{path}: config lacks {error}; expected {listing(Architecture._fields)}") from None
    found = Architecture(**fields)
    depth = len(found.kernel_size)
    lengths = {name: len(value) for name, value in fields.items()}
    whole = all(type(n) is int for name, value in fields.items() if name != "activation" for n in value)
    positive = whole and all(n > 0 for n in (*found.channels, *found.kernel_size, *found.stride))
    earlier = whole and all(-1 <= source < layer or source == -1 for layer, source in enumerate(found.residual))
    named = all(activation in KNOWN for activation in found.activation)
    if lengths != {name: depth + (name == "channels") for name in fields} or not (positive and earlier and named):
        raise DataError(
            f"{path}: config is {found}; expected as many entries as layers, positive sizes, earlier layers"
        )
    return found


def _split(
    files: Mapping[str, Path], runs: Sequence[str], path: Path | None, leave_out: Sequence[str]
) -> dict[str, int]:
    if path is not None:
        listed: Splits = read_splits(path, [*files, *leave_out], 3)
        outside = [name for name in files if name not in listed.split]
        if outside:
            raise DataError(f"{path} lists none of {len(outside)} files, {outside[0]} first: complete it, or leave_out")
        return listed.split
    names = list(dict.fromkeys(runs))
    order = np.random.default_rng(0).permutation(len(names))
    cuts = [int(0.7 * len(names)), int(0.85 * len(names))]
    place = dict(zip([names[i] for i in order], np.digitize(np.arange(len(names)), cuts).tolist(), strict=True))
    return {name: place[run] for name, run in zip(files, runs, strict=True)}
