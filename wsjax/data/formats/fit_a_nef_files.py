"""The rows of fit-a-nef's HDF5 files, cut into parameters by their own list of names and shapes."""

import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from wsjax.data.formats.hdf5 import opened, read_array, read_text
from wsjax.data.formats.paths import find_files
from wsjax.errors import DataError
from wsjax.progress import progress_of

FILES = r"^nefs_(\d+)-(\d+)\.hdf5$"


class Rows(NamedTuple):
    """All networks: stacked parameters by name, each network's number and label, and the files' names."""

    parameters: dict[str, np.ndarray]
    number: np.ndarray
    label: np.ndarray
    files: list[str]


def read_rows(root: Path, leave_out: Sequence[int], progress: bool) -> Rows:
    """Every file's rows, in the order of the numbers in the files' names.

    Raises:
        DataError: as `read_fit_a_nef`.
    """
    files = find_files(root, FILES)
    layout: list[tuple[str, tuple[int, ...]]] | None = None
    parts, numbers, labels, end = [], [], [], None
    for name, path in progress_of(files.items(), desc="fit-a-nef", unit="files", disable=not progress):
        start, stop = map(int, re.findall(r"\d+", name)[:2])
        if end is not None and start != end:
            raise DataError(f"{path} begins with network {start}; the file before it ends at {end}: complete the set")
        end = stop
        with opened(path) as file:
            found = _layout(read_text(file, "param_config", path), path)
            params, label = read_array(file, "params", path), read_array(file, "labels", path)
        if layout is not None and found != layout:
            raise DataError(f"{path} has the parameters {found}; the files before it have {layout}")
        layout = found
        width = sum(math.prod(shape) for _, shape in layout)
        if params.shape != (stop - start, width) or label.shape != (stop - start,) or label.dtype.kind == "f":
            raise DataError(
                f"{path} has params of shape {params.shape} and labels {label.shape} {label.dtype}; expected "
                f"({stop - start}, {width}) by its name and its param_config, and as many integers"
            )
        number = np.arange(start, stop)
        keep = ~np.isin(number, leave_out)
        bad = number[keep & ~np.isfinite(params).all(axis=1)]
        if len(bad):
            raise DataError(
                f"{path}: networks {bad[:5].tolist()} are not finite; expected finite numbers. Leave them out: "
                f"leave_out={bad.tolist()[:5]}"
            )
        parts.append(params[keep])
        numbers.append(number[keep])
        labels.append(label[keep])
    whole, start, parameters = np.concatenate(parts), 0, {}
    for name, shape in layout or []:
        size = math.prod(shape)
        parameters[name] = whole[:, start : start + size].reshape(len(whole), *shape)
        start += size
    return Rows(parameters, np.concatenate(numbers), np.concatenate(labels), list(files))


def _layout(text: str, path: Path) -> list[tuple[str, tuple[int, ...]]]:
    try:
        layout = [(name, tuple(shape)) for name, shape in json.loads(text)]
    except (ValueError, TypeError, RecursionError) as error:
        raise DataError(f"{path} has a param_config that is no list of [name, shape] ({error})") from None
    names = [name for name, _ in layout]
    sizes = [n for _, shape in layout for n in shape]
    if len(set(map(str, names))) != len(names) or not all(type(n) is int and n > 0 for n in sizes):
        raise DataError(f"{path} has param_config {text[:200]}; expected each name once, with a shape of integers")
    return layout
