"""How well stored networks reproduce their signals: sources found without a download, decoded networks compared."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeAlias

import jax
import numpy as np
from jaxtyping import Array, Float, PyTree

from wsjax.data.dataset import WeightDataset
from wsjax.data.metadata import Metadata
from wsjax.data.sources.images import Images
from wsjax.data.sources.provenance import content_sha256, find_source, rows_of
from wsjax.data.sources.signals import Signals, pixels_as_signals
from wsjax.errors import DataError
from wsjax.networks import Network, grid

TOLERANCE = 0.1  # dB between the PSNR recorded and the one decoded anew, which another program computes
TOGETHER = 16  # networks decoded at the same time
CEILING = 60.0  # dB, above which an error is rounding


class Fidelity(NamedTuple):
    """Networks run; their mean PSNR in dB and the recorded one, None where there is none; damage; notes; classifiers'
    mean accuracy on the test images and the recorded one."""

    decoded: int
    psnr: float | None = None
    recorded: float | None = None
    damage: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    accuracy: float | None = None
    recorded_accuracy: float | None = None


Check: TypeAlias = Callable[[WeightDataset, Images | Signals | None, str | Path | None], Fidelity]
CHECKS: dict[str, Check] = {}
"""How networks that are no functions of coordinates are run and compared, by `source["apply"]` of their metadata."""


def fidelity(sample: WeightDataset, found: Images | Signals | None, directory: str | Path | None) -> Fidelity:
    """Run some networks and compare what they reach with what their columns record; a note states why not, no error."""
    return CHECKS.get(str(sample.metadata.source.get("apply")), decoded_fidelity)(sample, found, directory)


def decoded_fidelity(sample: WeightDataset, found: Images | Signals | None, directory: str | Path | None) -> Fidelity:
    """Decode some networks, those of images at their pixels even without the images, and compare their PSNR."""
    metadata, why = sample.metadata, f"there are no columns psnr and image in {sample.metadata.name}"
    holds_image = metadata.image_shape is not None
    if metadata.network is None or not (holds_image or isinstance(found, Signals) or "signals" in metadata.source):
        note = f"no network was decoded: the metadata of {metadata.name} describes no image network"
        return Fidelity(0, notes=(note,))
    signals, excuses = None, []
    if {"psnr", "image"} <= set(sample.columns):
        try:
            if found is None:
                found = find_source(metadata, directory)
                if content_sha256(found) != metadata.source.get("sha256"):
                    excuses.append(f"the {metadata.name} made here are not those that were fitted, to the last bit")
            signals = signals_of(sample, found)
        except DataError as error:
            why = str(error)
    if signals is None and not holds_image:
        return Fidelity(0, notes=(f"no network was decoded: {why}",))
    values = decoded(sample, pixels_of(metadata) if signals is None else signals.points)
    if not np.isfinite(values).all():
        return Fidelity(len(sample), damage=(f"{metadata.name}: decoded values are not finite",))
    if signals is None:
        return Fidelity(len(sample), notes=(f"PSNR was not compared: {why}",))
    error = np.square(values.astype(np.float64) - signals.values).mean(axis=(1, 2))
    # As `psnr`, in float64 and without a program for each number of networks.
    quality, recorded = 10 * np.log10(signals.peak**2 / np.maximum(error, 1e-20)), sample.columns["psnr"]
    off = np.flatnonzero(~(np.abs(np.minimum(quality, CEILING) - np.minimum(recorded, CEILING)) <= TOLERANCE))
    means = (len(sample), float(quality.mean()), float(recorded.mean()))
    if not len(off):
        return Fidelity(*means)
    worst = off[np.argmax(np.abs(quality - recorded)[off])]
    line = (
        f"{len(off)} of {len(sample)} networks do not decode to the recorded PSNR within {TOLERANCE} dB; the network "
        f"of {metadata.name} number {sample.columns['image'][worst]} has {quality[worst]:.2f} dB, recorded "
        f"{recorded[worst]:.2f} dB"
    )
    if excuses := excuses + half_types(sample):
        return Fidelity(*means, notes=(f"{line}: {' and '.join(excuses)}",))
    return Fidelity(*means, damage=(line,))


def half_types(sample: WeightDataset) -> list[str]:
    """Why networks stored in half types may do worse than was recorded."""
    half = {x.dtype.name for x in jax.tree.leaves(sample.weights) if x.dtype.itemsize == 2}
    return [f"the weights are stored as {name}" for name in sorted(half)]


def signals_of(sample: WeightDataset, found: Images | Signals) -> Signals:
    """What each network of a sample was fitted to, a row a network; raises DataError where that is not found."""
    metadata, rows = sample.metadata, rows_of(found, sample.columns["image"])
    few = found.take(rows)
    if isinstance(few, Images):
        few = pixels_as_signals(few, metadata.coordinate_order, metadata.value_range, metadata.coordinate_range)
    assert metadata.network is not None
    inputs, outputs = few.points.shape[-1], few.values.shape[-1]
    if (inputs, outputs) != (metadata.network.widths[0], metadata.network.widths[-1]):
        raise DataError(
            f"{few.name} has {inputs} inputs and {outputs} outputs; the networks of {metadata.name} have widths "
            f"{metadata.network.widths}: pass what was fitted"
        )
    return few


def pixels_of(metadata: Metadata) -> Float[np.ndarray, "points 2"]:
    """The coordinates of the pixels that the networks were fitted at."""
    assert metadata.image_shape is not None
    low, high = metadata.coordinate_range
    return np.asarray(grid(metadata.image_shape[:2], order=metadata.coordinate_order, low=low, high=high))


def decoded(
    sample: WeightDataset, points: Float[np.ndarray, "*own points inputs"]
) -> Float[np.ndarray, "networks points channels"]:
    """What networks give at points, shared or each network's own, in float32, whatever they are stored as."""
    network = sample.metadata.network
    assert network is not None
    # Padded, so that one program serves samples of many sizes.
    rows = np.arange(-(-len(sample) // TOGETHER) * TOGETHER) % len(sample)
    weights = jax.tree.map(lambda leaf: np.asarray(leaf)[rows].astype(np.float32), sample.weights)
    return np.asarray(_decoded(network, weights, points if points.ndim == 2 else points[rows]))[: len(sample)]


@functools.partial(jax.jit, static_argnums=0)
def _decoded(network: Network, weights: PyTree, points: Float[Array | np.ndarray, "*own points inputs"]) -> Array:
    shared = points.ndim == 2
    decode = lambda one: network.apply(one[0], points if shared else one[1])
    # A few networks at a time: the layers of all at many points are large.
    return jax.lax.map(decode, (weights, None if shared else points), batch_size=TOGETHER)
