"""Proofs of readers, for one's own modules too: plain functions that raise AssertionError and return what they found.

Equivariance alone proves little: a constant is invariant, and a layer that lost half of its maps is equivariant. So
each law here stands beside its opposite: what must not change the output, what must, how many maps a layer spans, and
which parameters learn. The checks make no assumption on how a module is built.
"""

from wsjax.models.testing.determinism import check_deterministic as check_deterministic
from wsjax.models.testing.dimension import commutant_dimension as commutant_dimension
from wsjax.models.testing.dimension import rank as rank
from wsjax.models.testing.gradients import check_gradients as check_gradients
from wsjax.models.testing.invariance import check_equivariant as check_equivariant
from wsjax.models.testing.invariance import check_invariant as check_invariant
from wsjax.models.testing.parts import check_parts as check_parts
from wsjax.models.testing.precise import random_weights as random_weights
from wsjax.models.testing.report import check_reader as check_reader
from wsjax.models.testing.sensitivity import check_sensitive as check_sensitive
