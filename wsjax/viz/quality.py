"""How well the networks of a data set were fitted, and after how many steps."""

from pathlib import Path

import numpy as np

from wsjax.data import SPLITS, WeightDataset
from wsjax.viz.style import PALETTE, SOFT, Figure, figure, headline, place, plain, save

PURPOSE: dict[str, str] = dict(zip(SPLITS, ("to train on", "to choose by", "to test"), strict=True))
BINS = 60


def quality(dataset: WeightDataset, path: str | Path | None = None) -> Figure:
    """Draw the histogram of the PSNR of all networks, and that of their steps where each stopped at its own target.

    Args:
        dataset: fitted networks, with the columns `psnr` and `steps`.
        path: where to save; None saves nothing.

    Raises:
        ValueError: a data set without those columns, or without a network.

    Example:
        `networks` is a data set, as `data.fit` gives one.

        >>> [axes.get_xlabel() for axes in quality(networks).axes]
        ['PSNR, dB']
    """
    if not {"psnr", "steps"} <= set(dataset.columns):
        raise ValueError(
            f"{dataset.metadata.name} has the columns {sorted(dataset.columns)}; expected psnr and steps, as "
            f"data.fit makes them"
        )
    if not len(dataset):
        raise ValueError(f"{dataset.metadata.name} has no networks here; expected at least one: take another split")
    psnr, steps = dataset.columns["psnr"], dataset.columns["steps"]
    size = sum(int(np.prod(shape)) for shape in dataset.symmetry.shapes)
    counts = {name: int(np.sum(dataset.columns["split"] == i)) for i, name in enumerate(SPLITS)}
    page = figure(2.9)
    headline(
        page,
        f"{len(dataset):,} networks of {dataset.metadata.name}, {size:,} weights each",
        f"{', '.join(f'{count:,} {PURPOSE[name]}' for name, count in counts.items() if count)}: mean {psnr.mean():.1f} "
        f"dB, lowest {psnr.min():.1f} dB.",
    )
    shown = [("PSNR, dB", psnr, np.histogram_bin_edges(psnr, BINS))]
    values = np.unique(steps)
    if len(values) > 1:
        apart = np.diff(values).min()
        # A bar for each number of steps at which networks were asked, or for several where those are many.
        width = apart * -(-(values[-1] - values[0]) // (apart * BINS))
        shown.append(("steps made", steps, np.arange(values[0], values[-1] + 2 * width, width) - apart / 2))
    for i, (title, column, edges) in enumerate(shown):
        axes = place(page, 0.8 + 4.4 * i, 0.85, 3.5, 1.5)
        plain(axes)
        axes.hist(column, bins=edges.tolist(), color=PALETTE[i], rwidth=0.9 if i else None)
        axes.set_xlabel(title, size=8.5, color=SOFT)
        axes.set_ylabel("networks", size=8.5, color=SOFT)
    return save(page, path)
