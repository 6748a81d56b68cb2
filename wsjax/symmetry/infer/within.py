"""Which groups have an element of their own for each index of another one, as the dimensions of a head for each head.

By the first pass one element of a group K acts alike at each index of another group H. That each index h of H may have
its own is shown step by step, for an element that moves K at one h alone:

- Each value along K lies along H too, by one axis: the element moves the part of the value at h.
- A step works index by index along an axis that it keeps or that two operands share, contracted or not: what it gives
  at h depends on its operands at h. There it does with K what it does with one element for all, which the first pass
  has shown. A sum over H, of such parts, may follow where K is gone.

So a step is sound where K is kept together with the axis of H that it lay along, and where two operands meet along K
they meet along these axes of H as well. Then it commutes with one element for each index, and with permutations of H
that take them along. A step that keeps K and sums over H, mixes its indices by an array, or brings K of one index to K
of another, ends it; so does an array along K alone.

The iterations of a scan are such indices too, of the leading axis of the arrays along which it runs: where all arrays
along K enter the program as rows of one scan, and no value along K is carried or stacked, none leaves its iteration.
"""

import itertools
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from wsjax.symmetry.infer.passes import Analysis, groups_of
from wsjax.symmetry.infer.rules import apply_rule
from wsjax.symmetry.infer.tape import Step
from wsjax.symmetry.infer.terms import Atom, Prod, Sum, Term, Terms, mapped, resolve


@dataclass(eq=False)
class Index(Atom):
    """An axis of one operand of a step, and of each group beside it the axis."""

    group: Any = None
    beside: dict[Any, "Index"] = field(default_factory=dict)


def within(analysis: Analysis, actions: Mapping[Any, Collection[str]]) -> dict[Any, Any]:
    """For each of these groups that lies within another the nearest such, or the number of its scan.

    Of two that lie within each other, the first is outside. Nothing lies within a group that has actions which none of
    those inside has: on what is outside only permutations act, and its gains would be lost.
    """
    order = list(actions)
    possible = {} if analysis.failure else _beside(analysis, set(order))
    for step, ins in analysis.steps:
        if any(slot.group in possible for terms in ins for slot in groups_of(terms)):
            _check(step, ins, possible)
    rank = {group: i for i, group in enumerate(order)}
    first = lambda outer, group: rank[outer] < rank[group] or group not in possible.get(outer, ())
    outside = {
        group: [outer for outer in order if outer in possible[group] and first(outer, group)] for group in possible
    }
    taken = {outer for group in outside for outer in outside[group] if set(actions[outer]) <= set(actions[group])}
    found: dict[Any, Any] = _scans(analysis)
    for group in (group for group in order if taken & set(outside.get(group, ()))):
        nearest = max(taken & set(outside[group]), key=lambda o: (len(outside.get(o, ())), o.size, -rank[o]))
        if group not in chain(nearest, found):
            found[group] = nearest
    return found


def chain(group: Any, found: dict[Any, Any]) -> list[Any]:
    """What a group lies within, the nearest first."""
    return [found[group], *chain(found[group], found)] if group in found else []


def parts(terms: Iterable[Term]) -> list[list[Any]]:
    """The atoms of each part of a value: products unfolded and concatenations taken apart."""
    return [list(itertools.chain(*choice)) for choice in itertools.product(*map(_parts, terms))]


def _parts(term: Term) -> list[list[Any]]:
    term = resolve(term)
    if isinstance(term, Sum):
        return [found for part in term.parts for found in _parts(part)]
    return [[term]] if isinstance(term, Atom) else parts(term.parts if isinstance(term, Prod) else ())


def _beside(analysis: Analysis, known: set[Any]) -> dict[Any, set[Any]]:
    """For each of these groups those of them that each array of weights along it lies along too, once."""
    found: dict[Any, set[Any]] = {}
    for part in (part for terms in analysis.terms for part in parts(terms)):
        groups = [slot.group for slot in part if slot.group in known]
        for group in groups:
            others = {o for o in groups if o is not group and groups.count(o) == 1 and o.size > 1}
            found[group] = found.get(group, others) & others
    return {group: others for group, others in found.items() if others and group.size > 1}


def _scans(analysis: Analysis) -> dict[Any, int]:
    """The groups that no value carries from one iteration of a scan to another, and the number of that scan."""
    inside: dict[int, set[int]] = {id(leaf): set() for leaf in analysis.tape.leaves}
    for step in analysis.tape.steps:
        own = set[int]().union(*(inside.get(id(value), set()) for value in step.ins))
        inside |= {id(out): own | {step.params["scan"]} if step.name == "row" else own for out in step.outs}
    found: dict[Any, set[int]] = {}
    for step, ins in analysis.steps:
        for value, terms in zip(step.ins, ins, strict=True):
            scans = set() if step.name in ("tie", "rows") else inside.get(id(value), set())
            if step.name == "row" and value.leaf is not None and value.shape[0] > 1:
                scans = {step.params["scan"]}
            for slot in groups_of(terms):
                found[slot.group] = found.get(slot.group, scans) & scans
    return {group: min(scans) for group, scans in found.items() if scans and group.size > 1}


class _Meeting(Terms):
    """Notes which axes of operands meet in a step."""

    def __init__(self) -> None:
        self.met: list[tuple[Index, Index]] = []

    def unite(self, a: Any, b: Any, how: str) -> Term:
        self.met.append((a, b))
        b.link = a
        return a


def _check(step: Step, ins: list[list[Term]], possible: dict[Any, set[Any]]) -> None:
    """Removes those within which a group does not lie, by one step."""
    meeting = _Meeting()
    axes = [[mapped(term, lambda slot: Index(slot.size, group=slot.group)) for term in terms] for terms in ins]

    def each(values: Iterable[Iterable[Term]]) -> Iterable[tuple[Index, Any, list[Index]]]:
        for part in (part for terms in values for part in parts(terms)):
            for index in part:
                for outer in tuple(possible.get(index.group, ())):
                    yield index, outer, [other for other in part if other.group is outer]

    for index, outer, beside in each(axes):
        if len(beside) != 1 or index.beside.setdefault(outer, beside[0]) is not beside[0]:
            possible[index.group].remove(outer)
    outs = apply_rule(meeting, step, axes)
    for a, b in meeting.met:
        possible.get(a.group, set()).difference_update(
            [o for o in possible.get(a.group, ()) if resolve(a.beside[o]) is not resolve(b.beside[o])]
        )
    for index, outer, beside in each(outs):
        if len(beside) != 1 or resolve(index.beside[outer]) is not beside[0]:
            possible[index.group].remove(outer)
