"""The small CNN zoo: 30,000 classifiers 1-16-16-16-10 of each of four image sets, with their accuracies."""

import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from wsjax.data.dataset import WeightDataset
from wsjax.data.formats.archive import map_npy
from wsjax.data.formats.cnn_symmetry import MIXED, cnn_symmetry
from wsjax.data.formats.gather import finish
from wsjax.data.formats.paths import inside
from wsjax.data.formats.tables import Variable, numbers, read_columns, read_layout, read_order
from wsjax.data.metadata import Metadata
from wsjax.errors import DataError, check_choice
from wsjax.typing import Layer

FINAL_STEP = 86
APPLY = (
    "gray images in [-1, 1]; three convolutions 3x3 with stride 2, no padding, each followed by the activation; mean "
    "over the pixels; a dense layer"
)


def read_cnn_zoo(
    directory: str | Path,
    *,
    activation: str | None = None,
    step: int = FINAL_STEP,
    order: str | Path | None = None,
) -> WeightDataset:
    """The zoo's `weights.npy`, `metrics.csv.gz` and `layout.csv`, cut into layers by the names in the layout.

    The label is the accuracy on the test images. The column `image` is a network's row in `weights.npy`. Test is the
    second half of a fixed order and a fifth of the first half validation, as NFN splits.

    Args:
        directory: of one image set.
        activation: keep the networks with this activation, so that the Symmetry has its signs or scales; None keeps
            all, and where they differ permutations alone.
        step: the checkpoint to keep: 0, 1, 2, 3, 20, 40, 60, 80 or 86, the last.
        order: NFN's CSV of that order (its first line is a header, which NFN itself read as one more row); None draws
            another order, so that the splits are not NFN's.

    Raises:
        ValueError: an unknown activation or step.
        DataError: files that do not fit one another, a number that is not finite, or a file that is not safe to read.

    Source: arXiv 2002.11448 for the zoo, arXiv 2302.14040 for the splits.

    Example:
        >>> read_cnn_zoo("/nowhere")
        Traceback (most recent call last):
        wsjax.errors.DataError: /nowhere/weights.npy is no file; expected an array as numpy.save writes it
    """
    root = Path(directory)
    flat = map_npy(inside(root / "weights.npy", root))
    if flat.ndim != 2 or flat.dtype.kind != "f":
        raise DataError(f"{root / 'weights.npy'} holds {flat.shape} {flat.dtype}; expected a row for each network")
    layout = read_layout(inside(root / "layout.csv", root), flat.shape[1])
    columns = ("step", "test_accuracy", "train_accuracy", "config.activation")
    metrics = read_columns(inside(root / "metrics.csv.gz", root), columns)
    if len(metrics["step"]) != len(flat):
        raise DataError(f"{root / 'metrics.csv.gz'} has {len(metrics['step'])} rows; weights.npy has {len(flat)}")
    kinds = metrics["config.activation"]
    steps = numbers(metrics["step"], f"{root / 'metrics.csv.gz'}: step")
    check_choice("step", step, tuple(int(s) for s in np.unique(steps)))
    final = steps == step
    split = _split(final, order)
    check_choice("activation", activation, (None, *sorted(set(kinds))))
    chosen = final & np.array([activation in (None, kind) for kind in kinds])
    rows = np.flatnonzero(chosen)
    present = sorted({kinds[row] for row in rows})
    weights = _cut(np.asarray(flat[rows]), layout)
    _check_rows(weights, rows, root / "weights.npy")
    shapes = [layer.kernel.shape[1:] for layer in weights]
    symmetry = cnn_symmetry(shapes, present[0] if len(present) == 1 else MIXED, where=str(root / "layout.csv"))
    source = {
        "format": "small-cnn-zoo",
        "label": "accuracy on the test images",
        "apply": APPLY,
        "activations": present,
        "left_out": {"other steps": int((~final).sum()), "other activations": int((final & ~chosen).sum())},
        "order": Path(order).name if order else "drawn by wsjax",
        "networks of each activation": dict(Counter(kinds[row] for row in rows)),
    }
    metadata = Metadata(f"cnn-zoo-{root.resolve().name}", None, symmetry, label="target", source=source)
    measured = {
        name: numbers([metrics[name][row] for row in rows], f"{root / 'metrics.csv.gz'}: {name}").astype(np.float32)
        for name in ("test_accuracy", "train_accuracy")
    }
    return finish(
        metadata,
        weights,
        measured["test_accuracy"],
        {
            "image": rows,
            "view": 0 * rows,
            "split": split[rows],
            "steps": steps[rows].astype(np.int32),
            "train_accuracy": measured["train_accuracy"],
            "activation": np.array([present.index(kinds[row]) for row in rows], np.int8),
        },
    )


def _split(final: np.ndarray, order: str | Path | None) -> np.ndarray:
    """NFN's: of the final networks in the fixed order the second half is test, a fifth of the first validation."""
    whole = np.random.default_rng(0).permutation(len(final)) if order is None else read_order(Path(order), len(final))
    ordered = whole[final[whole]]
    half = len(ordered) // 2
    train = list(range(half))
    random.Random(0).shuffle(train)
    split = np.full(len(final), 2, np.int8)
    split[ordered[train[: int(0.8 * half)]]] = 0
    split[ordered[train[int(0.8 * half) :]]] = 1
    return split


def _cut(flat: Float[np.ndarray, "networks parameters"], layout: Sequence[Variable]) -> tuple[Layer, ...]:
    """Stacked layers. The layout names each variable, biases before kernels; TensorFlow's shapes are ours."""
    parts: dict[tuple[int, int], dict[str, np.ndarray]] = {}
    for variable in layout:
        array = flat[:, variable.start : variable.end].reshape(len(flat), *variable.shape)
        parts.setdefault(variable.layer, {})[variable.part] = np.ascontiguousarray(array)
    return tuple(Layer(parts[layer]["kernel"], parts[layer]["bias"]) for layer in sorted(parts))


def _check_rows(weights: tuple[Layer, ...], rows: np.ndarray, path: Path) -> None:
    for layer in weights:
        for array in layer:
            bad = rows[~np.isfinite(array.reshape(len(rows), -1)).all(axis=1)]
            if len(bad):
                raise DataError(f"{path}: rows {bad[:5].tolist()} are not finite; expected finite numbers")
