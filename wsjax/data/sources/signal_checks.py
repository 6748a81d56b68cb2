"""What must hold of signals, and of a recipe for them, before anything is fitted."""

import numpy as np

from wsjax.data.recipe import Recipe
from wsjax.data.sources.images import check_columns
from wsjax.data.sources.signals import Signals
from wsjax.errors import DataError, check_range

ROUNDING = 1e-5  # of a range's width, by which coordinates and values may leave it


def check_signals(signals: Signals) -> Signals:
    """The signals, after checks of shapes, dtypes, ranges and labels.

    Raises:
        DataError: naming the array, what was found, what is expected and the way out.

    Example:
        >>> from wsjax.data import load_images
        >>> from wsjax.data.sources.signals import pixels_as_signals
        >>> check_signals(pixels_as_signals(load_images("digits"))).name
        'digits'
    """
    name, points, values = signals.name, signals.points, signals.values
    if values.ndim != 3 or not values[:1].size:
        raise DataError(
            f"{name}: values has shape {values.shape}; expected (signals, points, channels), none of them 0"
        )
    count, known = values.shape[:2]
    own = points.ndim == 3 and points.shape[:2] == (count, known)
    shared = points.ndim == 2 and len(points) == known
    if not (own or shared) or not points.shape[-1]:
        raise DataError(
            f"{name}: points has shape {points.shape} and values {values.shape}; expected ({known}, inputs), points "
            f"that all signals share, or ({count}, {known}, inputs), each signal's own"
        )
    check_columns(name, "signals", count, {"label": signals.label, "split": signals.split, "index": signals.index})
    _check_dtypes(signals)
    _check_labels(signals)
    _check_range(name, "points", points, "coordinate_range", signals.coordinate_range)
    _check_range(name, "values", values, "value_range", signals.value_range)
    return signals


def _check_dtypes(signals: Signals) -> None:
    wanted = {"points": ("float32",), "values": ("float32",), "label": ("int32", "float32")}
    for column, dtypes in {**wanted, "split": ("int8",), "index": ("int32",)}.items():
        found = getattr(signals, column).dtype.name
        if found not in dtypes:
            raise DataError(
                f"{signals.name}: {column} has dtype {found}; expected {' or '.join(dtypes)}: convert it with "
                f".astype(np.{dtypes[0]})"
            )


def _check_labels(signals: Signals) -> None:
    name, label, classes = signals.name, signals.label, signals.classes
    if label.dtype == np.float32:
        if classes:
            raise DataError(
                f"{name}: label is float32 and there are {len(classes)} class names; expected int32 labels with names, "
                f"or float32 targets without: leave the names out, or convert the labels"
            )
        _check_finite(name, "label", label)
    elif label.ndim != 1 or label.min() < 0 or label.max() >= len(classes):
        raise DataError(
            f"{name}: label has shape {label.shape} and runs from {label.min()} to {label.max()}; there are "
            f"{len(classes)} class names: give each label from 0 a name in classes, or make it a float32 target"
        )


def _check_range(name: str, what: str, array: np.ndarray, field: str, limits: tuple[float, float]) -> None:
    try:
        check_range(f"{name}: {field}", limits)
    except ValueError as error:
        raise DataError(str(error)) from None
    _check_finite(name, what, array)
    low, high = limits
    start, end, slack = float(array.min()), float(array.max()), ROUNDING * (high - low)
    if start < low - slack or end > high + slack:
        raise DataError(
            f"{name}: {what} run from {start:g} to {end:g}, outside {field} {limits}: give the range that they have, "
            f"or scale them"
        )


def _check_finite(name: str, what: str, array: np.ndarray) -> None:
    if not np.isfinite(array).all():
        rows = np.flatnonzero(~np.isfinite(array).reshape(len(array), -1).all(axis=1))
        raise DataError(
            f"{name}: {what}[{rows[0]}] is not finite, the first of {len(rows)}; expected finite numbers: leave those "
            f"out"
        )


def check_recipe(recipe: Recipe, signals: Signals) -> None:
    """Raise ValueError where a recipe cannot fit signals: other numbers of inputs or outputs, or too few points.

    Example:
        >>> from wsjax.data import load_images
        >>> from wsjax.data.sources.signals import as_signals
        >>> from wsjax.networks import Network
        >>> recipe = Recipe(Network("siren", (2, 4, 1)))
        >>> check_recipe(recipe, as_signals(load_images("digits"), recipe))
    """
    widths, known = recipe.network.widths, signals.values.shape[1]
    inputs, outputs = signals.points.shape[-1], signals.values.shape[-1]
    if (widths[0], widths[-1]) != (inputs, outputs):
        raise ValueError(
            f"the recipe's network has widths {widths}; {signals.name} needs {inputs} inputs and {outputs} outputs: "
            f"set the widths so"
        )
    if recipe.batch_points is not None and recipe.batch_points > known:
        raise ValueError(
            f"batch_points is {recipe.batch_points}; {signals.name} is known at {known} points: give as many at most, "
            f"or None for all of them in each step"
        )


def refuse_pixel_settings(recipe: Recipe, signals: Signals) -> None:
    """Raise ValueError where a recipe sets for signals what it may set for images only.

    Example:
        >>> from wsjax.data.sources.signals import pixels_as_signals
        >>> from wsjax.data import load_images
        >>> from wsjax.networks import Network
        >>> refuse_pixel_settings(Recipe(Network("siren", (2, 4, 1))), pixels_as_signals(load_images("digits")))
    """
    if recipe.value_range not in ((0.0, 1.0), signals.value_range):
        raise ValueError(
            f"the recipe's value_range is {recipe.value_range}, which is for pixels; the signals of {signals.name} "
            f"have {signals.value_range}: leave it out of the recipe, or give them that range"
        )
    if recipe.coordinate_order != "xy":
        raise ValueError(
            f"the recipe's coordinate_order is {recipe.coordinate_order!r}, which is for pixels; the signals of "
            f"{signals.name} have coordinates of their own: leave it out of the recipe"
        )
