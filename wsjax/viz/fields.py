"""Networks that hold no image, beside what they were fitted to: curves, fields over the plane, fields in space."""

from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.ndimage import map_coordinates
from jax.tree_util import Partial
from jaxtyping import Array, ArrayLike, Float

from wsjax.data import Metadata, Signals, WeightDataset
from wsjax.data.fitting.grouped import psnr
from wsjax.data.sources import solid
from wsjax.data.sources.provenance import rows_of
from wsjax.floats import widened
from wsjax.typing import Points, Weights
from wsjax.viz.decode import network_of
from wsjax.viz.slices import View, views
from wsjax.viz.style import EDGE, PAGE, PALETTE, SOFT, Figure, chart, figure, headline, place, save, write

LABELS, GAP, TOP, CAPTION = 0.8, 0.06, 0.72, 0.2
ACROSS, TALL = 5, 0.95
"""Curves to a row, and how high each is."""

MOST = 10
"""Networks in a figure."""

CELLS = {1: 512, 2: 128, 3: 40}
"""Cells along each axis, by the number of inputs, of a function that is known at scattered points."""

ALONE = "Each network maps a coordinate to its {}."
BESIDE = "Each network maps a coordinate to its {}; PSNR at the points it was fitted to."
SLICES = " Lines are 0.1 apart, the thick one at the surface."


def fields(dataset: WeightDataset, path: str | Path | None = None, *, rows: Sequence[int] | None = None) -> Figure:
    """Draw the functions that networks of one, two or three inputs hold, the first channel of each.

    Curves; fields over the plane; or fields in space, by their surface from one side and by slices through the
    middle, where thin lines are a tenth apart and the thick one is the surface.

    `rows` are those of `dataset` that are drawn; None takes the first of each class, or the first where labels are
    targets, ten at most. `path` is where to save.

    Raises:
        ValueError: networks that cannot be run, or of more than three inputs.

    Example:
        `networks` is a data set, as `data.fit` gives one.

        >>> len(fields(networks, rows=[0, 2]).axes)
        2
    """
    inputs = _inputs(dataset.metadata)
    part = dataset.take(chosen_rows(dataset, rows))
    functions, names = [held(part, i) for i in range(len(part))], class_names(part)
    title, subtitle = f"{len(part)} networks and what they hold", ALONE.format(_quantity(part.metadata))
    if inputs == 1:
        return save(_curves(part.metadata, title, subtitle, [[function] for function in functions], names), path)
    lines = [(view.name, view, [] if i else names) for i, view in enumerate(views(part.metadata, functions))]
    return save(_lines(title, subtitle + SLICES * (inputs == 3), lines), path)


def field_fits(
    signals: Signals, dataset: WeightDataset, path: str | Path | None = None, *, rows: Sequence[int] | None = None
) -> Figure:
    """Draw signals of one, two or three inputs beside the networks that hold them, as `fields` does."""
    inputs = _inputs(dataset.metadata)
    part = dataset.take(chosen_rows(dataset, rows))
    few = signals.take(rows_of(signals, part.columns["image"]))
    truths, networks = [given(few, i) for i in range(len(part))], [held(part, i) for i in range(len(part))]
    names, quality = class_names(part), [f"{decibels:.1f} dB" for decibels in _psnr(few, part)]
    title, subtitle = f"{len(part)} signals and the networks that hold them", BESIDE.format(_quantity(part.metadata))
    if inputs == 1:
        pairs = [list(pair) for pair in zip(networks, truths, strict=True)]
        return save(_curves(part.metadata, title, subtitle, pairs, quality), path)
    lines = []
    for i, view in enumerate(views(part.metadata, [*truths, *networks])):
        halves = view.images[: len(part)], view.images[len(part) :]
        for images, who, words in zip(halves, ("given", "network"), (names, quality), strict=True):
            half = view._replace(images=images)
            lines.append((f"{view.name}\n{who}".strip(), half, words if i == 0 else []))
    return save(_lines(title, subtitle + SLICES * (inputs == 3), lines), path)


def _inputs(metadata: Metadata) -> int:
    inputs = 0 if metadata.network is None else metadata.network.widths[0]
    if inputs not in (1, 2, 3):
        found = f"{inputs} inputs" if inputs else "no architecture on their metadata"
        raise ValueError(
            f"the networks of {metadata.name} have {found}; expected 1, 2 or 3 inputs: apply them to "
            f"points and draw their values yourself"
        )
    return inputs


def _quantity(metadata: Metadata) -> str:
    return str(metadata.source.get("quantity", "value"))


def _psnr(signals: Signals, dataset: WeightDataset) -> np.ndarray:
    assert dataset.metadata.network is not None
    apply = dataset.metadata.network.apply

    def quality(weights: Weights, points: Points, values: Array) -> Array:
        error = apply(jax.tree.map(widened, weights), points) - values
        return psnr(jnp.mean(jnp.square(error)), signals.peak)

    found = jax.jit(jax.vmap(quality, (0, None if signals.shared else 0, 0)))
    return np.asarray(found(dataset.weights, signals.points, signals.values))


def _lines(title: str, subtitle: str, lines: Sequence[tuple[str, View, Sequence[str]]]) -> Figure:
    """Lines of images one under the other: what each line shows at its left, a word under each image."""
    count = len(lines[0][1].images)
    side = min(1.5, (PAGE - 2 * EDGE - LABELS) / count - GAP)
    heights = [side + (CAPTION if words else 0.0) + GAP for _, _, words in lines]
    page = figure(TOP + sum(heights) + EDGE)
    headline(page, title, subtitle)
    for (name, view, words), top in zip(lines, TOP + np.cumsum([0.0, *heights[:-1]]), strict=True):
        write(page, EDGE, top + side / 2, name, size=8, va="center")
        for i, shown in enumerate(view.images):
            left = EDGE + LABELS + i * (side + GAP)
            view.draw(place(page, left, top, side, side), shown)
            if words:
                write(page, left + side / 2, top + side + 0.04, words[i], size=7, color=SOFT, ha="center")
    return page


def _curves(
    metadata: Metadata, title: str, subtitle: str, functions: Sequence[Sequence[Partial]], words: Sequence[str]
) -> Figure:
    """Each network's curve, over the wider and paler one that it was fitted to where that is known."""
    low, high = metadata.coordinate_range
    x = np.linspace(low, high, 512, dtype=np.float32)
    wide = (PAGE - 2 * EDGE) / ACROSS
    page = figure(TOP + -(-len(functions) // ACROSS) * (TALL + 0.45))
    headline(page, title, subtitle)
    for i, (own, word) in enumerate(zip(functions, words, strict=True)):
        left, top = EDGE + i % ACROSS * wide, TOP + i // ACROSS * (TALL + 0.45)
        axes = chart(page, left + 0.3, top, wide - 0.4, TALL)
        styles = ({"color": PALETTE[0], "linewidth": 1.1}, {"color": PALETTE[1], "linewidth": 3.5, "alpha": 0.4})
        for function, style in reversed(list(zip(own, styles, strict=False))):
            axes.plot(x, np.asarray(values_at(function, x[:, None])), **style)
        axes.tick_params(labelsize=6.5)
        axes.set_xlabel(word, size=7.5, color=SOFT, labelpad=2)
    return page


def chosen_rows(dataset: WeightDataset, rows: Sequence[int] | None) -> np.ndarray:
    """The rows asked for; else the first network of each class, in the order of the classes, or the first few where
    labels are targets."""
    if rows is not None:
        return np.asarray(rows, int)
    if not dataset.metadata.classes:
        return np.arange(min(MOST, len(dataset)))
    return np.unique(np.asarray(dataset.label), return_index=True)[1][:MOST]


def class_names(dataset: WeightDataset) -> list[str]:
    """The name of each network's class; empty where labels are targets."""
    classes = dataset.metadata.classes
    return [classes[int(label)] if classes else "" for label in dataset.label]


def held(dataset: WeightDataset, row: int) -> Partial:
    """What one network gives: (points, inputs) to (points,), its first channel; half types are computed in float32."""
    return Partial(_first, Partial(network_of(dataset.metadata).apply), dataset.network(row))


def given(signals: Signals, row: int) -> Partial:
    """What one signal is: (points, inputs) to (points,), its first channel.

    Solids are exact. Of others only values at points are known: in between they are joined linearly, over the
    simplices of the points' Delaunay triangulation, and beyond it is the nearest point's value; all on a fine grid.
    """
    if signals.name == "solids":
        exact = solid(int(signals.index[row]), seed=signals.options["seed"])
        return exact if signals.quantity == "signed distance" else Partial(_inside, exact)
    points = signals.points if signals.shared else signals.points[row]
    inputs, (low, high) = points.shape[-1], signals.coordinate_range
    ticks = np.linspace(low, high, CELLS[inputs])
    wanted = np.stack(np.meshgrid(*[ticks] * inputs, indexing="ij"), axis=-1).reshape(-1, inputs)
    values = signals.values[row, :, 0]
    if inputs == 1:
        order = np.argsort(points[:, 0])
        found = np.interp(wanted[:, 0], points[order, 0], values[order])
    else:
        from scipy.interpolate import LinearNDInterpolator, NearestNDInterpolator

        found = LinearNDInterpolator(points, values)(wanted)
        beyond = np.isnan(found)
        found[beyond] = NearestNDInterpolator(points, values)(wanted[beyond])
    cells = found.astype(np.float32).reshape((CELLS[inputs],) * inputs)
    return Partial(_between, cells, np.array([low, high], np.float32))


@jax.jit
def values_at(function: Partial, points: Points) -> Float[Array, " points"]:
    """A function's values, by one program for all of a kind."""
    return function(points)


def _first(apply: Partial, weights: Weights, points: Points) -> Float[Array, " points"]:
    return apply(jax.tree.map(widened, weights), points)[:, 0]


def _inside(distance: Partial, points: Points) -> Float[Array, " points"]:
    return (distance(points) < 0).astype(jnp.float32)


def _between(cells: Float[ArrayLike, "..."], limits: Float[ArrayLike, "2"], points: Points) -> Float[Array, " points"]:
    low, high = jnp.asarray(limits)
    places = (jnp.asarray(points).T - low) / (high - low) * (jnp.shape(cells)[0] - 1)
    return map_coordinates(jnp.asarray(cells), list(places), order=1, mode="nearest")
