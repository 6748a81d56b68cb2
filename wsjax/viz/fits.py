"""Images beside the networks that hold them."""

import math
from collections.abc import Sequence
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from wsjax.data import Images, WeightDataset, psnr
from wsjax.errors import listing
from wsjax.viz.decode import decode_batch, refined
from wsjax.viz.style import EDGE, PAGE, SOFT, figure, headline, picture, place, save, write

LABELS, GAP, FINER = 1.2, 0.06, 8


def fits(
    images: Images, dataset: WeightDataset, path: str | Path | None = None, *, rows: Sequence[int] | None = None
) -> Figure:
    """Draw images, their networks decoded on the image's own pixels with the PSNR under each, and decoded eight times
    as fine.

    PSNR is 10 log10(1 / mse) in dB between the first line and the second, before any clipping.

    Args:
        images: what was fitted.
        dataset: the networks, whose column "image" says which image each holds.
        path: where to save; None saves nothing.
        rows: which networks; None takes the first of each class, ten at most.

    Raises:
        ValueError: networks that cannot be decoded, or an image that `images` does not have.

    Example:
        >>> from wsjax import data
        >>> recipe = data.Recipe(data.default_recipe("digits").network, steps=1, lanes=3)
        >>> few = data.limit(data.load_images("digits"), 3)
        >>> networks = data.fit_dataset_in_memory(few, recipe, workers=1, progress=False)
        >>> len(fits(few, networks, rows=[0, 2]).axes)
        6
    """
    chosen = first_of_each_class(dataset, 10) if rows is None else np.asarray(rows, int)
    part = dataset.take(chosen)
    originals = images_of(images, part)
    shape = originals.shape[1:3]
    coarse, fine = (np.asarray(decode_batch(part, part.weights, shape=s)) for s in (shape, refined(shape, FINER)))
    quality = np.asarray(psnr(jnp.asarray(np.square(coarse - originals).mean(axis=(1, 2, 3)))))
    side = min(1.2, (PAGE - 2 * EDGE - LABELS) / len(chosen) - GAP)
    tall = side * shape[0] / shape[1]
    steps = np.cumsum([0.7, tall + GAP, tall + 0.24])
    page = figure(steps[-1] + tall + EDGE)
    headline(
        page,
        f"{len(chosen)} images and the networks that hold them",
        f"Each network maps a coordinate to a pixel value; its {count(part):,} weights are all that is stored.",
    )
    names = ("the image", "its network at\nthe same pixels,\nPSNR below", f"its network,\n{FINER} times as fine")
    for top, name, line in zip(steps, names, (originals, coarse, fine), strict=True):
        write(page, EDGE, top + tall / 2, name, va="center")
        for i, image in enumerate(line):
            axes = place(page, EDGE + LABELS + i * (side + GAP), top, side, tall)
            picture(axes, image, low=part.card.value_range[0], high=part.card.value_range[1])
            if line is coarse:
                axes.set_xlabel(f"{quality[i]:.1f} dB", size=8, color=SOFT, labelpad=2)
    return save(page, path)


def first_of_each_class(dataset: WeightDataset, most: int) -> np.ndarray:
    """The row of the first network of each class, in the order of the classes."""
    return np.unique(np.asarray(dataset.label), return_index=True)[1][:most]


def images_of(images: Images, dataset: WeightDataset) -> np.ndarray:
    """The pixels (networks, rows, columns, channels) that each network of a data set was fitted to."""
    wanted = np.asarray(dataset.columns["image"])
    order = np.argsort(images.index)
    place = order[np.searchsorted(images.index, wanted, sorter=order).clip(max=len(order) - 1)]
    absent = wanted[images.index[place] != wanted]
    if len(absent):
        raise ValueError(
            f"images {listing(absent[:5])} of {dataset.card.name} are not among the {len(order)} of {images.name}; "
            f"expected the images that the networks were fitted to: load that source without a limit"
        )
    return images.pixels[place]


def count(dataset: WeightDataset) -> int:
    """The numbers that one network's weights hold."""
    return sum(map(math.prod, dataset.symmetry.shapes))
