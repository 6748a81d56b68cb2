"""`Images`: what a source gives and a fit takes."""

from typing import NamedTuple

import numpy as np

from wsjax.errors import DataError

SPLITS = ("train", "validation", "test")


class Images(NamedTuple):
    """Grey or colour images with labels and splits, on the host.

    pixels: (images, rows, columns, channels) float32 in [0, 1]; label: (images,) int32; split: (images,) int8, an
    index into `SPLITS`; index: (images,) int32, the image's number in its source; classes: the labels' names.
    """

    name: str
    pixels: np.ndarray
    label: np.ndarray
    split: np.ndarray
    index: np.ndarray  # type: ignore[assignment]
    classes: tuple[str, ...]

    def take(self, rows: np.ndarray) -> "Images":
        """The images of some rows, in that order."""
        arrays = (self.pixels[rows], self.label[rows], self.split[rows], self.index[rows])
        return Images(self.name, *arrays, self.classes)


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


def check_images(images: Images) -> Images:
    """The images, after checks of shape, range and labels.

    Raises:
        DataError: naming the array, what was found and what is expected.

    Example:
        >>> from wsjax.data import load_images
        >>> check_images(load_images("digits")).name
        'digits'
    """
    count = len(images.pixels)
    if images.pixels.ndim != 4:
        raise DataError(f"pixels has shape {images.pixels.shape}; expected (images, rows, columns, channels)")
    for name in ("label", "split", "index"):
        length = len(getattr(images, name))
        if length != count:
            raise DataError(f"{images.name}: {name} has {length} entries for {count} images; expected one each")
    if not count:
        raise DataError(f"{images.name} has no images; expected at least one")
    check_splits(images.split, images.name)
    numbers, times = np.unique(images.index, return_counts=True)
    if times.max() > 1:
        raise DataError(
            f"{images.name}: {times.max()} images have the number {numbers[times.argmax()]} in index; expected one "
            f"each, as networks start from a key of that number"
        )
    low, high = float(images.pixels.min()), float(images.pixels.max())
    if not (low >= 0 and high <= 1):
        raise DataError(f"{images.name}: pixels run from {low:g} to {high:g}; expected [0, 1]: divide them")
    if images.label.min() < 0 or images.label.max() >= len(images.classes):
        raise DataError(
            f"{images.name}: label runs to {images.label.max()}; there are {len(images.classes)} class names"
        )
    return images


def limit(images: Images, count: int | None) -> Images:
    """The first `count` images of a fixed shuffle, each split in its own proportion; all of them for None.

    Example:
        >>> from wsjax.data import load_images
        >>> digits = load_images("digits")
        >>> len(limit(digits, 100).pixels)
        100

    Raises:
        ValueError: more images than there are, or fewer than one a split.
    """
    total = len(images.pixels)
    if count is None or count == total:
        return images
    present = [s for s in range(len(SPLITS)) if (images.split == s).any()]
    if not len(present) <= count <= total:
        raise ValueError(
            f"limit is {count}; {images.name} has {total} images in {len(present)} splits: give a number between"
        )
    sizes = np.array([(images.split == s).sum() for s in present])
    exact = sizes * count / total
    quota = np.maximum(1, np.floor(exact)).astype(int)
    while quota.sum() < count:
        quota[np.argmax(exact - quota)] += 1
    while quota.sum() > count:
        quota[np.argmax(quota)] -= 1
    rng = np.random.default_rng(0)
    chosen = [rng.permutation(np.flatnonzero(images.split == s))[:q] for s, q in zip(present, quota, strict=True)]
    return images.take(np.sort(np.concatenate(chosen)))
