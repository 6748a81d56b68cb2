"""What can be fitted, by name: images, and other signals. The smallest, digits and sine curves, are made here."""

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import jax
import numpy as np

from wsjax.data.recipe import Recipe
from wsjax.data.sources.images import OF_TEN, SPLIT_SEED, SPLITS, Images, check_images
from wsjax.data.sources.meshes import meshes
from wsjax.data.sources.mnist import DIGITS, idx_images
from wsjax.data.sources.signals import Signals, check_signals
from wsjax.data.sources.solids import solids
from wsjax.errors import as_python, check_choice, check_number, check_seed
from wsjax.networks import Network

LARGEST = 10.0
"""Amplitudes and frequencies of sine curves are uniform between 0 and this."""


@dataclass(frozen=True)
class Source:
    """How a source is loaded, its default recipe, and what it gives.

    load: takes the directory first, where the source reads one, and its options by name; recipe: the default; images:
    whether it gives images, or other signals; directory: whether it reads none, one that may be left out for the usual
    places, or one that must be named.
    """

    load: Callable[..., Images | Signals]
    recipe: Recipe
    images: bool = True
    directory: Literal["none", "usual", "named"] = "none"


def load_source(
    name: str, directory: str | Path | None = None, options: Mapping[str, Any] = MappingProxyType({})
) -> Images | Signals:
    """What a source gives: images, or other signals.

    Args:
        name: in `SOURCES`.
        directory: of the source's files; None for a source without any, and for the places where `load_images` looks.
        options: the source's own settings, as `solids`, `meshes` and `sines` take them.

    Raises:
        ValueError: an unknown source or option, a directory for a source that reads none, or none for one that does.
        DataError: files are missing or damaged.

    Example:
        >>> load_source("digits").pixels.shape
        (1797, 8, 8, 1)
    """
    check_choice("source", name, tuple(SOURCES))
    source = SOURCES[name]
    if directory is not None and source.directory == "none":
        raise ValueError(f"directory is {directory}; {name!r} needs no files: leave the directory out")
    if directory is None and source.directory == "named":
        raise ValueError(f"the source {name!r} reads files and no directory is named; expected theirs: give directory")
    place = () if source.directory == "none" else (directory,)
    settings = list(inspect.signature(source.load).parameters)[len(place) :]
    for option in options:
        if not settings:
            raise ValueError(f"{name!r} takes no options; found {option!r}: leave them out")
        check_choice(f"option of {name}", option, settings)
    found = source.load(*place, **options)
    return check_images(found) if isinstance(found, Images) else check_signals(found)


def load_images(source: str, directory: str | Path | None = None) -> Images:
    """The images of a source, with labels and a fixed split.

    `digits` comes with scikit-learn: 1797 images of 8 x 8, 1100 for training, 297 for validation, 400 for the test,
    each with its part of every class. `mnist` and `fashion-mnist` are read from their four IDX files: 60000 images
    of 28 x 28, of which 55000 for training and 5000 for validation, and 10000 for the test.

    Args:
        source: a name in `SOURCES`, of images.
        directory: where the IDX files are. None looks in `$WSJAX_DATA/SOURCE`, in Debian's package, in
            `~/.cache/wsjax/SOURCE`, and downloads them to the last where no place has them.

    Raises:
        ValueError: an unknown source, one of other signals, or a directory for `digits`, which needs none.
        DataError: no place has the files, or one is damaged.

    Example:
        >>> load_images("digits").pixels.shape
        (1797, 8, 8, 1)
    """
    if source in SOURCES and not SOURCES[source].images:
        raise ValueError(f"the source {source!r} gives signals, no images; expected one of images: use load_source")
    found = load_source(source, directory)
    assert isinstance(found, Images)
    return found


def sines(count: int = 10_000, *, points: int = 256, seed: int = 0) -> Signals:
    """Curves y = a sin(b x) at points evenly spaced on [-pi, pi], with a and b uniform on [0, 10].

    The label of a curve is the target (a, b). Curve number i depends on i and the seed alone. Of every ten in a row
    eight are for training, one for validation, one for the test.

    Args:
        count: curves.
        points: at which all curves are known.
        seed: which curves.

    Raises:
        ValueError: no curves or fewer than two points.

    Source: Navon et al., "Equivariant Architectures for Learning in Deep Weight Spaces" (arXiv 2301.12780), the data of
    its self-supervised experiment.

    Example:
        >>> few = sines(20, points=64)
        >>> few.points.shape, few.values.shape, few.label.shape
        ((64, 1), (20, 64, 1), (20, 2))
    """
    check_number("count", count, low=1, integer=True)
    check_number("points", points, low=2, integer=True)
    check_seed("seed", seed)
    number, key = np.arange(count, dtype=np.int32), jax.random.key(seed)
    draw = jax.vmap(lambda i: jax.random.uniform(jax.random.fold_in(key, i), (2,), maxval=LARGEST))
    label = np.asarray(jax.jit(draw)(number))
    x = np.linspace(-np.pi, np.pi, points, dtype=np.float32)
    values = label[:, :1] * np.sin(label[:, 1:] * x)
    split = np.array(OF_TEN, np.int8)[number % len(OF_TEN)]
    arrays = (x[:, None], values[..., None], label, split, number)
    options = as_python({"count": count, "points": points, "seed": seed})
    return Signals("sines", *arrays, (), "y", (-LARGEST, LARGEST), (-np.pi, np.pi), options)


def _digits() -> Images:
    from sklearn.datasets import load_digits

    gray, target = load_digits(return_X_y=True)
    pixels = (np.asarray(gray).reshape(-1, 8, 8, 1) / 16).astype(np.float32)
    label = np.asarray(target).astype(np.int32)
    split = np.empty(len(label), np.int8)
    split[_stratified_order(label)] = np.repeat(np.arange(len(SPLITS), dtype=np.int8), (1100, 297, 400))
    return Images("digits", pixels, label, split, np.arange(len(label), dtype=np.int32), DIGITS)


def _stratified_order(label: np.ndarray) -> np.ndarray:
    """A random order of which every part has its fraction of each class: each class is spread evenly over it."""
    shuffled = np.random.default_rng(SPLIT_SEED).permutation(len(label))
    place = np.empty(len(label))
    for value in np.unique(label):
        rows = shuffled[label[shuffled] == value]
        place[rows] = (np.arange(len(rows)) + 0.5) / len(rows)
    return shuffled[np.argsort(place[shuffled], kind="stable")]


# The published data sets' architecture with SIREN's own initialization: 300 steps from that of `dws` are too few.
PHOTOGRAPHS = Recipe(Network("siren", (2, 32, 32, 1), w0=(30.0,), offset=0.5, family="nfn"), 300, learning_rate=1e-3)
# For signed distances; occupancies decode to better solids with w0 at 5, as a step needs no higher frequencies.
SHAPES = Recipe(Network("siren", (3, 32, 32, 1), w0=(15.0,), family="nfn"), 1000, learning_rate=1e-2, batch_points=512)

SOURCES: dict[str, Source] = {
    "digits": Source(
        _digits,
        Recipe(Network("siren", (2, 16, 16, 1), w0=(3.0,), offset=0.5, family="zero_output"), 300, learning_rate=2e-2),
    ),
    "mnist": Source(functools.partial(idx_images, "mnist"), PHOTOGRAPHS, directory="usual"),
    "fashion-mnist": Source(functools.partial(idx_images, "fashion-mnist"), PHOTOGRAPHS, directory="usual"),
    "solids": Source(solids, SHAPES, images=False),
    "sines": Source(
        sines,
        Recipe(Network("siren", (1, 32, 32, 1), w0=(10.0,), family="nfn"), 1000, learning_rate=1e-2),
        images=False,
    ),
    "meshes": Source(meshes, SHAPES, images=False, directory="named"),
}
"""Every source by name."""
