"""Images, and other signals, beside the networks that hold them."""

import math
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np

from wsjax.data import Images, Signals, WeightDataset
from wsjax.data.fitting.grouped import psnr
from wsjax.data.sources.provenance import rows_of
from wsjax.viz.decode import decode_batch, refined
from wsjax.viz.fields import chosen_rows, field_fits
from wsjax.viz.style import EDGE, PAGE, SOFT, Figure, figure, headline, picture, place, save, write

LABELS, GAP, FINER = 1.2, 0.06, 8


def fits(
    found: Images | Signals,
    dataset: WeightDataset,
    path: str | Path | None = None,
    *,
    rows: Sequence[int] | None = None,
) -> Figure:
    """Draw images, their networks decoded on the image's own pixels with the PSNR under each, and decoded eight times
    as fine.

    PSNR is 10 log10(1 / mse) in dB between the first line and the second, before any clipping.

    Signals of one input are drawn as curves, of two as fields over the plane, of three as fields in space, by their
    surface and by slices through the middle: see `fields`. Solids are drawn as they are; of other signals only values
    at points are known, which are joined linearly.

    Args:
        found: what was fitted.
        dataset: the networks, whose column "image" says which image or signal each holds.
        path: where to save; None saves nothing.
        rows: which networks; None takes the first of each class, or the first where labels are targets, ten at most.

    Raises:
        ValueError: networks that cannot be decoded, or an image or signal that is not there.

    Example:
        `networks` is a data set, as `data.fit` made it of these images.

        >>> from wsjax import data
        >>> images = data.limit(data.load_images("digits"), 40)
        >>> len(fits(images, networks, rows=[0, 2]).axes)
        6
    """
    if isinstance(found, Signals):
        return field_fits(found, dataset, path, rows=rows)
    chosen = chosen_rows(dataset, rows)
    part = dataset.take(chosen)
    originals = found.pixels[rows_of(found, part.columns["image"])]
    shape = originals.shape[1:3]
    fine = np.asarray(decode_batch(part, part.weights, shape=refined(shape, FINER)))
    coarse = fine[:, ::FINER, ::FINER]
    quality = np.asarray(jax.jit(psnr)(np.square(coarse - originals).mean(axis=(1, 2, 3))))
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
            picture(axes, image, low=part.metadata.value_range[0], high=part.metadata.value_range[1])
            if line is coarse:
                axes.set_xlabel(f"{quality[i]:.1f} dB", size=8, color=SOFT, labelpad=2)
    return save(page, path)


def count(dataset: WeightDataset) -> int:
    """The numbers that one network's weights hold."""
    return sum(map(math.prod, dataset.symmetry.shapes))
