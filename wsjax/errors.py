"""The one layer that checks trees, shapes and settings, and words the message.

Every message names the leaf or setting, the value found, the one expected, and the remedy. Checks run at
trace time: they read structures, shapes and dtypes, never traced values.
"""

import dataclasses
import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import PyTree, PyTreeDef


class DataError(ValueError):
    """Data at hand is damaged, incomplete, or not what its description says."""


def leaf_names(tree: PyTree, root: str = "weights") -> list[str]:
    """The path of each leaf as one would write it in Python, in the order of `jax.tree.leaves`."""
    return [root + jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(tree)]


def listing(names: Iterable[object]) -> str:
    return ", ".join(map(str, names))


def json_differences(found: Any, asked: Any, at: str = "") -> list[str]:
    """One line for each field in which two JSON values differ, naming it and both values."""
    if isinstance(found, dict) and isinstance(asked, dict):
        pairs = [(f"{at}.{k}" if at else k, found.get(k), asked.get(k)) for k in sorted({*found, *asked})]
    elif isinstance(found, list) and isinstance(asked, list) and len(found) == len(asked):
        pairs = [(f"{at}[{i}]", a, b) for i, (a, b) in enumerate(zip(found, asked, strict=True))]
    else:
        return [] if found == asked else [f"{at} is {found!r} there and {asked!r} here"]
    return [line for name, a, b in pairs for line in json_differences(a, b, name)]


@contextmanager
def writing(path: str | Path, remedy: str = "name a place that you may write to, or make room") -> Iterator[None]:
    """Name the file in whatever OSError comes up while it is written."""
    try:
        yield
    except OSError as error:
        raise OSError(f"{path} cannot be written: {error.strerror or error}; {remedy}") from None


def as_python(value: Any) -> Any:
    """A setting with NumPy's and JAX's numbers made Python's, in tuples, lists and mappings too; others as they are.

    So records compare, hash and go to JSON alike, wherever their numbers come from.
    """
    if isinstance(value, Tracer):
        return value
    if isinstance(value, np.generic | np.ndarray | jax.Array):
        array: Any = np.asarray(value)
        return array.item() if array.ndim == 0 else as_python(tuple(array))
    if isinstance(value, Mapping):
        return {name: as_python(inner) for name, inner in value.items()}
    if type(value) in (tuple, list):
        return type(value)(as_python(inner) for inner in value)
    return value


def fields_as_python(record: Any) -> None:
    """What a frozen dataclass of settings does first: every field `as_python`."""
    for field in dataclasses.fields(record):
        object.__setattr__(record, field.name, as_python(getattr(record, field.name)))


def check_seed(name: str, seed: Any) -> None:
    """Raise ValueError unless a seed is an integer of 32 bits; JAX cuts others to those, so that two would be one."""
    check_number(name, seed, low=0, high=2**32 - 1, integer=True)


FEW = 12
"""The most names that come before the nearest one in a message; of more the nearest comes first."""


def nearest(value: object, valid: Iterable[object]) -> str:
    """The question whether the valid name nearest to an unknown one was meant; empty where none is near."""
    near = difflib.get_close_matches(str(value), [str(name) for name in valid], n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


def check_choice(kind: str, value: object, valid: Sequence[object]) -> None:
    """Raise ValueError unless `value` is one of `valid`, naming the nearest and all.

    The value comes before an "of" in `kind`: "unknown option 'cuont' of curves".
    """
    if value in valid:
        return
    hint, (what, of, whole) = nearest(value, valid), kind.partition(" of ")
    found = f"unknown {what} {value!r}{of}{whole}"
    if len(valid) <= FEW:
        raise ValueError(f"{found}; the valid ones are: {listing(valid)}.{hint}")
    raise ValueError(f"{found}.{hint} The valid ones are: {listing(valid)}.")


def check_number(
    name: str,
    value: object,
    *,
    low: float = -np.inf,
    high: float = np.inf,
    open_low: bool = False,
    integer: bool = False,
) -> None:
    """Raise ValueError where a number is not finite, leaves [low, high], or (low, high] with `open_low`, or is not
    `integer`.
    """
    if isinstance(value, Tracer):  # it has no value yet
        return
    number = np.asarray(value)
    real = jnp.issubdtype(number.dtype, np.number) and not np.iscomplexobj(number)
    if number.ndim == 0 and real:
        within = np.isfinite(number) & (number > low if open_low else number >= low) & (number <= high)
        if bool(within) and (np.issubdtype(number.dtype, np.integer) or not integer):
            return
    left, right = "(" if open_low or low == -np.inf else "[", ")" if high == np.inf else "]"
    found = repr(number.item()) if number.ndim == 0 else f"an array of shape {number.shape}"
    as_int = ", as an int" if integer and number.dtype.kind == "f" else ""
    expected = f"one {'integer' if integer else 'number'} in {left}{low:g}, {high:g}{right}{as_int}"
    raise ValueError(f"{name} is {found}; it must be {expected}")


def as_integer(value: Any) -> Any:
    """A number without a fraction as an int, where a setting is traced as a float; all else as it is."""
    if isinstance(value, Tracer) or np.ndim(value) or not jnp.issubdtype(np.asarray(value).dtype, jnp.floating):
        return value
    return int(value) if float(value).is_integer() else value


def check_sizes(*, low: int = 1, **sizes: int) -> None:
    """Raise ValueError unless every size, given by its name, is an integer of at least `low`."""
    for name, size in sizes.items():
        check_number(name, size, low=low, integer=True)


def check_each(name: str, sizes: Sequence[int], *, fewest: int = 1) -> None:
    """Raise ValueError unless there are `fewest` sizes or more, each an integer of at least 1."""
    check_number(f"number of {name}", len(sizes), low=fewest, integer=True)
    for size in sizes:
        check_number(f"each of {name}", size, low=1, integer=True)


def check_several(name: str, value: object) -> None:
    """Raise TypeError for one name where several belong: Python would take its letters for them."""
    if isinstance(value, str):
        raise TypeError(f"{name} is {value!r}, one name; expected a tuple or list of names: give [{value!r}]")


def check_index(what: str, index: Any, count: int) -> None:
    """Raise IndexError for a number outside [-count, count), for which JAX would take the nearest in silence."""
    if isinstance(index, Tracer):
        return
    number = np.asarray(index)
    if number.ndim or not np.issubdtype(number.dtype, np.integer):
        raise TypeError(f"the number of a {what} is {index!r}; expected one integer")
    if not -count <= number < count:
        raise IndexError(f"there is no {what} {number}; expected 0 to {count - 1}, or {-count} to -1 from the end")


def check_rows(what: str, rows: Any, count: int) -> np.ndarray:
    """The numbers of some of `count` things, all from 0 on: from integers, a boolean each, or a slice.

    Raises IndexError for a number out of range, TypeError for one number, floats, or booleans that are not one each.
    """
    found = np.arange(count)[rows] if isinstance(rows, slice) else np.asarray(rows)
    if found.dtype == bool and found.shape == (count,):
        return np.flatnonzero(found)
    if found.ndim != 1 or not (np.issubdtype(found.dtype, np.integer) or not found.size):
        raise TypeError(
            f"the numbers of {what}s have shape {found.shape} and dtype {found.dtype}; expected a list of integers, or "
            f"({count},) booleans: for one {what}, give [number]"
        )
    for row in (found.min(), found.max()) if found.size else ():
        check_index(what, row, count)
    found = found.astype(np.int64)
    return np.where(found < 0, found + count, found)


def check_range(name: str, value: tuple[float, float]) -> None:
    """Raise ValueError unless a range runs from a finite number up to a higher one."""
    low, high = value if np.shape(value) == (2,) else (np.inf, -np.inf)
    if not -np.inf < low < high < np.inf:
        raise ValueError(f"{name} is {value}; expected a lower and a higher number, both finite: give its two ends")


def check_structure(tree: PyTree, expected: PyTreeDef, what: str) -> None:  # type: ignore[valid-type]
    """Raise ValueError where a pytree's structure differs from the one expected, naming the leaves."""
    found = jax.tree.structure(tree)
    if found == expected:
        return
    have = leaf_names(tree)
    want = leaf_names(jax.tree.unflatten(expected, range(expected.num_leaves)))
    missing, extra = [n for n in want if n not in have], [n for n in have if n not in want]
    parts = [f"missing {listing(missing)}"] * bool(missing) + [f"unexpected {listing(extra)}"] * bool(extra)
    detail = "; ".join(parts) or f"containers differ: found {found}, expected {expected}"
    raise ValueError(f"the weights do not have the structure of {what}: {detail}. Pass weights of that network.")


def check_shape(name: str, found: tuple[int, ...], expected: tuple[int, ...], what: str) -> None:
    """Raise ValueError where a leaf's shape differs from the one expected."""
    if tuple(found) == tuple(expected):
        return
    batched = len(found) == len(expected) + 1 and tuple(found[1:]) == tuple(expected)
    fix = (
        "It has one leading axis more: functions take one network, use jax.vmap or augment.batched for a batch."
        if batched
        else "Pass weights of that network, or describe the network at hand."
    )
    raise ValueError(f"{name} has shape {tuple(found)}; {what} expects {tuple(expected)}. {fix}")


def check_same_shapes(tree: PyTree, other: PyTree, what: str, root: str = "weights") -> None:
    """Raise ValueError where two pytrees differ in structure or in the shape of a leaf, which would broadcast."""
    check_structure(tree, jax.tree.structure(other), what)
    for name, mine, theirs in zip(leaf_names(tree, root), jax.tree.leaves(tree), jax.tree.leaves(other), strict=True):
        check_shape(name, jnp.shape(mine), jnp.shape(theirs), what)


def check_finite(tree: PyTree, where: str, fix: str, root: str = "weights") -> None:
    """Raise DataError where a stacked pytree (leading axis: networks) holds a NaN or an infinity.

    Runs on the host, at the borders of data only: after a fit, before a save, after a load.
    """
    for name, leaf in zip(leaf_names(tree, root), jax.tree.leaves(tree), strict=True):
        array = np.asarray(leaf)
        if not jnp.issubdtype(array.dtype, np.inexact) or np.isfinite(array).all():
            continue
        rows = np.flatnonzero(~np.isfinite(array.reshape(len(array), -1)).all(axis=1))
        shown = listing(rows[:5]) + (", ..." if len(rows) > 5 else "")
        raise DataError(
            f"{where}: {name} is not finite in {len(rows)} of {len(array)} networks (rows {shown}); "
            f"expected finite numbers. {fix}"
        )
