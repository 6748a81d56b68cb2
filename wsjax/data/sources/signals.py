"""`Signals`: functions known at points, which is what a fit takes of an image, a shape or a curve; and their checks."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from wsjax.data.recipe import Recipe
from wsjax.data.sources.images import Images, check_columns, split_counts
from wsjax.errors import DataError, check_range, check_rows
from wsjax.networks import grid
from wsjax.networks.grid import Order

ROUNDING = 1e-5  # of a range's width, by which coordinates and values may leave it
DTYPES = {"points": "float32", "values": "float32", "label": "int32 or float32", "split": "int8", "index": "int32"}


class Signals(NamedTuple):
    """Functions known at points, with labels and splits, on the host.

    points: (points, inputs) float32 that all signals share, or (signals, points, inputs), each with its own; values:
    (signals, points, channels) float32; label: (signals,) int32 classes, or (signals, ...) float32 targets; split:
    (signals,) int8, an index into `SPLITS`; index: (signals,) int32, the signal's number in its source; classes: the
    labels' names, none for targets; quantity: what the values are, such as `"signed distance"`; value_range: what they
    run over, whose width is PSNR's peak; coordinate_range: what coordinates run over; options: the settings with which
    the source of that name gives them again, as JSON has them.

    Example:
        >>> x = np.linspace(-1, 1, 9, dtype=np.float32)[:, None]
        >>> rows = np.arange(3, dtype=np.int32)
        >>> cubes = Signals("cubes", x, np.stack([x, x**2, x**3]), rows, np.zeros(3, np.int8), rows, ("1", "2", "3"),
        ...                 value_range=(-1.0, 1.0))
        >>> cubes.shared, cubes.peak, len(cubes.take(rows[:2]).values)
        (True, 2.0, 2)
    """

    name: str
    points: np.ndarray
    values: np.ndarray
    label: np.ndarray
    split: np.ndarray
    index: np.ndarray  # type: ignore[assignment]
    classes: tuple[str, ...] = ()
    quantity: str = "value"
    value_range: tuple[float, float] = (0.0, 1.0)
    coordinate_range: tuple[float, float] = (-1.0, 1.0)
    options: Mapping[str, Any] = MappingProxyType({})

    def __repr__(self) -> str:
        labels = f"{len(self.classes)} classes" if self.classes else "targets"
        what = f"{len(self.values)} signals of {self.values.shape[1:]}, {labels}"
        return f"Signals({self.name!r}, {what}: {split_counts(self.split)})"

    @property
    def shared(self) -> bool:
        """Whether all signals are known at the same points."""
        return self.points.ndim == 2

    @property
    def peak(self) -> float:
        """The width of the range of values, which PSNR is measured against."""
        return float(self.value_range[1] - self.value_range[0])

    def take(self, rows: np.ndarray) -> "Signals":
        """The signals of some rows, in that order. Raises IndexError for a row that there is not."""
        rows = check_rows("signal", rows, len(self.label))
        own = ("values", "label", "split", "index") if self.shared else ("points", "values", "label", "split", "index")
        return self._replace(**{name: getattr(self, name)[rows] for name in own})


def as_signals(found: Images | Signals, recipe: Recipe) -> Signals:
    """Signals as they are; images as the values of a grid's points, in the recipe's order of coordinates and range."""
    if isinstance(found, Images):
        return pixels_as_signals(found, recipe.coordinate_order, recipe.value_range)
    return found


def pixels_as_signals(
    images: Images,
    order: Order = "xy",
    value_range: tuple[float, float] = (0.0, 1.0),
    coordinate_range: tuple[float, float] = (-1.0, 1.0),
) -> Signals:
    """Images as the values of the points of `networks.grid`, black and white at the two ends of a range of values."""
    low, high = value_range
    pixels = images.pixels if (low, high) == (0.0, 1.0) else np.float32(low) + np.float32(high - low) * images.pixels
    count, rows, columns, channels = pixels.shape
    start, end = coordinate_range
    points = np.asarray(grid((rows, columns), order=order, low=start, high=end))
    values = pixels.reshape(count, rows * columns, channels).astype(np.float32, copy=False)
    arrays = (points, values, images.label, images.split, images.index)
    return Signals(images.name, *arrays, images.classes, "pixel", value_range, coordinate_range)


def check_signals(signals: Signals) -> Signals:
    """The signals; raises DataError for a shape, dtype, range or label that cannot be right."""
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
            f"{name}: points has shape {points.shape} and values {values.shape}; expected ({known}, inputs), shared by "
            f"all signals, or ({count}, {known}, inputs), each signal's own"
        )
    check_columns(signals, "signals", count)
    for column, expected in DTYPES.items():
        found, (first, *_) = getattr(signals, column).dtype.name, expected.split()
        if found not in expected.split(" or "):
            raise DataError(
                f"{name}: {column} has dtype {found}; expected {expected}: convert it with .astype(np.{first})"
            )
    _check_labels(signals)
    _check_within(name, "points", points, "coordinate_range", signals.coordinate_range)
    _check_within(name, "values", values, "value_range", signals.value_range)
    return signals


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


def _check_within(name: str, what: str, array: np.ndarray, field: str, limits: tuple[float, float]) -> None:
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
    """Raise ValueError where a recipe cannot fit signals: other numbers of inputs or outputs, or too few points."""
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
    """Raise ValueError where a recipe sets for signals what it may set for images only."""
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
