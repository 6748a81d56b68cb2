"""The second pass: with which power of a neuron's gain each value moves.

Each atom of each array of weights has an unknown exponent of its own, once over the integers modulo a large prime
(positive scales) and once modulo 2 (signs). A product of values adds exponents, a sum needs equal ones, what is
contracted needs opposite ones. The rules of rules.py run again, on atoms that carry linear forms in the unknowns, and
collect equations for each group.

Where nothing but sums, products with what is constant along the group and contractions meets a group, these equations
say with +1 which axes a matrix M may multiply and with -1 those for M^-1: both sides of a sum move alike, and a
contraction of one with the other stays. All else that a group passes makes it `bent`, and no matrix acts.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from wsjax.symmetry.infer.linear import PRIME, Form, added
from wsjax.symmetry.infer.tape import Step
from wsjax.symmetry.infer.terms import Atom, Free, Term, Terms, mapped


@dataclass(eq=False)
class Slot(Atom):
    """An atom of one value: its group, its exponents (of scales, of signs), and the arrays that it came from."""

    group: Any = None
    power: Form = field(default_factory=dict)
    sign: Form = field(default_factory=dict)
    origins: frozenset[int] = frozenset()


class Degrees(Terms):
    """Collects, for each group, the equations of exponents, and on which side of a contraction each array stood."""

    def __init__(self) -> None:
        self.unknowns = 0
        self.powers: dict[Any, list[Form]] = defaultdict(list)
        self.signs: dict[Any, list[Form]] = defaultdict(list)
        self.bent: set[Any] = set()
        self.consumed: set[int] = set()
        self.produced: set[int] = set()
        self.resolved: dict[Any, list[Term]] = {}
        self.weights_only = (False, False)
        self.notes: dict[Any, dict[str, None]] = defaultdict(dict)

    def unknown(self) -> int:
        self.unknowns += 1
        return self.unknowns

    def slots(self, term: Term, own: bool) -> Term:
        """A term of the first pass with new unknowns; `own` for an array of weights."""

        def slot(atom: Atom) -> Slot:
            number = self.unknown()
            origins = frozenset([number]) if own else frozenset()
            return Slot(atom.size, group=atom, power={number: 1}, sign={number: 1}, origins=origins)

        return mapped(term, slot)

    def require(self, group: Any, power: Form | None = None, sign: Form | None = None) -> None:
        """These exponents are zero."""
        if power:
            self.powers[group].append(power)
        if sign:
            self.signs[group].append(sign)

    def unite(self, a: Atom, b: Atom, how: str) -> Term:
        if not isinstance(a, Slot) or not isinstance(b, Slot) or a.group is not b.group:
            raise AssertionError(f"groups differ in {self.note}")
        self.notes[a.group][self.note] = None
        power, sign = added(a.power, b.power, 1 if how in ("mul", "contract") else -1), added(a.sign, b.sign, 1, 2)
        origins = a.origins | b.origins
        if how in ("mul", "div"):
            self.bent.add(a.group)
            return Slot(a.size, group=a.group, power=power, sign=sign, origins=origins)
        self.require(a.group, power, sign)
        if how == "contract":
            # Weights consume the data that they multiply; of two alike the right one consumes.
            first = self.weights_only == (True, False)
            self.consumed |= (a if first else b).origins
            self.produced |= (b if first else a).origins
        return Slot(a.size, group=a.group, power=a.power, sign=a.sign, origins=origins)

    def beside_constant(self, term: Term, free: Free, how: str) -> Term:
        if how == "over":
            return self.scale(term, -1, 1)
        return term if how in ("mul", "div") or (how == "add" and free.zero) else self.zero(term)

    def contract(self, a: Term, b: Term, step: Step) -> None:
        self.weights_only = tuple(not value.inputs for value in step.ins[:2])
        self.join(a, b, "contract")

    def zero(self, term: Term) -> Term:
        return self._stopped(term, powers=True)

    def unsigned(self, term: Term) -> Term:
        return self._stopped(term, powers=False)

    def _stopped(self, term: Term, powers: bool) -> Term:
        def stop(slot: Slot) -> Slot:
            self.bent.add(slot.group)
            self.require(slot.group, slot.power if powers else None, slot.sign)
            return slot

        return mapped(term, stop)

    def scale(self, term: Term, power: int, sign: int = 0) -> Term:
        def scaled(slot: Slot) -> Slot:
            self.bent.add(slot.group)
            return Slot(
                slot.size,
                group=slot.group,
                power={} if power == 0 else {k: v * power % PRIME for k, v in slot.power.items()},
                sign=slot.sign if sign else {},
                origins=slot.origins,
            )

        return mapped(term, scaled)

    def fresh(self, place: Any, terms: list[Term]) -> list[Term]:
        return [self.slots(term, own=False) for term in self.resolved[place]]
