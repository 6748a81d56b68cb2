"""Pictures: signals and their networks, how well they fit, augmentations, curves, scores, zoos, one page of it all."""

from wsjax.viz.curves import curves as curves
from wsjax.viz.decode import decode as decode
from wsjax.viz.decode import decode_batch as decode_batch
from wsjax.viz.draw import draw as draw
from wsjax.viz.draw import drawn_as as drawn_as
from wsjax.viz.fields import fields as fields
from wsjax.viz.fits import fits as fits
from wsjax.viz.gallery import gallery as gallery
from wsjax.viz.pictures import pictures as pictures
from wsjax.viz.quality import quality as quality
from wsjax.viz.report import Section as Section
from wsjax.viz.report import report as report
from wsjax.viz.scores import scores as scores
from wsjax.viz.trace import trace as trace
from wsjax.viz.zoo import zoo as zoo
from wsjax.viz.zoo import zoo_table as zoo_table
