"""Figures: signals and their networks, how well they fit, augmentations, curves, scores, zoos, one page of it all."""

from wsjax.viz.decode import decode
from wsjax.viz.draw import draw
from wsjax.viz.fields import fields
from wsjax.viz.fits import fits, images
from wsjax.viz.gallery import gallery
from wsjax.viz.quality import quality, zoo
from wsjax.viz.report import report
from wsjax.viz.scores import curves, scores

__all__ = [
    "curves", "decode", "draw", "fields", "fits", "gallery", "images", "quality", "report", "scores", "zoo",
]  # fmt: skip


def __dir__() -> list[str]:
    return sorted(__all__)
