"""Any networks, side by side."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from wsjax.data import Metadata, WeightDataset
from wsjax.typing import Weights
from wsjax.viz.decode import decode_batch
from wsjax.viz.style import EDGE, PAGE, SOFT, Figure, figure, picture, place, save, write

MOST, GAP, CAPTION = 8, 0.08, 0.22


def pictures(
    source: Metadata | WeightDataset,
    weights: Weights,
    path: str | Path | None = None,
    *,
    captions: Sequence[str] = (),
    shape: Sequence[int] | None = None,
) -> Figure:
    """Draw stacked networks decoded side by side, eight to a line.

    Args:
        source: the networks' data set, or its metadata.
        weights: stacked networks.
        path: where to save; None saves nothing.
        captions: a word under each; none without it.
        shape: (rows, columns) to decode at; None takes the resolution that was fitted.

    Raises:
        ValueError: networks that cannot be decoded, or as many captions as networks are not.

    Example:
        `networks` is a data set of images, as `data.fit` gives one.

        >>> some = networks.take(np.array([3, 5, 8]))
        >>> len(pictures(some, some.weights, captions=["a", "b", "c"]).axes)
        3
    """
    decoded = np.asarray(decode_batch(source, weights, shape=shape))
    words = list(captions) or [""] * len(decoded)
    if len(words) != len(decoded):
        raise ValueError(f"there are {len(words)} captions for {len(decoded)} networks; expected one each, or none")
    low, high = (source.metadata if isinstance(source, WeightDataset) else source).value_range
    columns = min(len(decoded), MOST)
    side = min(1.5, (PAGE - 2 * EDGE + GAP) / columns - GAP)
    tall = side * decoded.shape[1] / decoded.shape[2]
    step = tall + GAP + (CAPTION if any(words) else 0.0)
    page = figure(2 * EDGE + step * -(-len(decoded) // columns), width=2 * EDGE + columns * (side + GAP) - GAP)
    for i, (image, word) in enumerate(zip(decoded, words, strict=True)):
        left, top = EDGE + i % columns * (side + GAP), EDGE + i // columns * step
        picture(place(page, left, top, side, tall), image, low=low, high=high)
        write(page, left + side / 2, top + tall + 0.05, word, size=8, color=SOFT, ha="center")
    return save(page, path)
