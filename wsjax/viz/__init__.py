"""Pictures: images and their networks, augmentation galleries, learning curves, scores, and one page with all of it."""

from wsjax.viz.curves import curves as curves
from wsjax.viz.decode import decode as decode
from wsjax.viz.decode import decode_batch as decode_batch
from wsjax.viz.fits import fits as fits
from wsjax.viz.gallery import gallery as gallery
from wsjax.viz.pictures import pictures as pictures
from wsjax.viz.report import Section as Section
from wsjax.viz.report import report as report
from wsjax.viz.scores import scores as scores
