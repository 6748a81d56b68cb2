"""Metadata by hand: what `models.make` needs, without a data set."""

from typing import NamedTuple

from wsjax.networks import Network
from wsjax.symmetry import Symmetry


class StubMetadata(NamedTuple):
    symmetry: Symmetry
    network: Network | None
    classes: tuple[str, ...]
    statistics: dict[str, dict[str, float]]
    coordinate_range: tuple[float, float] = (-1.0, 1.0)
    value_range: tuple[float, float] = (0.0, 1.0)


def metadata(
    widths: tuple[int, ...] = (2, 5, 4, 3), w0: float = 5.0, classes: int = 4, network: Network | None = None
) -> StubMetadata:
    """Of a SIREN of these widths, or of another network."""
    network = network or Network("siren", widths, w0=(w0,))
    statistics = {name: {"mean": 0.1, "std": 0.5, "rms": 0.6} for name in network.symmetry.names}
    return StubMetadata(network.symmetry, network, tuple(map(str, range(classes))), statistics)
