"""One network under every augmentation: what each does to the image, and what to the weights."""

import re
import textwrap
from collections.abc import Mapping
from pathlib import Path

import jax
import numpy as np
from jaxtyping import PyTree

from wsjax.augment import CATALOGUE
from wsjax.augment.register import Augmentation
from wsjax.data import WeightDataset
from wsjax.typing import Key
from wsjax.viz.decode import decode, frame_of, refined
from wsjax.viz.examples import Examples, examples, line_of
from wsjax.viz.style import EDGE, PAGE, PALETTE, SOFT, Figure, bare, figure, headline, place, save, show_image, write

EFFECTS = {
    "preserves": (PALETTE[2], "the same function in other weights: the images are identical"),
    "transforms": (PALETTE[0], "the function changes in a known way; beyond its own frame the network extrapolates"),
    "perturbs": (PALETTE[1], "the function changes in no known way"),
    "mixes": (PALETTE[3], "two networks become one, with a label of both; last the other, or this one if none is used"),
}
LABELS, GAP, STRIP, HEAD, REFUSED = 1.75, 0.08, 0.16, 0.34, 0.3
STRIP_ROWS = 10


def gallery(
    dataset: WeightDataset,
    row: int,
    path: str | Path | None = None,
    *,
    entries: Mapping[str, Augmentation] = CATALOGUE,
    draws: int = 6,
    key: Key | None = None,
) -> Figure:
    """Draw one network decoded under every augmentation of the catalogue, at its default settings.

    A line is an augmentation: the network itself, then draws from those that change the image least to those that
    change it most; for MixUp from those nearest to this network to those farthest from it. The strip under each image
    shows all its weights, layer after layer, each array in units of its own root mean square in the network itself.

    Args:
        dataset, row: networks of one architecture, and which of them.
        path: where to save; None saves nothing.
        entries: which augmentations, by name.
        draws: images a line.
        key: a typed key for all draws; None takes key(0).

    Raises:
        ValueError: networks that cannot be decoded.

    Example:
        `networks` is a data set, as `data.fit` gives one.

        >>> page = gallery(networks, 0, entries={"permute": CATALOGUE["permute"]}, draws=1)
        >>> [text.get_text() for text in page.texts if "per" in text.get_text()]
        ['permute']
    """
    keys = jax.random.key(0) if key is None else key
    ordered = sorted(entries.values(), key=lambda entry: list(EFFECTS).index(entry.effect))
    parts = [jax.random.fold_in(keys, i) for i in range(len(ordered))]
    found = examples(dataset, row, ordered, keys=parts, draws=[draws - (entry.level == "batch") for entry in ordered])
    fitted = frame_of(dataset, None).shape
    shape = refined(fitted, max(4, -(-64 // max(fitted))))
    side = (PAGE - 2 * EDGE - LABELS) / (draws + 1) - GAP
    tall = side * shape[0] / shape[1]
    heights = [line_height(f, tall) for f in found]
    groups = len({f.entry.effect for f in found})
    page = figure(0.7 + sum(heights) + groups * HEAD + EDGE)
    headline(
        page,
        "One network, augmented",
        "First the network, then draws at the default settings from least to most change. Strips: the weights.",
    )
    top, effect = 0.7, ""
    for line, height in zip(found, heights, strict=True):
        if line.entry.effect != effect:
            effect = line.entry.effect
            color, meaning = EFFECTS[effect]
            write(page, EDGE, top + 0.08, effect, size=10, weight="bold", color=color)
            write(page, EDGE + LABELS, top + 0.09, meaning, color=SOFT)
            top += HEAD
        draw_line(page, dataset, row, line, top, side, shape)
        top += height
    return save(page, path)


def line_height(line: Examples, tall: float) -> float:
    """Inches from the top of a line to that of the next."""
    if line.weights is None:
        return REFUSED
    return tall + STRIP + (0.3 if any(line.captions) else 0.0) + 0.12


def draw_line(
    page: Figure, dataset: WeightDataset, row: int, line: Examples, top: float, side: float, shape: tuple[int, int]
) -> None:
    """One augmentation: its name, settings and effect on the image at the left, then the images over strips."""
    write(page, EDGE, top, line.entry.name, size=9.5, weight="bold")
    if line.weights is None:
        reason = textwrap.shorten(re.split(r"[:;.] ", line.refusal)[0], 85)
        write(page, EDGE + LABELS, top + 0.02, f"not for these networks: {reason}", color=SOFT)
        return
    weights, tall = line_of(dataset, row, line), side * shape[0] / shape[1]
    images = np.asarray(decode(dataset, weights, shape=shape))
    strips = fingerprints(weights)
    settings = [f"{name} = {value}" for name, value in line.settings.items() if value is not None]
    if line.entry.effect in ("preserves", "perturbs"):
        settings.append(f"largest change {np.abs(images - images[:1]).max():.1g}")
    write(page, EDGE, top + 0.2, "\n".join(settings), size=8, color=SOFT, linespacing=1.35)
    captions = ("", *line.captions, "")
    for i, (image, strip) in enumerate(zip(images, strips, strict=True)):
        left = EDGE + LABELS + i * (side + GAP)
        low, high = dataset.metadata.value_range
        show_image(place(page, left, top, side, tall), image, low=low, high=high)
        axes = place(page, left, top + tall + 0.02, side, STRIP)
        axes.imshow(strip, cmap="PuOr", vmin=-2, vmax=2, aspect="auto", interpolation="nearest")
        bare(axes)
        below = top + tall + STRIP + 0.05
        write(page, left + side / 2, below, captions[i], size=7, color=SOFT, ha="center", multialignment="center")


def fingerprints(weights: PyTree) -> np.ndarray:
    """All numbers of each stacked network as a strip, column after column; each array in units of its root mean
    square in the first network."""
    parts = []
    for leaf in jax.tree.leaves(weights):
        flat = np.asarray(leaf, np.float32).reshape(len(leaf), -1)
        parts.append(flat / max(float(np.sqrt(np.square(flat[0]).mean())), 1e-20))
    flat = np.concatenate(parts, axis=1)
    padded = np.pad(flat, ((0, 0), (0, -flat.shape[1] % STRIP_ROWS)), constant_values=np.nan)
    return padded.reshape(len(flat), -1, STRIP_ROWS).swapaxes(1, 2)
