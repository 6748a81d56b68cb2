"""Images of your own, as arrays."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import ArrayLike

from wsjax.data.sources.images import SPLITS, Images, check_images
from wsjax.errors import DataError, check_number

SPLIT_SEED = 0
MOST_CHANNELS = 4


def images(
    pixels: ArrayLike,
    labels: ArrayLike | Sequence[int] | None = None,
    *,
    split: ArrayLike | Sequence[float] | None = None,
    classes: Sequence[str] | None = None,
    name: str = "images",
) -> Images:
    """Arrays as the images that `fit` takes.

    Args:
        pixels: (images, rows, columns) or (images, rows, columns, channels): integers of 8 bits, which are divided by
            255, or floats in [0, 1].
        labels: (images,) integers from 0; None labels all with 0.
        split: (images,) indices into `SPLITS`; or the fractions of train, validation and test, such as
            `(0.8, 0.1, 0.1)`, drawn at random; None puts all into the training split, which `train.fit` refuses for
            want of a validation split: divide the data set of fitted networks with `dataset.random_split`.
        classes: the labels' names; None takes their numbers.
        name: of the data set.

    Raises:
        DataError: pixels of another shape, dtype or range, or of more than four channels, as where these come first;
            labels that are no integers from 0; or a split that is neither.

    Example:
        >>> found = images(np.full((10, 4, 4), 255, np.uint8), np.arange(10) % 2, split=(0.8, 0.1, 0.1))
        >>> found.pixels.shape, float(found.pixels.max()), np.bincount(found.split).tolist()
        ((10, 4, 4, 1), 1.0, [8, 1, 1])
    """
    array = np.asarray(pixels)
    if array.ndim not in (3, 4):
        raise DataError(
            f"pixels has shape {array.shape}; expected (images, rows, columns) or a fourth axis of channels"
        )
    if array.dtype != np.uint8 and not np.issubdtype(array.dtype, np.floating):
        raise DataError(f"pixels has dtype {array.dtype}; expected uint8, or floats in [0, 1]: divide and convert them")
    scaled = (array / np.float32(255) if array.dtype == np.uint8 else array).astype(np.float32)
    scaled = scaled if scaled.ndim == 4 else scaled[..., None]
    if scaled.shape[-1] > MOST_CHANNELS:
        raise DataError(
            f"pixels has shape {array.shape}, with {scaled.shape[-1]} channels; expected at most {MOST_CHANNELS}, on "
            f"the last axis: move them there with numpy.moveaxis(pixels, 1, -1)"
        )
    count = len(scaled)
    label = np.zeros(count, np.int32) if labels is None else np.asarray(labels)
    if label.shape != (count,) or not np.issubdtype(label.dtype, np.integer) or (count and label.min() < 0):
        raise DataError(
            f"labels have shape {label.shape} and dtype {label.dtype}; expected ({count},) integers from 0, one for "
            f"each image"
        )
    names = tuple(map(str, range(int(label.max(initial=0)) + 1))) if classes is None else tuple(classes)
    rows = np.arange(count, dtype=np.int32)
    return check_images(Images(name, scaled, label.astype(np.int32), _split(split, count), rows, names))


def _split(split: ArrayLike | Sequence[float] | None, count: int) -> np.ndarray:
    if split is None:
        return np.zeros(count, np.int8)
    given = np.asarray(split)
    if np.issubdtype(given.dtype, np.integer):
        return given.astype(np.int8)
    return divided(np.random.default_rng(SPLIT_SEED).permutation(count), given)


def divided(order: np.ndarray, fractions: np.ndarray) -> np.ndarray:
    """The split of each of some things: their order cut into parts of these fractions.

    Raises:
        ValueError: other than three fractions in [0, 1] that sum to 1.

    Example:
        >>> divided(np.array([2, 0, 1, 3]), np.array([0.5, 0.25, 0.25])).tolist()
        [0, 1, 0, 2]
    """
    if fractions.shape != (len(SPLITS),) or not np.isclose(fractions.sum(), 1):
        raise ValueError(
            f"the fractions of the split are {fractions.tolist()}; expected three that sum to 1, of "
            f"{', '.join(SPLITS)}, such as (0.8, 0.1, 0.1)"
        )
    for split, fraction in zip(SPLITS, fractions, strict=True):
        check_number(f"fraction of {split}", float(fraction), low=0, high=1)
    ends = np.rint(np.cumsum(fractions) * len(order)).astype(int)
    split = np.empty(len(order), np.int8)
    split[order] = np.searchsorted(ends, np.arange(len(order)), side="right").clip(max=len(SPLITS) - 1)
    return split
