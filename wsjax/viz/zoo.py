"""A zoo of classifiers at a glance: how good they are, and what that depends on."""

from pathlib import Path

import numpy as np
from jaxtyping import Bool

from wsjax.data import WeightDataset
from wsjax.data.zoo import OPTIMIZERS
from wsjax.errors import listing
from wsjax.viz.style import (
    FAINT,
    PALETTE,
    SOFT,
    Axes,
    Figure,
    figure,
    headline,
    percent,
    place,
    plain,
    save,
    text_width,
    write,
)

SETTINGS = ("learning_rate", "weight_decay", "init_scale", "train_fraction", "dropout", "label_noise")
LOGARITHMIC = SETTINGS[:3]
NEEDED = ("view", "train_accuracy", "test_accuracy", "diverged", "optimizer", *SETTINGS)
LEFT, TOP, WIDE, TALL, ACROSS, DOWN = 0.65, 0.95, 2.25, 1.75, 2.88, 2.45


def zoo(dataset: WeightDataset, path: str | Path | None = None) -> Figure:
    """Draw a zoo's accuracies: their histogram, training against test, and each setting drawn against test.

    Every network counts once, at its last step; crosses are networks that diverged. Colors are optimizers.

    Args:
        dataset: as `data.fit` with a `ZooRecipe` makes it.
        path: where to save; None saves nothing.

    Raises:
        ValueError: a data set without a zoo's columns.

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
        raise ValueError(
            f"{dataset.metadata.name} has no columns {listing(absent)}; expected a zoo, as data.fit "
            f"with a ZooRecipe makes"
        )
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
    spots = [_spot(page, i) for i in range(len(varied) + 2)]
    spots[0].hist(accuracy, bins=np.linspace(0, 1, 41).tolist(), color=PALETTE[0], alpha=0.85)
    spots[0].set_ylabel("networks", size=8.5, color=SOFT)
    spots[0].set_xlabel("test accuracy", size=8.5, color=SOFT)
    spots[1].plot([0, 1], [0, 1], color=FAINT, linewidth=1.2)
    _points(spots[1], accuracy, columns["train_accuracy"], columns)
    spots[1].set_xlabel("test accuracy", size=8.5, color=SOFT)
    spots[1].set_ylabel("training accuracy", size=8.5, color=SOFT)
    for i, (axes, name) in enumerate(zip(spots[2:], varied, strict=True), start=2):
        _points(axes, columns[name], accuracy, columns)
        axes.set_xlabel(name.replace("_", " "), size=8.5, color=SOFT)
        if i in (2, *range(3, len(spots), 3)):
            axes.set_ylabel("test accuracy", size=8.5, color=SOFT)
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
    """A zoo's networks at their last step, in a line for each optimizer.

    Args:
        dataset: a zoo, as `data.fit` with a `ZooRecipe` makes it.

    Example:
        >>> from wsjax import data
        >>> digits = data.limit(data.load_images("digits"), 20)
        >>> recipe = data.ZooRecipe(data.zoo.zoo_network("mlp", digits, (4,)), count=2, steps=2, slots=2)
        >>> len(zoo_table(data.fit(digits, recipe=recipe, progress=False)).splitlines()) > 1
        True
    """
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


def _spot(page: Figure, number: int) -> Axes:
    axes = place(page, LEFT + ACROSS * (number % 3), TOP + DOWN * (number // 3), WIDE, TALL)
    plain(axes)
    return axes


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

    def draw(rows: Bool[np.ndarray, " networks"], marker: str, color: str) -> None:
        axes.plot(x[rows], y[rows], marker, color=color, markersize=3, alpha=fine, markeredgewidth=0.6)

    for i in np.unique(columns["optimizer"]).tolist():
        own = columns["optimizer"] == i
        draw(own & (columns["diverged"] == 0), "o", PALETTE[i])
        draw(own & (columns["diverged"] == 1), "x", PALETTE[i])


def _legend(page: Figure, optimizer: np.ndarray) -> None:
    left = LEFT
    for i in np.unique(optimizer).tolist():
        write(page, left, 0.62, f"● {OPTIMIZERS[i]}", color=PALETTE[i])
        left += 0.35 + text_width(f"● {OPTIMIZERS[i]}", 8.5)
