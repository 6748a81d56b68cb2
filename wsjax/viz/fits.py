"""Images, and other signals, beside the networks that hold them; and any networks side by side."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from wsjax.data import Images, Metadata, Signals, WeightDataset
from wsjax.data.fitting.grouped import psnr
from wsjax.data.sources.provenance import rows_of
from wsjax.typing import Weights
from wsjax.viz.decode import decode, refined
from wsjax.viz.fields import chosen_rows, field_fits
from wsjax.viz.style import EDGE, PAGE, SOFT, Figure, figure, headline, place, save, show_image, write

LABELS, GAP, FINER = 1.2, 0.06, 8
MOST, CAPTION = 8, 0.22
"""Of `images`: networks to a line, and the room for a word under each."""


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

    Signals of one to three inputs are drawn as `fields` draws networks. Solids are drawn as they are; of other signals
    only values at points are known, which are joined linearly.

    `found` is what was fitted; the column "image" of `dataset` says which of it each network holds. `rows` are those
    that are drawn; None takes the first of each class, or the first where labels are targets, ten at most. `path` is
    where to save.

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
    fine = np.asarray(decode(part, part.weights, shape=refined(shape, FINER)))
    coarse = fine[:, ::FINER, ::FINER]
    quality = np.asarray(psnr(np.square(coarse - originals).mean(axis=(1, 2, 3))))
    side = min(1.2, (PAGE - 2 * EDGE - LABELS) / len(chosen) - GAP)
    tall = side * shape[0] / shape[1]
    size = sum(map(math.prod, part.symmetry.shapes))
    steps = np.cumsum([0.7, tall + GAP, tall + 0.24])
    page = figure(steps[-1] + tall + EDGE)
    headline(
        page,
        f"{len(chosen)} images and the networks that hold them",
        f"Each network maps a coordinate to a pixel value; its {size:,} weights are all that is stored.",
    )
    names = ("the image", "its network at\nthe same pixels,\nPSNR below", f"its network,\n{FINER} times as fine")
    for top, name, line in zip(steps, names, (originals, coarse, fine), strict=True):
        write(page, EDGE, top + tall / 2, name, va="center")
        for i, image in enumerate(line):
            axes = place(page, EDGE + LABELS + i * (side + GAP), top, side, tall)
            show_image(axes, image, low=part.metadata.value_range[0], high=part.metadata.value_range[1])
            if line is coarse:
                axes.set_xlabel(f"{quality[i]:.1f} dB", size=8, color=SOFT, labelpad=2)
    return save(page, path)


def images(
    source: Metadata | WeightDataset,
    weights: Weights,
    path: str | Path | None = None,
    *,
    captions: Sequence[str] = (),
    shape: Sequence[int] | None = None,
) -> Figure:
    """Draw stacked networks decoded side by side, eight to a line.

    `source` is the data set of the `weights`, or its metadata; `captions` has a word for each; `shape` is (rows,
    columns), by default the resolution that was fitted. `path` is where to save.

    Raises:
        ValueError: networks that cannot be decoded, or as many captions as networks are not.

    Example:
        `networks` is a data set of images, as `data.fit` gives one.

        >>> some = networks.take(np.array([3, 5, 8]))
        >>> len(images(some, some.weights, captions=["a", "b", "c"]).axes)
        3
    """
    shown = np.asarray(decode(source, weights, shape=shape))
    words = list(captions) or [""] * len(shown)
    if len(words) != len(shown):
        raise ValueError(f"there are {len(words)} captions for {len(shown)} networks; expected one each, or none")
    low, high = (source.metadata if isinstance(source, WeightDataset) else source).value_range
    columns = min(len(shown), MOST)
    side = min(1.5, (PAGE - 2 * EDGE + GAP) / columns - GAP)
    tall = side * shown.shape[1] / shown.shape[2]
    step = tall + GAP + (CAPTION if any(words) else 0.0)
    page = figure(2 * EDGE + step * -(-len(shown) // columns), width=2 * EDGE + columns * (side + GAP) - GAP)
    for i, (image, word) in enumerate(zip(shown, words, strict=True)):
        left, top = EDGE + i % columns * (side + GAP), EDGE + i // columns * step
        show_image(place(page, left, top, side, tall), image, low=low, high=high)
        write(page, left + side / 2, top + tall + 0.05, word, size=8, color=SOFT, ha="center")
    return save(page, path)
