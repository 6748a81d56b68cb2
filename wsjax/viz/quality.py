"""How good the networks of a data set are: of a fit by their PSNR, of a zoo of classifiers by their accuracies."""

from pathlib import Path

import numpy as np

from wsjax.data import WeightDataset
from wsjax.data.sources import SPLITS
from wsjax.data.zoo.recipe import LOGARITHMIC, OPTIMIZERS, UNIFORM
from wsjax.errors import listing
from wsjax.viz.style import FAINT, PALETTE, Axes, Figure, chart, figure, headline, percent, save, text_width, write

PURPOSE: dict[str, str] = dict(zip(SPLITS, ("to train on", "to choose by", "to test"), strict=True))
BINS = 60

SETTINGS = (*LOGARITHMIC, *UNIFORM)
NEEDED = ("view", "train_accuracy", "test_accuracy", "diverged", "optimizer", *SETTINGS)
LEFT, TOP, WIDE, TALL, ACROSS, DOWN = 0.65, 0.95, 2.25, 1.75, 2.88, 2.45
"""Of a zoo: its columns, and the places of its charts in inches."""


def quality(dataset: WeightDataset, path: str | Path | None = None) -> Figure:
    """Draw the histogram of the PSNR of all networks, and that of their steps where each stopped at its own target.

    `dataset` holds fitted networks; `path` is where to save.

    Raises:
        ValueError: a data set without the columns `psnr` and `steps`, or without a network.

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
        axes = chart(page, 0.8 + 4.4 * i, 0.85, 3.5, 1.5, title, "networks")
        axes.hist(column, bins=edges.tolist(), color=PALETTE[i], rwidth=0.9 if i else None)
    return save(page, path)


def zoo(dataset: WeightDataset, path: str | Path | None = None) -> Figure:
    """Draw a zoo's accuracies: their histogram, training against test, and each setting drawn against test.

    Every network of `dataset` counts once, at its last step; crosses are networks that diverged. Colors are optimizers.
    `path` is where to save.

    Raises:
        ValueError: a data set that is no zoo, as `data.fit` makes one with a `ZooRecipe`.

    Example:
        >>> from wsjax import data
        >>> digits = data.limit(data.load_images("digits"), 20)
        >>> recipe = data.ZooRecipe(data.zoo.zoo_network("mlp", digits, (4,)), count=2, steps=2, slots=2)
        >>> networks = data.fit(digits, recipe=recipe, progress=False)
        >>> [axes.get_xlabel() for axes in zoo(networks).axes][:4]
        ['test accuracy', 'test accuracy', 'learning rate', 'weight decay']
    """
    absent = [name for name in NEEDED if name not in dataset.columns]
    if absent:
        name = dataset.metadata.name
        raise ValueError(f"{name} has no columns {listing(absent)}; expected a zoo, as data.fit makes with a ZooRecipe")
    last = dataset.columns["view"] == dataset.columns["view"].max()
    columns = {name: np.asarray(dataset.columns[name])[last] for name in NEEDED}
    varied = [name for name in SETTINGS if len(np.unique(columns[name])) > 1]
    page = figure(TOP + DOWN * -(-(len(varied) + 2) // 3))
    accuracy, diverged = columns["test_accuracy"], int(columns["diverged"].sum())
    headline(
        page,
        f"{len(accuracy):,} classifiers of {dataset.metadata.source.get('name', dataset.metadata.name)}",
        f"Test accuracy from {accuracy.min():.1%} to {accuracy.max():.1%}, median {np.median(accuracy):.1%}; "
        f"{diverged or 'none'} diverged{' (crosses)' if diverged else ''}.",
    )
    _legend(page, columns["optimizer"])
    words = [("test accuracy", "networks"), ("test accuracy", "training accuracy")]
    for i, name in enumerate(varied, start=2):
        words.append((name.replace("_", " "), "test accuracy" if i == 2 or i % 3 == 0 else ""))
    places = [(LEFT + ACROSS * (i % 3), TOP + DOWN * (i // 3)) for i in range(len(words))]
    spots = [chart(page, *where, WIDE, TALL, *said) for where, said in zip(places, words, strict=True)]
    spots[0].hist(accuracy, bins=np.linspace(0, 1, 41).tolist(), color=PALETTE[0], alpha=0.85)
    spots[1].plot([0, 1], [0, 1], color=FAINT, linewidth=1.2)
    _points(spots[1], accuracy, columns["train_accuracy"], columns)
    for axes, name in zip(spots[2:], varied, strict=True):
        _points(axes, columns[name], accuracy, columns)
        if name in LOGARITHMIC:
            _logarithmic(axes, columns[name])
    for axes in spots[:2]:
        axes.set_xlim(-0.02, 1.02)
        percent(axes.xaxis, 0)
    for axes in spots[1:]:
        axes.set_ylim(-0.04, 1.04)
        percent(axes.yaxis, 0)
    return save(page, path)


def zoo_table(dataset: WeightDataset) -> str:
    """A zoo's networks at their last step, in a line for each optimizer."""
    last = dataset.columns["view"] == dataset.columns["view"].max()
    lines = ["optimizer  networks  diverged  test accuracy: lowest  median  highest  training: median"]
    for i in np.unique(dataset.columns["optimizer"]).tolist():
        own = {name: column[last & (dataset.columns["optimizer"] == i)] for name, column in dataset.columns.items()}
        low, middle, high = np.quantile(own["test_accuracy"], (0, 0.5, 1))
        lines.append(
            f"{OPTIMIZERS[i]:9}  {len(own['run']):8,}  {own['diverged'].sum():8,}  {low:22.1%}  {middle:6.1%}  "
            f"{high:7.1%}  {np.median(own['train_accuracy']):16.1%}"
        )
    return "\n".join(lines)


def _logarithmic(axes: Axes, values: np.ndarray) -> None:
    """A logarithmic axis with a tick at every power of ten, and between them where there are few."""
    from matplotlib.ticker import LogLocator, NullLocator

    axes.set_xscale("log")
    decades = np.log10(values.max() / values.min())
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0) if decades < 3 else (1.0,)))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0e}" if value < 1e-4 else f"{value:g}")
    axes.xaxis.set_minor_locator(NullLocator())


def _points(axes: Axes, x: np.ndarray, y: np.ndarray, columns: dict[str, np.ndarray]) -> None:
    """Two columns against each other: a dot for each network, a cross for one that diverged."""
    fine = max(0.15, min(0.7, 300 / len(x)))
    for i in np.unique(columns["optimizer"]).tolist():
        for diverged, marker in enumerate("ox"):
            rows = (columns["optimizer"] == i) & (columns["diverged"] == diverged)
            axes.plot(x[rows], y[rows], marker, color=PALETTE[i], markersize=3, alpha=fine, markeredgewidth=0.6)


def _legend(page: Figure, optimizer: np.ndarray) -> None:
    left = LEFT
    for i in np.unique(optimizer).tolist():
        write(page, left, 0.62, f"● {OPTIMIZERS[i]}", color=PALETTE[i])
        left += 0.35 + text_width(f"● {OPTIMIZERS[i]}", 8.5)
