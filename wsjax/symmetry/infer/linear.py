"""Linear equations in exponents, modulo a large prime for scales and modulo 2 for signs."""

from collections.abc import Sequence
from typing import TypeAlias

PRIME = 2**61 - 1
"""Exponents are small rationals; modulo this prime no two of them that occur are equal."""

Form: TypeAlias = dict[int, int]
"""A linear form: the coefficient of each unknown."""


def added(a: Form, b: Form, factor: int, modulus: int = PRIME) -> Form:
    """a + factor * b."""
    total = dict(a)
    for unknown, value in b.items():
        total[unknown] = (total.get(unknown, 0) + factor * value) % modulus
    return {unknown: value for unknown, value in total.items() if value}


class System:
    """Equations `form = 0`, eliminated as they come."""

    def __init__(self, modulus: int, rows: Sequence[Form] = ()):
        self.modulus = modulus
        self.rows: dict[int, Form] = {}
        for row in rows:
            self.add(row)

    def reduce(self, form: Form) -> Form:
        """A form modulo the equations; empty where they imply that it is zero."""
        form = {unknown: value % self.modulus for unknown, value in form.items() if value % self.modulus}
        while known := [unknown for unknown in form if unknown in self.rows]:
            pivot = min(known)
            form = added(form, self.rows[pivot], -form[pivot], self.modulus)
        return form

    def add(self, form: Form) -> None:
        form = self.reduce(form)
        if form:
            pivot = min(form)
            inverse = pow(form[pivot], -1, self.modulus)
            self.rows[pivot] = {unknown: value * inverse % self.modulus for unknown, value in form.items()}


def solution(modulus: int, rows: Sequence[Form], slots: Sequence[int], targets: Sequence[Form]) -> dict[int, int]:
    """Exponents -1, 0 or 1 of the slots that solve the equations, with as many zeros as can be, earlier slots first,
    and not zero on the first target that allows it; empty where there are none."""
    barred: list[Form] = []
    for _ in slots:
        system = System(modulus, [*rows, *barred])
        target = next((t for t in targets if system.reduce(t)), None)
        if target is None:
            return {}
        found = _sparse(system, slots, target)
        first = next((value for value in found.values() if value), 0)
        if not first:
            return {}
        scaled = {slot: value * pow(first, -1, modulus) % modulus for slot, value in found.items()}
        small = {0: 0, 1: 1, modulus - 1: -1 if modulus > 2 else 1}
        if all(value in small for value in scaled.values()):
            return {slot: small[value] for slot, value in scaled.items()}
        barred += [{slot: 1} for slot, value in scaled.items() if value not in small]
    return {}


def _sparse(system: System, slots: Sequence[int], target: Form) -> dict[int, int]:
    """Set slots to zero, in order, unless that makes the target zero: then every slot is a multiple of the target."""
    for slot in slots:
        goal, form = system.reduce(target), system.reduce({slot: 1})
        if form and _ratio(form, goal, system.modulus) is None:
            system.add(form)
    goal = system.reduce(target)
    return {slot: _ratio(system.reduce({slot: 1}), goal, system.modulus) or 0 for slot in slots}


def _ratio(form: Form, other: Form, modulus: int) -> int | None:
    """The factor by which a form is a multiple of another; 0 for the empty one."""
    if not form:
        return 0
    if form.keys() != other.keys():
        return None
    key = min(form)
    factor = form[key] * pow(other[key], -1, modulus) % modulus
    return factor if all(factor * other[k] % modulus == form[k] for k in form) else None
