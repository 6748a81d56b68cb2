"""`Images`: what a source gives and a fit takes."""

from typing import NamedTuple, Protocol, TypeVar, runtime_checkable

import numpy as np
from jaxtyping import Int

from wsjax.errors import DataError, check_rows

SPLITS = ("train", "validation", "test")
OF_TEN = (0, 1, 2, 0, 0, 0, 0, 0, 0, 0)
"""The splits of ten made signals in turn, as indices into `SPLITS`: eight are for training."""
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


def split_counts(split: np.ndarray) -> str:
    """How many rows are in each split, in words.

    Example:
        >>> split_counts(np.array([0, 2, 0]))
        '2 train, 0 validation, 1 test'
    """
    return ", ".join(f"{np.sum(split == i)} {name}" for i, name in enumerate(SPLITS))


def check_splits(split: np.ndarray, name: str) -> None:
    """Raise DataError for a split that is no index into `SPLITS`: whatever lies in it would belong to no split.

    Example:
        >>> check_splits(np.array([0, 2]), "digits")
    """
    wrong = np.flatnonzero(~np.isin(split, range(len(SPLITS))))
    if len(wrong):
        raise DataError(
            f"{name}: split of row {wrong[0]} is {split[wrong[0]]}; expected 0, 1 or 2, an index into {SPLITS}"
        )


def check_columns(name: str, what: str, count: int, columns: dict[str, np.ndarray]) -> None:
    """Raise DataError unless there is something, each column has a row for it, and split and index can be right.

    Example:
        >>> rows = np.arange(3)
        >>> check_columns("digits", "images", 3, {"label": rows, "split": rows, "index": rows})
    """
    for column, found in columns.items():
        if len(found) != count:
            raise DataError(f"{name}: {column} has {len(found)} entries for {count} {what}; expected one each")
    if not count:
        raise DataError(f"{name} has no {what}; expected at least one")
    check_splits(columns["split"], name)
    numbers, times = np.unique(columns["index"], return_counts=True)
    if times.max() > 1:
        raise DataError(
            f"{name}: {times.max()} {what} have the number {numbers[times.argmax()]} in index; expected one each, as "
            f"networks start from a key of that number"
        )


def check_images(images: Images) -> Images:
    """The images, after checks of shape, range and labels.

    Raises:
        DataError: naming the array, what was found and what is expected.

    Example:
        >>> from wsjax.data import load_images
        >>> check_images(load_images("digits")).name
        'digits'
    """
    if images.pixels.ndim != 4:
        raise DataError(f"pixels has shape {images.pixels.shape}; expected (images, rows, columns, channels)")
    columns = {"label": images.label, "split": images.split, "index": images.index}
    check_columns(images.name, "images", len(images.pixels), columns)
    low, high = float(images.pixels.min()), float(images.pixels.max())
    if not (low >= 0 and high <= 1):
        raise DataError(f"{images.name}: pixels run from {low:g} to {high:g}; expected [0, 1]: divide them")
    if images.label.min() < 0 or images.label.max() >= len(images.classes):
        raise DataError(
            f"{images.name}: label runs to {images.label.max()}; there are {len(images.classes)} class names"
        )
    return images


def limit(found: T, count: int | None) -> T:
    """The first `count` images or signals of a fixed shuffle, each split in its own proportion; all of them for None.

    Args:
        found: images or signals.
        count: how many to keep; None for all.

    Example:
        >>> from wsjax.data import load_images
        >>> digits = load_images("digits")
        >>> len(limit(digits, 100).pixels)
        100

    Raises:
        ValueError: more than there are, or fewer than one a split.
    """
    total = len(found.split)
    if count is None or count == total:
        return found
    present = [s for s in range(len(SPLITS)) if (found.split == s).any()]
    if np.asarray(count).dtype.kind not in "iu" or not len(present) <= count <= total:
        raise ValueError(
            f"limit is {count!r}; {found.name} has {total}, in {len(present)} splits: give one "
            f"integer from {len(present)} to {total}"
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
