"""What can be fitted: images and other signals, by name or made here."""

from wsjax.data.sources.download import download_images
from wsjax.data.sources.idx import read_idx
from wsjax.data.sources.images import check_images
from wsjax.data.sources.meshes import meshes
from wsjax.data.sources.poses import solid
from wsjax.data.sources.registry import SOURCES, Source
from wsjax.data.sources.signal_checks import check_signals
from wsjax.data.sources.sines import sines
from wsjax.data.sources.solids import solids

__all__ = [
    "SOURCES",
    "Source",
    "check_images",
    "check_signals",
    "download_images",
    "meshes",
    "read_idx",
    "sines",
    "solid",
    "solids",
]
