"""`Images`: what a source gives and a fit takes, also of arrays of your own."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, TypeVar, runtime_checkable

import numpy as np
from jaxtyping import ArrayLike, Int

from wsjax.errors import DataError, check_number, check_rows, check_several

SPLITS = ("train", "validation", "test")
OF_TEN = (0, 1, 2, 0, 0, 0, 0, 0, 0, 0)
"""The splits of ten made signals in turn, as indices into `SPLITS`: eight are for training."""
SPLIT_SEED = 0
"""Every source's split is drawn once, by NumPy's default generator with this seed."""
MOST_CHANNELS = 4
S = TypeVar("S")


@runtime_checkable
class Divided(Protocol):
    """Named rows, each in a split: images or signals."""

    @property
    def name(self) -> str: ...

    @property
    def split(self) -> Int[np.ndarray, " rows"]: ...

    def take(self: S, rows: np.ndarray, /) -> S: ...


T = TypeVar("T", bound=Divided)


class Images(NamedTuple):
    """Gray or color images with labels and splits, on the host.

    pixels: (images, rows, columns, channels) float32 in [0, 1]; label: (images,) int32; split: (images,) int8, an
    index into `SPLITS`; index: (images,) int32, the image's number in its source; classes: the labels' names.
    """

    name: str
    pixels: np.ndarray
    label: np.ndarray
    split: np.ndarray
    index: np.ndarray  # type: ignore[assignment]
    classes: tuple[str, ...]

    def __repr__(self) -> str:
        what = f"{len(self.pixels)} images of {self.pixels.shape[1:]}, {len(self.classes)} classes"
        return f"Images({self.name!r}, {what}: {split_counts(self.split)})"

    def take(self, rows: np.ndarray) -> "Images":
        """The images of some rows, in that order. Raises IndexError for a row that there is not."""
        rows = check_rows("image", rows, len(self.label))
        arrays = (self.pixels[rows], self.label[rows], self.split[rows], self.index[rows])
        return Images(self.name, *arrays, self.classes)


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
        pixels: (images, rows, columns) or (images, rows, columns, channels): uint8, which is divided by 255, or floats
            in [0, 1].
        labels: (images,) integers from 0; None labels all with 0.
        split: (images,) indices into `SPLITS`; or the fractions of train, validation and test, drawn at random; None
            puts all into the training split, while `train.fit` needs a validation split too.
        classes: the labels' names; None takes their numbers.
        name: of the data set.

    Raises:
        DataError: pixels of another shape, dtype or range, or of more than four channels; labels that are no integers
            from 0; or a split that is neither. TypeError: one name for `classes`.

    Example:
        >>> found = images(np.full((10, 4, 4), 255, np.uint8), np.arange(10) % 2, split=(0.8, 0.1, 0.1))
        >>> found.pixels.shape, float(found.pixels.max()), np.bincount(found.split).tolist()
        ((10, 4, 4, 1), 1.0, [8, 1, 1])
    """
    check_several("classes", classes)
    array = np.asarray(pixels)
    if array.ndim not in (3, 4):
        raise DataError(f"pixels has shape {array.shape}; expected (images, rows, columns), with channels or without")
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
    integers = label.shape == (count,) and np.issubdtype(label.dtype, np.integer)
    if not integers or (count and not 0 <= label.min() <= label.max() < 2**31):
        raise DataError(
            f"labels have shape {label.shape} and dtype {label.dtype}; expected ({count},) integers from 0 to 2^31 - "
            f"1, one for each image"
        )
    names = tuple(map(str, range(int(label.max(initial=0)) + 1))) if classes is None else tuple(classes)
    rows = np.arange(count, dtype=np.int32)
    return check_images(Images(name, scaled, label.astype(np.int32), _split(split, count, name), rows, names))


def _split(split: ArrayLike | Sequence[float] | None, count: int, name: str) -> Int[np.ndarray, " rows"]:
    """Each image's split, from indices, which are checked before they are cut to 8 bits, or from fractions."""
    found = np.zeros(count, np.int8) if split is None else np.asarray(split)
    if not np.issubdtype(found.dtype, np.integer):
        return divided(np.random.default_rng(SPLIT_SEED).permutation(count), found)
    check_splits(found, name)
    return found.astype(np.int8)


def divided(order: np.ndarray, fractions: np.ndarray) -> np.ndarray:
    """The split of each of some rows: their order cut into parts of these fractions.

    Raises ValueError for other than three fractions in [0, 1] that sum to 1.
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


def split_counts(split: np.ndarray) -> str:
    """How many rows are in each split, such as "2 train, 0 validation, 1 test"."""
    return ", ".join(f"{np.sum(split == i)} {name}" for i, name in enumerate(SPLITS))


def check_splits(split: np.ndarray, name: str) -> None:
    """Raise DataError for a split that is no index into `SPLITS`: whatever lies in it would belong to no split."""
    wrong = np.flatnonzero(~np.isin(split, range(len(SPLITS))))
    if len(wrong):
        raise DataError(
            f"{name}: split of row {wrong[0]} is {split[wrong[0]]}; expected 0, 1 or 2, an index into {SPLITS}"
        )


def check_columns(found: Any, what: str, count: int) -> None:
    """Raise DataError unless there is something, each column has a row for it, and split and index can be right."""
    name = found.name
    for column in ("label", "split", "index"):
        if (rows := len(getattr(found, column))) != count:
            raise DataError(f"{name}: {column} has {rows} entries for {count} {what}; expected one each")
    if not count:
        raise DataError(f"{name} has no {what}; expected at least one")
    check_splits(found.split, name)
    numbers, times = np.unique(found.index, return_counts=True)
    if times.max() > 1:
        raise DataError(
            f"{name}: {times.max()} {what} have the number {numbers[times.argmax()]} in index; expected one each, as "
            f"networks start from a key of that number"
        )


def check_images(images: Images) -> Images:
    """The images; raises DataError for a shape, range or label that cannot be right."""
    if images.pixels.ndim != 4 or 0 in images.pixels.shape[1:]:
        found = f"pixels has shape {images.pixels.shape}"
        raise DataError(f"{found}; expected (images, rows, columns, channels), none of them 0")
    check_columns(images, "images", len(images.pixels))
    low, high = float(images.pixels.min()), float(images.pixels.max())
    if not (low >= 0 and high <= 1):
        raise DataError(f"{images.name}: pixels run from {low:g} to {high:g}; expected [0, 1]: divide them")
    if images.label.min() < 0 or images.label.max() >= len(images.classes):
        raise DataError(
            f"{images.name}: label runs from {images.label.min()} to {images.label.max()}; there are "
            f"{len(images.classes)} class names, of the labels from 0"
        )
    return images


def limit(found: T, count: int | None) -> T:
    """The first `count` of the found images or signals in a fixed shuffle, each split in its own proportion.

    None takes all of them.

    Raises:
        ValueError: more than there are, or fewer than one a split.

    Example:
        >>> from wsjax.data import load_images
        >>> len(limit(load_images("digits"), 100).pixels)
        100
    """
    total = len(found.split)
    if count is None or count == total:
        return found
    present = [s for s in range(len(SPLITS)) if (found.split == s).any()]
    if np.asarray(count).dtype.kind not in "iu" or not len(present) <= count <= total:
        raise ValueError(
            f"limit is {count!r}; {found.name} has {total}, in {len(present)} splits: give one integer from "
            f"{len(present)} to {total}"
        )
    sizes = np.array([(found.split == s).sum() for s in present])
    exact = sizes * count / total
    quota = np.maximum(1, np.floor(exact)).astype(int)
    while quota.sum() < count:
        quota[np.argmax(exact - quota)] += 1
    while quota.sum() > count:
        quota[np.argmax(quota)] -= 1
    rng = np.random.default_rng(0)
    chosen = [rng.permutation(np.flatnonzero(found.split == s))[:q] for s, q in zip(present, quota, strict=True)]
    return found.take(np.sort(np.concatenate(chosen)))
