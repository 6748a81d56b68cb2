"""What can be fitted: images and other signals, by name or made here."""

from wsjax.data.sources.images import SPLITS
from wsjax.data.sources.meshes import meshes
from wsjax.data.sources.registry import SOURCES, Source, load_source, sines
from wsjax.data.sources.solids import solid, solids

__all__ = ["SOURCES", "SPLITS", "Source", "load_source", "meshes", "sines", "solid", "solids"]
