"""The first pass: which axes of which arrays are permuted together.

Each axis of each array of weights begins as an atom of its own. A step of the program unites atoms, splits them, or
fixes them; all of this only shrinks the group, so that what remains acts on every value of the program as its terms
say (by induction over the steps), and leaves the outputs, which are fixed, as they are.
"""

from wsjax.symmetry.infer.terms import Atom, Free, Pinned, Term, Terms, atoms, concatenation, mapped, product

PIECES = 64
"""The most parts into which one axis is cut; slices that overlap more often fix it."""


class Labels(Terms):
    """Unification of terms. A step that could be understood in two ways takes the smaller group."""

    def __init__(self) -> None:
        self.resolved: dict[object, list[Term]] = {}

    def new(self, size: int, of: Atom | None = None) -> Term:
        """An atom, of another one where that is split; a part of one entry has no symmetry that products could keep."""
        return Atom(size, pieces=of and of.pieces) if size != 1 else Pinned(1, self.why("it has one entry"))

    def unite(self, a: Atom, b: Atom, how: str) -> Term:
        if a is not b:
            b.link = a
            a.pieces = a.pieces or b.pieces
        return a

    def bind(self, atom: Atom, term: Term) -> Term:
        if any(inner is atom for inner in atoms(term)):
            return self.fix(term, "an axis meets a part of itself")
        # where a value is constant along an axis, what meets it need not be
        atom.link = mapped(term, lambda free: self.new(free.size), Free)
        return atom.link

    def divide_atom(self, atom: Atom, lead: int) -> tuple[Term, Term]:
        pair = (self.new(lead, atom), self.new(atom.size // lead, atom))
        atom.link = product(pair)
        return pair

    def cut_atom(self, atom: Atom, at: int) -> tuple[Term, Term]:
        atom.pieces = atom.pieces or [1]
        atom.pieces[0] += 1
        if atom.pieces[0] > PIECES:
            return self.cut(self.fix(atom, "the axis is cut into too many parts"), at)
        pair = (self.new(at, atom), self.new(atom.size - at, atom))
        atom.link = concatenation(pair)
        return pair

    def fresh(self, place: object, terms: list[Term]) -> list[Term]:
        """They are kept for the second pass."""
        self.resolved[place] = terms
        return terms
