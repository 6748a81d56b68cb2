"""The raw model zoos of HSG (ModelZooDataset): one folder a trial, a checkpoint an epoch, results as JSON lines."""

import json
import random
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from wsjax.data.dataset import WeightDataset
from wsjax.data.formats.cnn_symmetry import MIXED, cnn_symmetry
from wsjax.data.formats.contents import layers_of, read_contents
from wsjax.data.formats.gather import finish, gather
from wsjax.data.formats.paths import check_left_out, find_files, inside, natural, read_json_file, read_text_file
from wsjax.data.metadata import Metadata
from wsjax.errors import DataError, check_choice, check_number, listing
from wsjax.typing import Layer

CHECKPOINT = r"^([^/]+)/checkpoint_0*(\d+)/checkpoints$"
NAMES = re.compile(r"module_list\.(\d+)\.(weight|bias)")
ACTIVATIONS = {"leakyrelu": "leaky_relu"}
"""Names of activations that differ from ours."""
APPLY = (
    "convolutions without padding, max-pooling 2x2 and the activation (the last of the small network is not pooled); "
    "flatten (rows, columns, channels); dense layers with the activation between them"
)


def read_hsg_zoo(
    directory: str | Path,
    *,
    epoch: int | None = None,
    activation: str | None = None,
    fractions: tuple[float, float] = (0.7, 0.15),
    leave_out: Sequence[str] = (),
    progress: bool = True,
) -> WeightDataset:
    """`{trial}/checkpoint_{epoch}/checkpoints` with `result.json` and `params.json` in each trial: small or large CNNs.

    The layers are found by their names (dropout shifts their numbers), HWIO, and the first dense layer's rows are put
    in the order of (rows, columns, channels). The label is the test accuracy after that epoch, found by its
    `training_iteration`. The column `image` numbers the trials.

    Args:
        directory: the zoo.
        epoch: which checkpoint; None takes the last one there.
        activation: keep the trials with this activation (`"relu"`, `"tanh"`, ...), so that the Symmetry has its signs
            or scales; None keeps all, and where they differ permutations alone.
        fractions: of training and validation, drawn over the trials in the order of their names (the zoo's own code
            shuffles them in the order of the file system, which differs from machine to machine).
        leave_out, progress: trials to leave out; show a bar.

    Raises:
        ValueError: an unknown activation or epoch, or fractions above 1. DataError, naming the file: a trial without
            that checkpoint or its result, another architecture, or a file that is not safe to read.

    Source: arXiv 2209.14764 and its code.

    Example:
        >>> read_hsg_zoo("/nowhere")
        Traceback (most recent call last):
        wsjax.errors.DataError: /nowhere is no directory; expected the unpacked data set
    """
    for name, fraction in zip(("training", "validation"), fractions, strict=True):
        check_number(f"fraction of {name}", fraction, low=0, high=1)
    check_number("sum of the fractions", round(sum(fractions), 9), high=1)
    root = Path(directory)
    there: dict[str, dict[int, Path]] = {}
    for name, path in find_files(root, CHECKPOINT).items():
        trial, number = re.findall(CHECKPOINT, name)[0]
        there.setdefault(trial, {})[int(number)] = path
    check_left_out(leave_out, there, f"trials in {root}")
    trials = sorted(set(there) - set(leave_out), key=natural)
    epochs = sorted({number for trial in trials for number in there[trial]})
    check_choice("epoch", epoch, (None, *epochs))
    chosen = epochs[-1] if epoch is None else epoch
    without = [trial for trial in trials if chosen not in there[trial]]
    if without:
        raise DataError(
            f"{root}: {len(without)} trials have no checkpoint of epoch {chosen}, {without[0]} first; expected one in "
            f"each: choose another epoch, or leave_out={without[:5]}"
        )
    results = {trial: _result(root / trial, chosen) for trial in trials}
    check_choice("activation", activation, (None, *sorted({result["activation"] for result in results.values()})))
    kept = [trial for trial in trials if activation in (None, results[trial]["activation"])]
    present = sorted({results[trial]["activation"] for trial in kept})
    files = {trial: there[trial][chosen] for trial in kept}
    first = files[kept[0]]
    layers, pooled = _read_network(first)
    kind, shapes = present[0] if len(present) == 1 else MIXED, [layer.kernel.shape for layer in layers]
    symmetry, name = cnn_symmetry(shapes, kind, pooled=pooled, where=str(first)), f"hsg-{root.resolve().name}"
    weights, pools = gather(files, _read_network, symmetry, name=name, progress=progress)
    differing = [trial for trial, found in zip(kept, pools, strict=True) if found != pooled]
    if differing:
        raise DataError(f"{files[differing[0]]} pools other layers than {first}; expected one architecture")
    source = {
        "format": "hsg",
        "label": "accuracy on the test images",
        "apply": APPLY,
        "epoch": chosen,
        "activations": present,
        "left_out": {"trials": [*leave_out], "other activations": len(trials) - len(kept)},
    }
    number = np.flatnonzero([trial in files for trial in trials])
    return finish(
        Metadata(name, None, symmetry, label="target", source=source),
        weights,
        [results[trial]["test"] for trial in kept],
        image=number,
        split=_split(len(trials), fractions)[number],
        epoch=np.full(len(kept), chosen, np.int32),
        train_accuracy=np.array([results[trial]["train"] for trial in kept], np.float32),
        activation=np.array([present.index(results[trial]["activation"]) for trial in kept], np.int8),
    )


def _result(trial: Path, epoch: int) -> Mapping[str, Any]:
    """Accuracies after an epoch, by its number and not by its line, as not all zoos have one for epoch 0."""
    path = inside(trial / "result.json", trial.parent)
    try:
        lines = [json.loads(line) for line in read_text_file(path).splitlines() if line.strip()]
        found = next((line for line in lines if line["training_iteration"] == epoch), None)
        if found is None:
            raise DataError(f"{path} has no training_iteration {epoch}; expected the results of each checkpoint")
        settings = found["config"] if "config" in found else read_json_file(inside(trial / "params.json", trial.parent))
        name = str(settings["model::nlin"])
        accuracies = {"test": float(found["test_acc"]), "train": float(found["train_acc"])}
        return {**accuracies, "activation": ACTIVATIONS.get(name, name)}
    except DataError:
        raise
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(f"{path} cannot be read ({error!r}); expected a line of JSON for each epoch") from None


def _read_network(path: Path) -> tuple[tuple[Layer, ...], frozenset[int]]:
    """The layers of a checkpoint, and the numbers of the convolutions that max-pooling follows."""
    contents = read_contents(path)
    odd = [name for name in [*contents.arrays, *contents.extras] if not NAMES.fullmatch(name)]
    if odd:
        raise DataError(f"{path} holds {listing(odd[:5])}; expected module_list.NUMBER.weight and .bias alone")
    layers = layers_of(contents, str(path))
    places = sorted({int(NAMES.findall(name)[0][0]) for name in contents.arrays})
    depth = sum(layer.kernel.ndim == 4 for layer in layers)
    # Between the last convolution and the dense layer lie activation and flattening, or pooling (and dropout) as well.
    steps = [after - before for before, after in pairwise(places)]
    pooled = frozenset(i for i in range(min(depth, len(steps))) if steps[i] > (2 if i + 1 < depth else 3))
    if not 0 < depth < len(layers) or layers[depth].kernel.shape[0] % layers[depth - 1].kernel.shape[-1]:
        return layers, pooled  # which `cnn_symmetry` refuses
    kernel, channels = layers[depth].kernel, layers[depth - 1].kernel.shape[-1]
    by_pixel = kernel.reshape(channels, -1, kernel.shape[1]).swapaxes(0, 1).reshape(kernel.shape)
    flattened = Layer(np.ascontiguousarray(by_pixel), layers[depth].bias)
    return (*layers[:depth], flattened, *layers[depth + 1 :]), pooled


def _split(count: int, fractions: tuple[float, float]) -> np.ndarray:
    order = list(range(count))
    random.Random(42).shuffle(order)
    split = np.full(count, 2, np.int8)
    train, validation = int(fractions[0] * count), int((fractions[0] + fractions[1]) * count)
    split[order[:train]] = 0
    split[order[train:validation]] = 1
    return split
