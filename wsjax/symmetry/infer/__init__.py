"""The symmetry of any network, derived from its own program.

In the order in which it runs: a program becomes one list of steps (tape.py), each step says what it does to axes
(rules.py, on the terms of terms.py), a first pass finds what is permuted together (labels.py) and a second with which
powers gains pass (degrees.py, and activations.py for functions of one number; passes.py runs both); from the
exponents that solve the equations (linear.py) and from what always lies side by side (within.py) come the marks and
the Symmetry (marks.py), which is tried on the function (confirm.py) and put in words (report.py). public.py has `infer`
and `explain`.
"""

from wsjax.symmetry.infer.public import explain, infer

__all__ = ["explain", "infer"]


def __dir__() -> list[str]:
    return __all__
