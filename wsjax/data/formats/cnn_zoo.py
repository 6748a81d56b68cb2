"""The small CNN zoo: 30,000 classifiers 1-16-16-16-10 of each of four image sets, with tables of their accuracies."""

import ast
import csv
import gzip
import math
import random
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from wsjax.data.dataset import WeightDataset
from wsjax.data.formats.archive import damaged, map_npy
from wsjax.data.formats.cnn_symmetry import MIXED, cnn_symmetry
from wsjax.data.formats.gather import finish
from wsjax.data.formats.paths import inside
from wsjax.data.metadata import Metadata
from wsjax.errors import DataError, check_choice, listing
from wsjax.typing import Layer

MAX_LINE = 1 << 16
MAX_LINES = 4_000_000
APPLY = (
    "gray images in [-1, 1]; three convolutions 3x3 with stride 2, no padding, each followed by the activation; mean "
    "over the pixels; a dense layer"
)


class Variable(NamedTuple):
    """A variable in a flat row; `layer` is (0 for convolutions or 1 for dense layers, its number)."""

    layer: tuple[int, int]
    part: str
    start: int
    end: int
    shape: tuple[int, ...]


def read_cnn_zoo(
    directory: str | Path, *, activation: str | None = None, step: int = 86, order: str | Path | None = None
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
        ValueError: an unknown activation or step. DataError, naming the file: files that do not fit one another, a
            number that is not finite, or a file that is not safe to read.

    Source: arXiv 2002.11448 for the zoo, arXiv 2302.14040 for the splits.

    Example:
        >>> read_cnn_zoo("/nowhere")
        Traceback (most recent call last):
        wsjax.errors.DataError: /nowhere/weights.npy is no file; expected an array as numpy.save writes it
    """
    root = Path(directory)
    path, table, layout = (inside(root / name, root) for name in ("weights.npy", "metrics.csv.gz", "layout.csv"))
    flat = map_npy(path)
    if flat.ndim != 2 or flat.dtype.kind != "f":
        raise DataError(f"{path} holds {flat.shape} {flat.dtype}; expected a row for each network")
    variables = _layout(layout, flat.shape[1])
    metrics = _columns(table, ("step", "test_accuracy", "train_accuracy", "config.activation"))
    if len(metrics["step"]) != len(flat):
        raise DataError(f"{table} has {len(metrics['step'])} rows; weights.npy has {len(flat)}")
    kinds, steps = metrics["config.activation"], _numbers(metrics["step"], f"{table}: step")
    check_choice("step", step, tuple(int(s) for s in np.unique(steps)))
    check_choice("activation", activation, (None, *sorted(set(kinds))))
    final = steps == step
    chosen = final & np.array([activation in (None, kind) for kind in kinds])
    rows = np.flatnonzero(chosen)
    kept = np.asarray(flat[rows])
    bad = rows[~np.isfinite(kept).all(axis=1)]
    if len(bad):
        raise DataError(f"{path}: rows {bad[:5].tolist()} are not finite; expected finite numbers")
    weights, activations = _cut(kept, variables), Counter(kinds[row] for row in rows)
    present, shapes = sorted(activations), [layer.kernel.shape[1:] for layer in weights]
    symmetry = cnn_symmetry(shapes, present[0] if len(present) == 1 else MIXED, where=str(layout))
    source = {
        "format": "small-cnn-zoo",
        "label": "accuracy on the test images",
        "apply": APPLY,
        "activations": present,
        "left_out": {"other steps": int((~final).sum()), "other activations": int((final & ~chosen).sum())},
        "order": Path(order).name if order else "drawn by wsjax",
        "networks of each activation": dict(activations),
    }
    metadata = Metadata(f"cnn-zoo-{root.resolve().name}", None, symmetry, label="target", source=source)
    test, train = (
        _numbers([metrics[name][row] for row in rows], f"{table}: {name}").astype(np.float32)
        for name in ("test_accuracy", "train_accuracy")
    )
    return finish(
        metadata,
        weights,
        test,
        image=rows,
        split=_split(final, order)[rows],
        steps=steps[rows].astype(np.int32),
        train_accuracy=train,
        activation=np.array([present.index(kinds[row]) for row in rows], np.int8),
    )


def _split(final: np.ndarray, order: str | Path | None) -> np.ndarray:
    """NFN's: of the final networks in the fixed order the second half is test, a fifth of the first validation."""
    whole = np.random.default_rng(0).permutation(len(final)) if order is None else _order(Path(order), len(final))
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


def _columns(path: Path, names: Sequence[str]) -> dict[str, list[str]]:
    """Some columns of a CSV file, plain or gzipped, as text."""
    columns: dict[str, list[str]] = {name: [] for name in names}
    rows = csv.reader(_lines(path))
    try:
        header = next(rows, [])
        missing = [name for name in names if name not in header]
        if missing:
            raise DataError(f"{path} has the columns {listing(header[:40])}; expected {listing(missing)} among them")
        places = {name: header.index(name) for name in names}
        for number, row in enumerate(rows):
            if len(row) != len(header):
                raise DataError(f"{path}: row {number} has {len(row)} fields; expected {len(header)}")
            for name, place in places.items():
                columns[name].append(row[place])
    except (csv.Error, UnicodeDecodeError, OSError, EOFError, zlib.error) as error:
        raise damaged(path, "CSV file", error) from None
    return columns


def _numbers(texts: Sequence[str], where: str) -> np.ndarray:
    """A column as finite float64."""
    try:
        column = np.array(texts, float)
    except ValueError as error:
        raise DataError(f"{where} holds something else than numbers ({error})") from None
    if not np.isfinite(column).all():
        raise DataError(f"{where} is not finite in {int((~np.isfinite(column)).sum())} rows; expected finite numbers")
    return column


def _layout(path: Path, width: int) -> list[Variable]:
    """The variables in a flat row, by `layout.csv`: kernels and biases that cover the row once."""
    columns = _columns(path, ("varname", "start_idx", "end_idx", "shape"))
    variables = [_variable(fields, path) for fields in zip(*columns.values(), strict=True)]
    ends = 0
    for variable in sorted(variables, key=lambda v: v.start):
        if variable.start != ends or variable.end - variable.start != math.prod(variable.shape):
            raise DataError(f"{path} puts {variable} behind {ends}; expected variables that follow on one another")
        ends = variable.end
    names = [(v.layer, v.part) for v in variables]
    expected = sorted((layer, part) for layer in {layer for layer, _ in names} for part in ("kernel", "bias"))
    if ends != width or sorted(names) != expected:
        found = f"{path} describes {ends} numbers, {names}"
        raise DataError(f"{found}; expected {width}, a kernel and a bias in each layer")
    return variables


def _order(path: Path, rows: int) -> np.ndarray:
    """The order of all rows in a CSV of one column, whose first line may be a header."""
    lines = [line.strip() for line in _lines(path)]
    lines = lines[1:] if len(lines) == rows + 1 else lines
    order = np.array([int(line) if re.fullmatch("[0-9]{1,18}", line) else -1 for line in lines], np.int64)
    if len(order) != rows or not np.array_equal(np.sort(order), np.arange(rows)):
        raise DataError(f"{path} has {len(order)} numbers; expected every row from 0 to {rows - 1} once")
    return order


def _variable(fields: Sequence[str], path: Path) -> Variable:
    name, start, end, shape = fields
    found = re.fullmatch(r"(?:.*/)?(conv2d|dense)(?:_(\d+))?/(kernel|bias):0", name)
    try:
        sizes = ast.literal_eval(shape) if len(shape) < 100 else None
        sizes = sizes if isinstance(sizes, tuple) else (sizes,)
        whole = tuple(n for n in sizes if type(n) is int and n > 0)
        if found is None or whole != sizes:
            raise ValueError(fields)
        layer = (int(found[1] == "dense"), int(found[2] or 0))
        return Variable(layer, found[3], int(start), int(end), whole)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        expected = "a varname, two numbers and a shape such as (3, 3, 1, 16)"
        raise DataError(f"{path} has {list(fields)}; expected {expected}") from None


def _lines(path: Path) -> Iterator[str]:
    """Lines of text, none longer than a table's and no more of them: a gzip bomb ends here."""
    if not path.is_file():
        raise DataError(f"{path} is no file; expected a CSV table")
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as file:
        for number in range(MAX_LINES):
            line = file.readline(MAX_LINE)
            if not line:
                return
            if len(line) == MAX_LINE:
                raise DataError(f"{path}: line {number} has {MAX_LINE} letters or more; expected a table: refused")
            yield line
    raise DataError(f"{path} has {MAX_LINES} lines or more; expected a table: refused")
