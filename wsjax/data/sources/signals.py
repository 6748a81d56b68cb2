"""`Signals`: functions known at points, which is what a fit takes of an image, a shape or a curve."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from wsjax.data.recipe import Recipe
from wsjax.data.sources.images import Images, split_counts
from wsjax.errors import check_rows
from wsjax.networks import grid
from wsjax.networks.grid import Order


class Signals(NamedTuple):
    """Functions known at points, with labels and splits, on the host.

    points: (points, inputs) float32 that all signals share, or (signals, points, inputs), each with its own; values:
    (signals, points, channels) float32; label: (signals,) int32 classes, or (signals, ...) float32 targets; split:
    (signals,) int8, an index into `SPLITS`; index: (signals,) int32, the signal's number in its source; classes: the
    labels' names, none for targets; quantity: what the values are, such as `"signed distance"`; value_range: what they
    run over, whose width is PSNR's peak; coordinate_range: what coordinates run over; options: the settings with which
    the source of that name gives them again, as JSON has them.

    Example:
        >>> from wsjax.data.sources import check_signals
        >>> x = np.linspace(-1, 1, 9, dtype=np.float32)[:, None]
        >>> rows = np.arange(3, dtype=np.int32)
        >>> cubes = Signals("cubes", x, np.stack([x, x**2, x**3]), rows, np.zeros(3, np.int8), rows, ("1", "2", "3"),
        ...                 value_range=(-1.0, 1.0))
        >>> check_signals(cubes).shared, cubes.peak, len(cubes.take(rows[:2]).values)
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
        return self.value_range[1] - self.value_range[0]

    def take(self, rows: np.ndarray) -> "Signals":
        """The signals of some rows, in that order. Raises IndexError for a row that there is not."""
        rows = check_rows("signal", rows, len(self.label))
        return self._replace(
            points=self.points if self.shared else self.points[rows],
            values=self.values[rows],
            label=self.label[rows],
            split=self.split[rows],
            index=self.index[rows],
        )


def as_signals(found: Images | Signals, recipe: Recipe) -> Signals:
    """Signals as they are; images as the values of a grid's points, in the recipe's order of coordinates and range.

    The recipe's `coordinate_order` and `value_range` are for images alone: signals bring coordinates and a range of
    their own, which PSNR is measured against.

    Args:
        found: images or signals, as `load_source` gives them.
        recipe: what they will be fitted by.

    Example:
        >>> from wsjax.data import limit, load_images
        >>> from wsjax.networks import Network
        >>> few = as_signals(limit(load_images("digits"), 5), Recipe(Network("siren", (2, 4, 1))))
        >>> few.points.shape, few.values.shape
        ((64, 2), (5, 64, 1))
    """
    if isinstance(found, Images):
        return pixels_as_signals(found, recipe.coordinate_order, recipe.value_range)
    return found


def pixels_as_signals(
    images: Images,
    order: Order = "xy",
    value_range: tuple[float, float] = (0.0, 1.0),
    coordinate_range: tuple[float, float] = (-1.0, 1.0),
) -> Signals:
    """Images as the values of a grid's points; pixels on [0, 1] are mapped to a range of values.

    Args:
        images: the images.
        order, coordinate_range: as `networks.grid` takes them.
        value_range: what black and white become.

    Example:
        >>> from wsjax.data import load_images
        >>> pixels_as_signals(load_images("digits"), value_range=(-1.0, 1.0)).values.min()
        np.float32(-1.0)
    """
    low, high = value_range
    pixels = images.pixels if (low, high) == (0.0, 1.0) else np.float32(low) + np.float32(high - low) * images.pixels
    count, rows, columns, channels = pixels.shape
    start, end = coordinate_range
    return Signals(
        images.name,
        np.asarray(grid((rows, columns), order=order, low=start, high=end)),
        pixels.reshape(count, rows * columns, channels).astype(np.float32, copy=False),
        images.label,
        images.split,
        images.index,
        images.classes,
        "pixel",
        value_range,
        coordinate_range,
    )
