"""What may be done to weights without changing the function they compute."""

from wsjax.symmetry.act import act
from wsjax.symmetry.align import align, squared_distance
from wsjax.symmetry.axes import Axes, Sum
from wsjax.symmetry.barrier import interpolation_barrier
from wsjax.symmetry.canonical import canonicalize
from wsjax.symmetry.check import check
from wsjax.symmetry.dense import dense
from wsjax.symmetry.element import compose, inverse
from wsjax.symmetry.group import Fixed, Group
from wsjax.symmetry.infer import explain, infer
from wsjax.symmetry.sample import sample
from wsjax.symmetry.spec import Symmetry, mlp, siren, symmetry_of

__all__ = [
    "Axes",
    "Fixed",
    "Group",
    "Sum",
    "Symmetry",
    "act",
    "align",
    "canonicalize",
    "check",
    "compose",
    "dense",
    "explain",
    "infer",
    "interpolation_barrier",
    "inverse",
    "mlp",
    "sample",
    "siren",
    "squared_distance",
    "symmetry_of",
]


def __dir__() -> list[str]:
    return __all__
