"""From exponents to a Symmetry: names, marks, actions, biases and frequencies."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

from wsjax.symmetry.axes import Axes, Entry, Sum, atoms, base, consumes, fold
from wsjax.symmetry.group import SUBSUMED, Action, Convention, Fixed, Group, actions_of
from wsjax.symmetry.infer import terms as t
from wsjax.symmetry.infer.degrees import Slot
from wsjax.symmetry.infer.linear import PRIME, Form, System, solution
from wsjax.symmetry.infer.passes import UNUSED, Analysis, Crossing, groups_of
from wsjax.symmetry.infer.within import chain, within
from wsjax.symmetry.spec import Symmetry, symmetry_of

ONE = 0
"""The unknown that stands for the number one: no slot has it."""
SINGLE = t.Why("one neuron, on which nothing acts")
MARK = {1: "", -1: "*", 0: "~"}


@dataclass
class Found:
    """One group: what acts, the mark of each slot (1 produces, -1 consumes, 0 follows), its biases and frequency."""

    size: int
    slots: list[Slot]
    leaves: list[int]
    actions: list[Action] = field(default_factory=lambda: ["permute"])
    marks: dict[int, int] = field(default_factory=dict)
    activation: str = "linear"
    w0: float = 1.0
    convention: Convention = "affine"
    why: t.Why | None = None
    """Why nothing acts on it, where that is so."""
    biases: set[int] | None = None
    """Where phases act, the arrays that they shift."""
    within: list[Any] = field(default_factory=list)
    """What has an element of this group for each of its indices, the nearest first: groups, numbers of scans."""


def number(slot: Slot) -> int:
    """The unknown of one atom of an array of weights."""
    return next(iter(slot.origins))


def find(analysis: Analysis) -> dict[Any, Found]:
    """Every group, in the order in which the program comes to its arrays."""
    found: dict[Any, Found] = {}
    for leaf in order(analysis):
        for slot in groups_of(analysis.terms[leaf]):
            own = found.setdefault(slot.group, Found(slot.size, [], []))
            own.slots.append(slot)
            own.leaves.append(leaf)
    crossings: dict[Any, list[Crossing]] = {group: [] for group in found}
    for crossing in analysis.crossings:
        for group in {slot.group for slot in crossing.slots} & set(found):
            crossings[group].append(crossing)
    used = found if analysis.failure else analysis.used
    for group, own in found.items():
        _gains(analysis, group, own, crossings[group])
    inner = within(analysis, {group: own.actions for group, own in found.items() if group in used})
    for group, own in found.items():
        own.within = chain(group, inner)
        if group in inner.values():
            _permuted(analysis, own)
    for group, own in found.items():
        kinds = {crossing.kind.name for crossing in crossings[group] if crossing.kind}
        names = kinds - {"other"} or kinds
        _phases(analysis, found, group, crossings[group])
        linear = "linear" in own.actions
        own.activation = "linear" if linear else _name(names, own.actions)
        acts = own.size > 1 or linear or (own.actions != ["permute"] and bool(crossings[group]))
        own.why = UNUSED if group not in used else None if acts else SINGLE
    return found


def order(analysis: Analysis) -> list[int]:
    """The leaves as they, or what is made of them alone, meet what depends on the inputs."""
    made = {id(leaf): [i] for i, leaf in enumerate(analysis.tape.leaves)}
    seen: list[int] = []
    for step in analysis.tape.steps:
        own = [leaf for value in step.ins if not value.inputs for leaf in made.get(id(value), ())]
        if any(value.inputs for value in step.ins):
            seen += own
        made |= {id(out): own for out in step.outs}
    return list(dict.fromkeys([*seen, *range(len(analysis.tape.leaves))]))


def _permuted(analysis: Analysis, own: Found) -> None:
    """Permutations alone: an array consumes where it multiplies data."""
    degrees = analysis.degrees
    own.actions = ["permute"]
    consumed = degrees.consumed - degrees.produced
    own.marks = _produced({n: -1 if n in consumed else 1 for n in map(number, own.slots)})


def _produced(marks: dict[int, int]) -> dict[int, int]:
    """Where all consume, all produce: signs and permutations are the same on both sides."""
    return marks if 1 in marks.values() else {slot: abs(mark) for slot, mark in marks.items()}


def _gains(analysis: Analysis, group: Any, own: Found, crossings: list[Crossing]) -> None:
    """Scales and signs that one set of marks describes; scales first where both cannot be had."""
    _permuted(analysis, own)
    if analysis.failure:
        return
    degrees, slots, side = analysis.degrees, list(map(number, own.slots)), own.marks
    whole = [
        {number(slot): 1}
        for slot, leaf in zip(own.slots, own.leaves, strict=True)
        if not jax.numpy.issubdtype(analysis.tape.leaves[leaf].dtype, np.inexact)
    ]
    powers, signs = [*degrees.powers[group], *whole], [*degrees.signs[group], *whole]
    signs += [{phase: 1} for crossing in crossings for phase, slot in crossing.phases.items() if slot.group is group]
    crossed = [slot for crossing in crossings for slot in crossing.slots if slot.group is group]
    each: list[Form] = [{slot: 1} for slot in slots]
    if scales := _families(PRIME, powers, slots, [*(slot.power for slot in crossed), *each]):
        turned = [_turned(family, side) for family in scales]
        fits = lambda families: _consistent(signs, {s: abs(value) for s, value in _total(slots, families).items()})
        signed = fits(turned[:1])
        own.marks = _total(slots, turned if fits(turned) or not signed else turned[:1])
        own.actions = ["permute", "sign", "rescale"] if signed else ["permute", "rescale"]
        if group not in degrees.bent and len(scales) == 1 and set(own.marks.values()) == {1, -1}:
            own.actions = [*SUBSUMED, "linear"]
    elif flips := _families(2, signs, slots, [*(slot.sign for slot in crossed), *each]):
        own.marks = {slot: side[slot] if value else 0 for slot, value in _total(slots, flips).items()}
        own.actions.append("sign")
    own.marks = _produced(own.marks)


def _families(modulus: int, rows: list[Form], slots: list[int], targets: list[Form]) -> list[dict[int, int]]:
    """Solutions on disjoint slots: the first as `solution` has it, and what acts beside it."""
    found: list[dict[int, int]] = []
    barred: list[Form] = []
    while family := solution(modulus, [*rows, *barred], slots, targets):
        found.append(family)
        barred += [{slot: 1} for slot, value in family.items() if value]
    return found


def _turned(family: dict[int, int], side: dict[int, int]) -> dict[int, int]:
    """A solution or its opposite: the one by which what multiplies data consumes."""
    agree = sum(value * side[slot] for slot, value in family.items())
    turn = -1 if agree < 0 or (agree == 0 and 1 not in family.values()) else 1
    return {slot: value * turn for slot, value in family.items()}


def _total(slots: list[int], families: list[dict[int, int]]) -> dict[int, int]:
    return {slot: sum(family[slot] for family in families) for slot in slots}


def _consistent(rows: list[Form], values: dict[int, int]) -> bool:
    """Whether the equations modulo 2 have a solution with these values."""
    given = [{unknown: 1, ONE: value} if value else {unknown: 1} for unknown, value in values.items()]
    return bool(System(2, [*rows, *given]).reduce({ONE: 1}))


def _phases(analysis: Analysis, found: dict[Any, Found], group: Any, crossings: list[Crossing]) -> None:
    """Half periods that one bias of each sine takes, all of one step, and that nothing but consumers of the sines has
    to undo."""
    own = found[group]
    if "sign" not in own.actions or "rescale" in own.actions:
        return
    values = {slot: int(mark == -1) for slot, mark in own.marks.items()}
    steps, kernels, biases = set[float](), set[float](), set[int]()
    for crossing in crossings:
        if not crossing.phases or crossing.kind is None or crossing.kind.half_period is None:
            continue
        values |= {phase: int(slot.group is group) for phase, slot in crossing.phases.items() if slot.group is group}
        unit = math.pi / crossing.kind.half_period
        shifted = [leaf for leaf in crossing.slopes if is_bias(analysis, found, leaf, crossing) and leaf in own.leaves]
        if not shifted:
            return
        biases.add(shifted[0])
        steps.add(_rounded(crossing.slopes[shifted[0]].factor * unit))
        kernels |= {_rounded(s.factor * unit) for s in crossing.slopes.values() if s.multiplies}
    elsewhere = {leaf for crossing in analysis.crossings for leaf in crossing.slopes if not crossing.phases}
    if len(steps) != 1 or biases & elsewhere or not _consistent(analysis.degrees.signs[group], values):
        return
    step = steps.pop()
    own.actions.append("phase")
    own.biases, own.w0 = biases, step
    if step == 1.0 and len(kernels) == 1 and kernels != {1.0}:
        own.w0, own.convention = kernels.pop(), "kernel"


def _rounded(x: float) -> float:
    return float(f"{x:.6g}")


def is_bias(analysis: Analysis, found: dict[Any, Found], leaf: int, crossing: Crossing) -> bool:
    """Whether an array lies along one group and what that lies within, adds to a pre-activation, and does nothing
    else."""
    terms, own = analysis.terms[leaf], [c.slopes[leaf] for c in analysis.crossings if leaf in c.slopes]
    outside = max((len(found[slot.group].within) for slot in groups_of(terms)), default=0)
    factors = [factor for term in terms for factor in getattr(t.resolve(term), "parts", [term]) if factor.size != 1]
    alone = len(factors or terms) == 1 + outside and not any(isinstance(t.resolve(term), t.Sum) for term in terms)
    adds = not any(slope.multiplies for slope in own) and crossing.slopes[leaf].factor > 0
    return alone and adds and leaf not in analysis.impure


def _name(names: set[str], actions: list[Action]) -> str:
    """The activation by which a Group is told that these actions are allowed."""
    fits = lambda name: set(actions) <= set(actions_of(name))
    if len(names) == 1 and fits(next(iter(names))):
        return next(iter(names))
    candidates = ["linear"] if not names else []
    candidates += ["other"] if actions == ["permute"] else []
    return next(name for name in (*candidates, "leaky_relu", "tanh", "linear", "sine", "other") if fits(name))


def group_names(found: dict[Any, Found]) -> dict[Any, str]:
    """The names of the groups that act."""
    return {group: f"h{i + 1}" for i, group in enumerate(group for group, own in found.items() if own.why is None)}


def build(analysis: Analysis, found: dict[Any, Found], treedef: Any) -> Symmetry:
    """The Symmetry of what was found."""
    names = group_names(found)
    dimensions: dict[str, Group | Fixed] = {}
    places: dict[tuple, str] = {}
    leaves: list[Axes] = [Axes()] * len(analysis.terms)
    # on these only permutations act, which are the same on both sides
    outer = {names.get(group) for own in found.values() for group in own.within}

    def fixed(term: t.Pinned) -> str:
        why = term.why
        key = (why.role, term.size, why.place if why.role != "internal" else None)
        stem = {"input": "in", "output": "out", "internal": f"fixed{term.size}"}[why.role]
        if key not in places:
            same = sum(name.rstrip("0123456789") == stem for name in places.values() if why.role != "internal")
            places[key] = stem + (str(same + 1) if same else "")
            dimensions[places[key]] = Fixed(term.size, why.role)  # type: ignore[arg-type]
        return places[key]

    def scanned(leaf: int) -> str | None:
        """The name of the leading axis of an array whose groups have an element for each iteration of a scan."""
        chains = (found[slot.group].within for slot in groups_of(analysis.terms[leaf]))
        number = next((group for chain in chains for group in chain if isinstance(group, int)), None)
        if number is None:
            return None
        name = names.setdefault(number, f"scan{number}")
        dimensions[name] = Fixed(analysis.tape.leaves[leaf].shape[0])
        return name

    def entry(term: t.Term) -> Entry:
        term = t.resolve(term)
        if isinstance(term, Slot):
            own = found[term.group]
            if own.why:
                return fixed(t.Pinned(own.size, own.why))
            name = names[term.group]
            if name not in dimensions:
                near = names[own.within[0]] if own.within else None
                dimensions[name] = Group(own.size, own.activation, own.w0, own.convention, tuple(own.actions), near)
            return name + MARK[own.marks[number(term)]]
        if isinstance(term, t.Pinned):
            return fixed(term)
        assert isinstance(term, t.Prod | t.Sum)
        parts = tuple(map(entry, term.parts))
        return parts if isinstance(term, t.Prod) else Sum(*parts)

    for leaf in order(analysis):
        first = scanned(leaf)
        entries = [first if first and not i else entry(term) for i, term in enumerate(analysis.terms[leaf])]
        bare = [
            fold(e, lambda a: base(a) if base(a) in outer else a, tuple, lambda parts: Sum(*parts)) for e in entries
        ]
        bias = _bias(analysis, found, leaf, bare)
        leaves[leaf] = Axes(*(bare if bias else entries), bias=bias)
    rank = lambda item: {"input": 0, "internal": 1, "output": 2}[getattr(item[1], "role", "internal")]
    return symmetry_of(jax.tree.unflatten(treedef, leaves), dict(sorted(dimensions.items(), key=rank)))


def _bias(analysis: Analysis, found: dict[Any, Found], leaf: int, entries: Sequence[Entry]) -> bool:
    """Whether an array is marked as a bias: it adds to what its kernel gives, with the same factor; of a sine, it is
    one that phases shift."""
    if any(consumes(name) for entry in entries for name in atoms(entry)):
        return False
    for group in (slot.group for slot in groups_of(analysis.terms[leaf])):
        if "phase" in found[group].actions:
            return leaf in (found[group].biases or ())
    if not all(isinstance(entry, str) for entry in entries):
        return False
    own = [crossing for crossing in analysis.crossings if leaf in crossing.slopes]
    same = lambda crossing: {s.factor for s in crossing.slopes.values()} == {crossing.slopes[leaf].factor}
    return bool(own) and all(is_bias(analysis, found, leaf, crossing) and same(crossing) for crossing in own)
