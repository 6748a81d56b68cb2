"""The CSV tables of the small CNN zoo, read line by line."""

import ast
import csv
import gzip
import math
import re
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from wsjax.errors import DataError, listing

MAX_LINE = 1 << 16
MAX_LINES = 4_000_000


class Variable(NamedTuple):
    """A variable in a flat row; `layer` is (0 for convolutions or 1 for dense layers, its number)."""

    layer: tuple[int, int]
    part: str
    start: int
    end: int
    shape: tuple[int, ...]


def read_columns(path: Path, names: Sequence[str]) -> dict[str, list[str]]:
    """Some columns of a CSV file, plain or gzipped, as text.

    Raises:
        DataError: it is damaged, lacks a column or a field, or has lines or a length that no table has.
    """
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
        raise DataError(f"{path} is no whole CSV file ({error}). Put a whole copy in its place.") from None
    return columns


def numbers(texts: Sequence[str], where: str) -> np.ndarray:
    """A column as float64; raises DataError where a text is no finite number."""
    try:
        column = np.array(texts, float)
    except ValueError as error:
        raise DataError(f"{where} holds something else than numbers ({error})") from None
    if not np.isfinite(column).all():
        raise DataError(f"{where} is not finite in {int((~np.isfinite(column)).sum())} rows; expected finite numbers")
    return column


def read_layout(path: Path, width: int) -> list[Variable]:
    """The variables in a flat row, by `layout.csv`: varname, start_idx, end_idx, shape.

    Raises:
        DataError: a name that is no kernel or bias, a shape that does not fill its place, or places that do not cover
            the row once.
    """
    columns = read_columns(path, ("varname", "start_idx", "end_idx", "shape"))
    variables = [_variable(fields, path) for fields in zip(*columns.values(), strict=True)]
    ends = 0
    for variable in sorted(variables, key=lambda v: v.start):
        if variable.start != ends or variable.end - variable.start != math.prod(variable.shape):
            raise DataError(f"{path} puts {variable} behind {ends}; expected variables that follow on one another")
        ends = variable.end
    names = [(v.layer, v.part) for v in variables]
    layers = {layer for layer, _ in names}
    if ends != width or sorted(names) != sorted((layer, part) for layer in layers for part in ("kernel", "bias")):
        raise DataError(
            f"{path} describes {ends} numbers, {names}; expected {width}, a kernel and a bias in each layer"
        )
    return variables


def read_order(path: Path, rows: int) -> np.ndarray:
    """The order of rows in a CSV of one column, whose first line may be a header.

    Raises:
        DataError: it does not hold each row once.
    """
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
        raise DataError(
            f"{path} has {list(fields)}; expected a varname, two numbers and a shape such as (3, 3, 1, 16)"
        ) from None


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
