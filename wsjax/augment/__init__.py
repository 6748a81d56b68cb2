"""How to make more of weights: transforms (key, x) -> x, and the combinators that compose them."""

from wsjax.augment.catalogue import CATALOGUE as CATALOGUE
from wsjax.augment.catalogue import RECOMMENDED as RECOMMENDED
from wsjax.augment.catalogue import Entry as Entry
from wsjax.augment.catalogue import format_spec as format_spec
from wsjax.augment.catalogue import from_spec as from_spec
from wsjax.augment.catalogue import read_spec as read_spec
from wsjax.augment.compose import batched as batched
from wsjax.augment.compose import chain as chain
from wsjax.augment.compose import on as on
from wsjax.augment.compose import one_of as one_of
from wsjax.augment.compose import with_probability as with_probability
from wsjax.augment.coordinates import affine as affine
from wsjax.augment.coordinates import rotate as rotate
from wsjax.augment.coordinates import rotation as rotation
from wsjax.augment.coordinates import scale as scale
from wsjax.augment.coordinates import translate as translate
from wsjax.augment.exact import flip_signs as flip_signs
from wsjax.augment.exact import permute as permute
from wsjax.augment.exact import shift_phase as shift_phase
from wsjax.augment.mix import label_smoothing as label_smoothing
from wsjax.augment.mix import mix as mix
from wsjax.augment.mix import mixup as mixup
from wsjax.augment.mix import mixup_uniform as mixup_uniform
from wsjax.augment.mix import partners as partners
from wsjax.augment.perturb import noise as noise
