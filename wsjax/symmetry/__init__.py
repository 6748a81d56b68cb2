"""What may be done to weights without changing the function they compute."""

from wsjax.symmetry.axes import Axes as Axes
from wsjax.symmetry.axes import Sum as Sum
from wsjax.symmetry.check import check as check
from wsjax.symmetry.element import Element as Element
from wsjax.symmetry.element import Move as Move
from wsjax.symmetry.element import act as act
from wsjax.symmetry.element import compose as compose
from wsjax.symmetry.element import identity as identity
from wsjax.symmetry.element import inverse as inverse
from wsjax.symmetry.element import sample as sample
from wsjax.symmetry.element import sample_permutation as sample_permutation
from wsjax.symmetry.element import sample_phases as sample_phases
from wsjax.symmetry.element import sample_scales as sample_scales
from wsjax.symmetry.element import sample_signs as sample_signs
from wsjax.symmetry.group import Fixed as Fixed
from wsjax.symmetry.group import Group as Group
from wsjax.symmetry.spec import Symmetry as Symmetry
from wsjax.symmetry.spec import symmetry_of as symmetry_of
from wsjax.symmetry.specs import mlp as mlp
from wsjax.symmetry.specs import siren as siren
