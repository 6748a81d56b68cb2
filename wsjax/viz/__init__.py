"""Pictures: signals and their networks, how well they fit, augmentations, curves, scores, zoos, one page of it all."""

from wsjax.viz.curves import curves
from wsjax.viz.decode import decode, decode_batch
from wsjax.viz.draw import draw, drawn_as
from wsjax.viz.fields import fields
from wsjax.viz.fits import fits
from wsjax.viz.gallery import gallery
from wsjax.viz.pictures import pictures
from wsjax.viz.quality import quality
from wsjax.viz.report import Section, report
from wsjax.viz.scores import scores
from wsjax.viz.trace import trace
from wsjax.viz.zoo import zoo, zoo_table

__all__ = [
    "Section",
    "curves",
    "decode",
    "decode_batch",
    "draw",
    "drawn_as",
    "fields",
    "fits",
    "gallery",
    "pictures",
    "quality",
    "report",
    "scores",
    "trace",
    "zoo",
    "zoo_table",
]


def __dir__() -> list[str]:
    return sorted(__all__)
