"""From weights to the image or field that they represent, at any resolution."""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float

from wsjax.data import Metadata, WeightDataset
from wsjax.floats import widened
from wsjax.networks import Network, grid
from wsjax.networks.grid import Order
from wsjax.typing import Weights


class Frame(NamedTuple):
    """How networks are decoded: the architecture, the order and range of coordinates, and rows and columns."""

    network: Network
    order: Order
    limits: tuple[float, float]
    shape: tuple[int, int]


def decode(
    source: Metadata | WeightDataset, weights: Weights, *, shape: Sequence[int] | None = None
) -> Float[Array, "*networks rows columns channels"]:
    """The image that one network holds, or those of stacked ones: the values at the pixels' coordinates.

    They are f(grid(shape)) as the network gives them, not clipped to the metadata's range.

    Args:
        source: a data set, or its metadata: the architecture, and the order and range of coordinates.
        weights: one network, or many with a leading axis.
        shape: (rows, columns); None takes the resolution that was fitted. Every resolution spans the same square, so
            (7 * 4 + 1, 7 * 4 + 1) holds the points of (8, 8), at every fourth row and column.

    Raises:
        ValueError: metadata without an architecture, no shape there or here, or weights of another architecture.

    Example:
        `networks` is a data set of 40 images, as `data.fit` gives one.

        >>> decode(networks, networks.network(0), shape=(32, 32)).shape, decode(networks, networks.weights).shape
        ((32, 32, 1), (40, 8, 8, 1))
    """
    frame = frame_of(source, shape)
    # Of another structure `decoded` tells.
    first = next(iter(jax.tree.leaves(weights)), 0)
    return _decoded(frame, np.ndim(first) > len(frame.network.symmetry.shapes[0]), weights)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _decoded(frame: Frame, stacked: bool, weights: Weights) -> Float[Array, "*networks rows columns channels"]:
    one = functools.partial(decoded, frame)
    return jax.vmap(one)(weights) if stacked else one(weights)


def decoded(frame: Frame, weights: Weights) -> Float[Array, "rows columns channels"]:
    """The image of one network in a frame."""
    network, order, limits, shape = frame
    symmetry = network.symmetry
    checked = symmetry.unflatten([widened(leaf) for leaf in symmetry.leaves(weights)])  # half types are for the disk
    points = grid(shape, order=order, low=limits[0], high=limits[1])
    return network.apply(checked, points).reshape(*shape, -1)


def refined(shape: Sequence[int], factor: int) -> tuple[int, int]:
    """A finer resolution that holds every point of a coarser one: (n - 1) * factor + 1 along each axis."""
    rows, columns = ((n - 1) * factor + 1 for n in shape[:2])
    return rows, columns


def frame_of(source: Metadata | WeightDataset, shape: Sequence[int] | None) -> Frame:
    """How metadata's networks are decoded at a resolution; None takes the one that was fitted."""
    metadata = source.metadata if isinstance(source, WeightDataset) else source
    network = network_of(metadata)
    wanted = metadata.image_shape if shape is None else shape
    if wanted is None:
        raise ValueError(
            f"the metadata of {metadata.name} has no image_shape; expected a resolution: pass shape=(rows, columns)"
        )
    low, high = metadata.coordinate_range
    return Frame(network, metadata.coordinate_order, (float(low), float(high)), (int(wanted[0]), int(wanted[1])))


def network_of(metadata: Metadata) -> Network:
    """What decodes metadata's weights, where the metadata says."""
    if metadata.network is None:
        raise ValueError(
            f"the metadata of {metadata.name} names no network to decode its weights with; expected a Network: "
            f"give the metadata one, or apply your own network to networks.grid(shape)"
        )
    return metadata.network
