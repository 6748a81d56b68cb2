"""Both passes over a program, and what the second leaves for the marks of the axes."""

from dataclasses import dataclass, field
from typing import Any

from wsjax.symmetry.infer.activations import Activations, Kind, roots
from wsjax.symmetry.infer.degrees import Degrees, Slot
from wsjax.symmetry.infer.labels import Labels
from wsjax.symmetry.infer.linear import Form, added
from wsjax.symmetry.infer.rules import apply_rule, constant_axes, unknown
from wsjax.symmetry.infer.tape import Step, Tape, Value
from wsjax.symmetry.infer.terms import Atom, Pinned, Term, Why, atoms, mapped, nonzero

LAYOUT = ("reshape", "transpose", "broadcast_in_dim", "squeeze", "expand_dims", "slice", "split", "row")
CUTS = ("slice", "split", "dynamic_slice")
UNUSED = Why("the function does not use it")


@dataclass
class Slope:
    """How much of an array of weights a pre-activation holds: `factor` times it, or, where it `multiplies` data, times
    their product."""

    factor: float
    multiplies: bool = False


@dataclass
class Crossing:
    """A value that passes a nonlinear function, or leaves the network (`kind` None)."""

    kind: Kind | None
    slots: list[Slot]
    slopes: dict[int, Slope]
    phases: dict[int, Slot] = field(default_factory=dict)
    """The unknowns that say whether a half period is added, modulo 2."""


@dataclass
class Analysis:
    """What the passes find: the terms of each leaf, the equations, and what crosses each nonlinear function."""

    tape: Tape
    terms: list[list[Term]]
    degrees: Degrees = field(default_factory=Degrees)
    crossings: list[Crossing] = field(default_factory=list)
    impure: set[int] = field(default_factory=set)
    """Leaves that also enter in another way than by adding to a pre-activation, or multiplying its data."""
    steps: list[tuple[Step, list[list[Term]]]] = field(default_factory=list)
    """Each step beside those inside functions of one value, with the axes of its operands."""
    used: set[Any] = field(default_factory=set)
    """The groups that are not only cut off."""
    failure: str = ""
    """Why no gains were derived, where that is so: a mistake in a rule."""
    failed: set[int] = field(default_factory=set)
    """Steps whose rule failed, by identity."""


def analyze(tape: Tape) -> Analysis:
    """Permutations first, then gains on the axes that are left."""
    labels = Labels()
    used = {id(value) for step in tape.steps for value in step.ins} | set(map(id, tape.outputs))
    axes: dict[int, list[Term]] = {}
    for leaf in tape.leaves:
        unused = id(leaf) not in used
        axes[id(leaf)] = [Pinned(n, UNUSED) if unused else Atom(n) for n in leaf.shape]
    _read_inputs(tape, axes)
    own = {id(leaf): list(axes[id(leaf)]) for leaf in tape.leaves}
    read = lambda value: axes[id(value)] if id(value) in axes else constant_axes(value)
    failed: set[int] = set()
    for step in tape.steps:
        ins = [list(read(value)) for value in step.ins]
        try:
            outs = apply_rule(labels, step, ins)
        except Exception:  # a primitive of another form than its rule expects is one that is not understood
            outs = unknown(labels, step, ins)
            failed.add(id(step))
        axes |= {id(out): axis for out, axis in zip(step.outs, outs, strict=True)}
    labels.note = ""
    for i, value in enumerate(tape.outputs):
        for at, axis in enumerate(read(value)):
            labels.fix(axis, Why("the network's output", "output", (i, at)))
    second = _Second(tape, labels, own, failed)
    try:
        second.run()
    except AssertionError as error:
        return Analysis(tape, second.found.terms, second.degrees, failure=str(error) or "a rule failed")
    return second.found


def _read_inputs(tape: Tape, axes: dict[int, list[Term]]) -> None:
    for i, value in enumerate(tape.inputs):
        axes[id(value)] = [Pinned(n, Why("the network's input", "input", (i, at))) for at, n in enumerate(value.shape)]


class _Second:
    """The second pass. Regions of one value are evaluated as wholes, where another step takes what they give."""

    def __init__(self, tape: Tape, labels: Labels, own: dict[int, list[Term]], failed: set[int]):
        self.degrees = Degrees()
        self.degrees.resolved = labels.resolved
        self.roots = roots(tape)
        self.activations = Activations(self.roots)
        self.axes: dict[int, list[Term]] = {}
        self.slopes: dict[int, dict[int, Slope]] = {}
        for i, leaf in enumerate(tape.leaves):
            self.axes[id(leaf)] = [self.degrees.slots(term, own=True) for term in own[id(leaf)]]
            self.slopes[id(leaf)] = {i: Slope(1.0)}
        self.found = Analysis(tape, [self.axes[id(leaf)] for leaf in tape.leaves], self.degrees, failed=failed)
        _read_inputs(tape, self.axes)

    def run(self) -> None:
        for step in self.found.tape.steps:
            if len(step.outs) == 1 and id(step.outs[0]) in self.roots:
                continue
            self.degrees.weights_only = (False, False)
            ins = [list(self.read(value)) for value in step.ins]
            outs = (unknown if id(step) in self.found.failed else apply_rule)(self.degrees, step, ins)
            self.found.steps.append((step, ins))
            self.axes |= {id(out): axis for out, axis in zip(step.outs, outs, strict=True)}
            read = outs if step.name in CUTS else [*ins, *outs]
            self.found.used |= {slot.group for terms in read for slot in groups_of(terms)}
            for out, slopes in zip(step.outs, self.follow(step), strict=False):
                self.slopes[id(out)] = slopes
        for value in self.found.tape.outputs:
            self.read(value)
            self.found.crossings.append(Crossing(None, [], self.slopes.get(id(value), {})))

    def read(self, value: Value) -> list[Term]:
        """The axes of a value, computed when they are first needed."""
        if id(value) not in self.axes:
            root = self.roots.get(id(value))
            self.axes[id(value)] = constant_axes(value) if root is None else self.region(value, root)
        return self.axes[id(value)]

    def region(self, value: Value, root: Value) -> list[Term]:
        """A function of one value: what does not pass it must be zero before it."""
        terms, kind = self.read(root), self.activations.kind(value)
        slopes = self.slopes.get(id(root), {})
        if kind.slope is not None:
            self.slopes[id(value)] = {i: Slope(s.factor * kind.slope, s.multiplies) for i, s in slopes.items()}
            return terms
        if not root.inputs:  # what no input enters is no pre-activation
            self.found.impure |= set(slopes)
        crossing = Crossing(kind, [], slopes if root.inputs else {})
        self.found.crossings.append(crossing)
        self.degrees.note = value.step.note if value.step else ""

        def through(slot: Slot) -> Term:
            crossing.slots.append(slot)
            self.degrees.require(
                slot.group, slot.power if kind.power is None else None, slot.sign if kind.parity is None else None
            )
            sign: Form = slot.sign if kind.parity == 1 else {}
            if kind.half_period is not None:
                number = self.degrees.unknown()
                crossing.phases[number] = slot
                sign = added(sign, {number: 1}, 1, 2)
            scaled = self.degrees.scale(slot, kind.power or 0)
            assert isinstance(scaled, Slot)
            scaled.sign = sign
            return scaled

        return [mapped(term if kind.zero else nonzero(term), through) for term in terms]

    def follow(self, step: Step) -> list[dict[int, Slope]]:
        """The slopes of what a step gives."""
        own = [self.slopes.get(id(value), {}) for value in step.ins]
        if step.name in LAYOUT:
            return [own[0] for _ in step.outs]
        if step.name in ("add", "add_any", "sub"):
            total = dict(own[0])
            for leaf, slope in own[1].items():
                factor = slope.factor * (-1 if step.name == "sub" else 1)
                if leaf in total:
                    self.found.impure.add(leaf)
                total[leaf] = Slope(factor, slope.multiplies)
            return [total]
        kept: dict[int, Slope] = {}
        for value, slopes in zip(step.ins, own, strict=True):
            if step.name in ("dot_general", "conv_general_dilated") and not value.inputs:
                kept |= {leaf: Slope(slope.factor, True) for leaf, slope in slopes.items()}
            else:
                self.found.impure |= set(slopes)
        return [kept for _ in step.outs]


def groups_of(terms: list[Term]) -> list[Slot]:
    """The slots of one value, in order."""
    return [atom for term in terms for atom in atoms(term) if isinstance(atom, Slot)]
