"""How well stored networks still give back their images: found without a download, decoded, compared."""

import hashlib
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from wsjax.data import download, shards
from wsjax.data.card import Card
from wsjax.data.dataset import WeightDataset
from wsjax.data.fit import psnr
from wsjax.data.images import Images, limit
from wsjax.data.sources import SOURCES, load_images
from wsjax.errors import DataError
from wsjax.networks import grid

TOLERANCE = 0.1  # dB between the PSNR recorded and the one decoded anew, which another program computes
CEILING = 60.0  # dB, above which an error is rounding


class Fidelity(NamedTuple):
    """Networks decoded; their mean PSNR in dB and the recorded one, None where there is none; damage; notes."""

    decoded: int
    psnr: float | None = None
    recorded: float | None = None
    damage: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def fidelity(sample: WeightDataset, images: Images | None, directory: str | Path | None) -> Fidelity:
    """Decode some networks and compare their PSNR with the column `psnr`; raises nothing, a note says why not."""
    card = sample.card
    if card.network is None or card.image_shape is None:
        return Fidelity(0, notes=(f"no network was decoded: the card of {card.name} describes no image network",))
    values = decoded(sample)
    if not np.isfinite(values).all():
        return Fidelity(len(sample), damage=(f"{card.name}: decoded values are not finite",))
    if not {"psnr", "image"} <= set(sample.columns):
        return Fidelity(len(sample), notes=("PSNR was not compared: there are no columns psnr and image",))
    try:
        images = images or fitted_images(card, directory)
        rows = rows_of(images, sample.columns["image"])
    except DataError as error:
        return Fidelity(len(sample), notes=(f"PSNR was not compared: {error}",))
    low, high = card.value_range
    targets = low + (high - low) * images.pixels[rows].astype(np.float64)
    error = np.square(values - targets.reshape(values.shape)).mean(axis=(1, 2))
    found, recorded = np.asarray(psnr(jnp.asarray(error, jnp.float32), high - low)), sample.columns["psnr"]
    off = np.flatnonzero(~(np.abs(np.minimum(found, CEILING) - np.minimum(recorded, CEILING)) <= TOLERANCE))
    means = (len(sample), float(found.mean()), float(recorded.mean()))
    if not len(off):
        return Fidelity(*means)
    worst = off[np.argmax(np.abs(found - recorded)[off])]
    line = (
        f"{len(off)} of {len(sample)} networks do not decode to the recorded PSNR within {TOLERANCE} dB; the network "
        f"of image {sample.columns['image'][worst]} has {found[worst]:.2f} dB, recorded {recorded[worst]:.2f} dB"
    )
    half = sorted({str(x.dtype) for x in jax.tree.leaves(sample.weights) if x.dtype.itemsize == 2})
    if half:
        return Fidelity(*means, notes=(f"{line}: the weights are stored as {half[0]}",))
    return Fidelity(*means, damage=(line,))


def decoded(sample: WeightDataset) -> Float[np.ndarray, "networks points channels"]:
    """What networks give at the pixels that they were fitted to, in float32, whatever they are stored as."""
    card = sample.card
    assert card.network is not None
    assert card.image_shape is not None
    low, high = card.coordinate_range
    points = grid(card.image_shape[:2], order=card.coordinate_order, low=low, high=high)
    weights = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), sample.weights)
    apply = card.network.apply
    return np.asarray(jax.jit(jax.vmap(lambda one: apply(one, points)))(weights))


def fitted_images(card: Card, directory: str | Path | None = None) -> Images:
    """The images that a card names, if they are among the files at hand.

    Raises:
        DataError: the card names none that wsjax knows, their files are not here, or they are other images.
    """
    name = card.source.get("name")
    if name not in SOURCES:
        raise DataError(f"the card's source is {name!r}, which wsjax cannot load; pass its images")
    found = None
    for place in _places(name, directory):
        try:
            found = load_images(name, place)
            break
        except DataError:
            continue
    if found is None:
        raise DataError(f"the images of {name} are not at hand; name the directory of their files")
    count = int(card.source.get("images", 0))
    present = len(np.unique(found.split))
    few = limit(found, count) if present <= count <= len(found.pixels) else found
    content = hashlib.sha256(" ".join(shards.digest(a) for a in few[1:5]).encode()).hexdigest()
    if content != card.source.get("sha256"):
        raise DataError(f"the images of {name} at hand are not those that were fitted; pass those")
    return few


def _places(name: str, directory: str | Path | None) -> list[str | Path | None]:
    """Where a source may be loaded from without a download; None for one that comes with a package."""
    if directory is not None:
        return [directory]
    return [None] if name not in download.ARCHIVES else list(download._places(name))


def rows_of(images: Images, numbers: np.ndarray) -> np.ndarray:
    """The rows of images by their numbers in the source. Raises DataError where one is not there."""
    row = {int(number): i for i, number in enumerate(images.index)}
    missing = [int(number) for number in numbers if int(number) not in row]
    if missing:
        raise DataError(f"{images.name} has no image number {missing[0]}; pass the images that were fitted")
    return np.array([row[int(number)] for number in numbers])
