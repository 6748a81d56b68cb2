"""Terms: what is known about one axis of one value of a program, and how two descriptions of one axis are joined.

A term is an `Atom` (all permutations may act), `Pinned` (nothing acts), `Free` (the value is constant along the axis),
a row-major `Prod`, or a `Sum`, which concatenates. `Terms` divides, cuts and joins them. What an atom is, and what
happens where two of them meet, depends on the pass: the first finds permutations (labels.py), the second gains
(degrees.py).
"""

import abc
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any


@dataclass(frozen=True)
class Why:
    """Why nothing acts on an axis: in words, with the primitive and the source line that decided it."""

    text: str
    role: str = "internal"
    place: tuple[int, int] = (0, 0)
    """Of an input or output: its number, and the number of its axis."""


@dataclass(eq=False)
class Term:
    """One axis, of this length."""

    size: int


@dataclass(eq=False)
class Pinned(Term):
    """An axis on which nothing acts."""

    why: Why


@dataclass(eq=False)
class Free(Term):
    """An axis along which the value is constant; `zero` where it is zero there."""

    zero: bool = False


@dataclass(eq=False)
class Atom(Term):
    """An axis that may be permuted. `link` is what it turned out to be; `pieces` counts how often it was cut."""

    link: Term | None = None
    pieces: list[int] | None = None


@dataclass(eq=False)
class Prod(Term):
    """A flattened product of axes, row-major."""

    parts: tuple[Term, ...]


@dataclass(eq=False)
class Sum(Term):
    """A concatenation."""

    parts: tuple[Term, ...]


UNIT = Why("it has one entry")


def product(parts: Sequence[Term]) -> Term:
    """The normal form of a product: flat, without units, neighbors on which nothing acts as one, a leading sum
    distributed."""
    flat: list[Term] = []
    for part in map(resolve, parts):
        flat += part.parts if isinstance(part, Prod) else ([part] if part.size != 1 else [])
    merged: list[Term] = []
    for part in flat:
        last = merged[-1] if merged else None
        if isinstance(last, Pinned) and isinstance(part, Pinned):
            merged[-1] = Pinned(last.size * part.size, last.why)
        elif isinstance(last, Free) and isinstance(part, Free):
            merged[-1] = Free(last.size * part.size, last.zero or part.zero)
        else:
            merged.append(part)
    if len(merged) < 2:
        return merged[0] if merged else (resolve(parts[0]) if parts else Pinned(1, UNIT))
    if isinstance(merged[0], Sum):
        return concatenation([product([part, *merged[1:]]) for part in merged[0].parts])
    return Prod(math.prod(part.size for part in merged), tuple(merged))


def concatenation(parts: Sequence[Term]) -> Term:
    """The normal form of a sum: flat, neighbors on which nothing acts as one."""
    merged: list[Term] = []
    for part in map(resolve, parts):
        for inner in part.parts if isinstance(part, Sum) else ([part] if part.size else []):
            last = merged[-1] if merged else None
            if isinstance(last, Pinned) and isinstance(inner, Pinned):
                merged[-1] = Pinned(last.size + inner.size, last.why)
            else:
                merged.append(inner)
    return merged[0] if len(merged) == 1 else Sum(sum(part.size for part in merged), tuple(merged))


def resolve(term: Term) -> Term:
    """The normal form of a term, all links followed."""
    if isinstance(term, Atom) and term.link is not None:
        term.link = resolve(term.link)
        return term.link
    if isinstance(term, Prod):
        return product(term.parts)
    return concatenation(term.parts) if isinstance(term, Sum) else term


def atoms(term: Term) -> Iterator[Atom]:
    """Every atom of a term, in order."""
    term = resolve(term)
    if isinstance(term, Atom):
        yield term
    for part in term.parts if isinstance(term, Prod | Sum) else ():
        yield from atoms(part)


def mapped(term: Term, change: Callable[[Any], Term], kind: type[Term] = Atom) -> Term:
    """A term with another in the place of each atom, or of each constant axis."""
    term = resolve(term)
    if isinstance(term, Prod | Sum):
        inner = [mapped(part, change, kind) for part in term.parts]
        return product(inner) if isinstance(term, Prod) else concatenation(inner)
    return change(term) if isinstance(term, kind) else term


def nonzero(term: Term) -> Term:
    """A term of values that need not be zero where they are constant."""
    return mapped(term, lambda free: Free(free.size), Free)


def _zero(a: Free, b: Free, how: str) -> bool:
    """Whether what a step makes of two constants is zero."""
    return a.zero or (b.zero and how == "mul") if how in ("mul", "div") else a.zero and b.zero


class Terms(abc.ABC):
    """Operations on terms, the same in all passes, which differ in what happens to an atom. `note` says which step of
    the program is at work. What is here stands where gains play no role and atoms are cut no more."""

    note: str = ""

    @abc.abstractmethod
    def unite(self, a: Atom, b: Atom, how: str) -> Term:
        """Two atoms that are one axis of one step: `how` is "add", "mul", "div" or "contract"."""

    def bind(self, atom: Atom, term: Term) -> Term:
        """An atom found to be this product or sum, or fixed."""
        raise AssertionError(f"an axis is fixed late in {self.note}")

    def divide_atom(self, atom: Atom, lead: int) -> tuple[Term, Term]:
        """The two factors of an atom, the leading one of this size."""
        raise AssertionError(f"an axis is divided late in {self.note}")

    def cut_atom(self, atom: Atom, at: int) -> tuple[Term, Term]:
        """The two parts of an atom, the first of this size."""
        raise AssertionError(f"an axis is cut late in {self.note}")

    def contract(self, a: Term, b: Term, step: Any) -> None:
        """Two axes of one contraction."""
        self.join(a, b, "contract")

    def beside_constant(self, term: Term, free: Free, how: str) -> Term:
        """An axis beside a value that is constant along it; `how` is "over" where that is divided by it."""
        return term

    def zero(self, term: Term) -> Term:
        """No gain may act along this axis."""
        return term

    def unsigned(self, term: Term) -> Term:
        """No sign may."""
        return term

    def scale(self, term: Term, power: int) -> Term:
        """A power of a value."""
        return term

    def new(self, size: int) -> Term:
        """An axis of a value that a loop carries, or that branches give."""
        return Pinned(size, self.why("is made"))

    def fresh(self, place: Any, terms: list[Term]) -> list[Term]:
        """All axes of such a value, known by its place."""
        return terms

    def why(self, text: str) -> Why:
        return Why(f"{text} in {self.note}" if self.note else text)

    def fix(self, term: Term, text: str | Why) -> Pinned:
        """Nothing may act on an axis from now on."""
        why = text if isinstance(text, Why) else self.why(text)
        term = resolve(term)
        for atom in list(atoms(term)):
            self.bind(atom, Pinned(atom.size, why))
        return term if isinstance(term, Pinned) else Pinned(term.size, why)

    def divide(self, term: Term, lead: int) -> tuple[Term, Term] | None:
        """The two factors of an axis, the leading one of this size; None where its structure has no such factors."""
        term = resolve(term)
        tail = term.size // lead
        if lead == 1 or tail == 1:
            unit = Pinned(1, UNIT)
            return (unit, term) if lead == 1 else (term, unit)
        if isinstance(term, Pinned):
            return Pinned(lead, term.why), Pinned(tail, term.why)
        if isinstance(term, Free):
            return Free(lead, term.zero), Free(tail, term.zero)
        if isinstance(term, Atom):
            return self.divide_atom(term, lead)
        if isinstance(term, Prod):
            return self._divide_product(term, lead)
        assert isinstance(term, Sum)
        if any(part.size % tail for part in term.parts):
            return None
        pairs = [pair for part in term.parts if (pair := self.divide(part, part.size // tail))]
        if len(pairs) < len(term.parts):
            return None
        joined = reduce(lambda a, b: self.join(a, b, "add"), [last for _, last in pairs])
        return concatenation([first for first, _ in pairs]), joined

    def _divide_product(self, term: Prod, lead: int) -> tuple[Term, Term] | None:
        taken, parts = 1, list(term.parts)
        for i, part in enumerate(parts):
            if taken == lead:
                return product(parts[:i]), product(parts[i:])
            if taken * part.size > lead:
                inner = lead // taken
                if lead % taken or part.size % inner or (pair := self.divide(part, inner)) is None:
                    return None
                return product([*parts[:i], pair[0]]), product([pair[1], *parts[i + 1 :]])
            taken *= part.size
        return term, Pinned(1, UNIT)

    def cut(self, term: Term, at: int) -> tuple[Term, Term]:
        """The two parts of an axis, the first of this size; both sizes are positive."""
        term = resolve(term)
        if isinstance(term, Pinned):
            return Pinned(at, term.why), Pinned(term.size - at, term.why)
        if isinstance(term, Free):
            return Free(at, term.zero), Free(term.size - at, term.zero)
        if isinstance(term, Atom):
            return self.cut_atom(term, at)
        if isinstance(term, Sum):
            left: list[Term] = []
            parts = list(term.parts)
            while parts and parts[0].size <= at:
                at -= parts[0].size
                left.append(parts.pop(0))
            if at:
                first, parts[0] = self.cut(parts[0], at)
                left.append(first)
            return concatenation(left), concatenation(parts)
        assert isinstance(term, Prod)
        first, rest = term.parts[0], product(term.parts[1:])
        whole, inner = divmod(at, rest.size)
        if not inner:
            return tuple(product([part, rest]) for part in self.cut(first, whole))  # type: ignore[return-value]
        lead = first if isinstance(first, Free) else self.fix(first, "the axis is cut across its rows")
        rows = lambda count: [product([self.resized(lead, count), rest])] if count else []
        left_part, right_part = self.cut(rest, inner)
        after = rows(first.size - whole - 1)
        return concatenation([*rows(whole), left_part]), concatenation([right_part, *after])

    @staticmethod
    def resized(term: Term, size: int) -> Term:
        """The same term of another size, where it is fixed or constant."""
        return Free(size, term.zero) if isinstance(term, Free) else Pinned(size, term.why)  # type: ignore[attr-defined]

    def join(self, a: Term, b: Term, how: str) -> Term:
        """What one axis is of which two descriptions are given, by the operands of one step."""
        a, b = resolve(a), resolve(b)
        if a.size != b.size:
            raise ValueError(
                f"axes of sizes {a.size} and {b.size} meet in {self.note}: a fault of wsjax, please report it"
            )
        if isinstance(a, Free) and isinstance(b, Free):
            return Free(a.size, _zero(a, b, how))
        if isinstance(a, Free):
            other = mapped(b, lambda own: Free(own.size, _zero(a, own, how)), Free)
            return self.beside_constant(other, a, "over" if how == "div" else how)
        if isinstance(b, Free):
            return self.beside_constant(mapped(a, lambda own: Free(own.size, _zero(own, b, how)), Free), b, how)
        if isinstance(a, Pinned) or isinstance(b, Pinned):
            fixed, other = (a, b) if isinstance(a, Pinned) else (b, a)
            why: Why = fixed.why  # type: ignore[attr-defined]
            if not isinstance(other, Pinned):
                self.fix(other, self.meets(why))
            return fixed
        if isinstance(a, Atom) and isinstance(b, Atom):
            return self.unite(a, b, how)
        if isinstance(a, Atom) or isinstance(b, Atom):
            return self.bind(a, b) if isinstance(a, Atom) else self.bind(b, a)  # type: ignore[arg-type]
        if isinstance(a, Prod) and isinstance(b, Prod):
            return self._join_products(a, b, how)
        return self._join_sums(a, b, how)

    def meets(self, why: Why) -> Why:
        """The reason of an axis that is fixed because it meets one that is."""
        text = why.text if " meets " in why.text or not self.note else f"meets {why.text} in {self.note}"
        return Why(text if text.startswith("meets") else why.text, why.role, why.place)

    def _join_products(self, a: Prod, b: Prod, how: str) -> Term:
        left, right, done = list(a.parts), list(b.parts), []
        while left:
            first, second = left.pop(0), right.pop(0)
            if first.size != second.size:
                lead = min(first.size, second.size)
                big = max(first.size, second.size)
                pair = self.divide(first if first.size > lead else second, lead) if big % lead == 0 else None
                if pair is None:
                    for part in (first, second, *left, *right):
                        self.fix(part, "products of different factors meet")
                    rest = math.prod(part.size for part in (first, *left))
                    return product([*done, Pinned(rest, self.why("products of different factors meet"))])
                (left if first.size > lead else right).insert(0, pair[1])
                first, second = (pair[0], second) if first.size > lead else (first, pair[0])
            done.append(self.join(first, second, how))
        return product(done)

    def _join_sums(self, a: Term, b: Term, how: str) -> Term:
        done: list[Term] = []
        while a.size and b.size:
            heads = [term.parts[0] if isinstance(term, Sum) else term for term in (a, b)]
            size = min(head.size for head in heads)
            first, a = self.cut(a, size) if size < a.size else (a, Pinned(0, UNIT))
            second, b = self.cut(b, size) if size < b.size else (b, Pinned(0, UNIT))
            done.append(self.join(first, second, how))
            a, b = resolve(a), resolve(b)
        return concatenation(done)
