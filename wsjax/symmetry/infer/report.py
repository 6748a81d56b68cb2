"""What was found and why, in words: each array, each of its axes, its group and its actions, or what fixed it."""

from typing import Any

from wsjax.symmetry.infer import terms as t
from wsjax.symmetry.infer.degrees import Slot
from wsjax.symmetry.infer.marks import MARK, Found, number
from wsjax.symmetry.infer.passes import Analysis
from wsjax.symmetry.spec import Symmetry


def report(analysis: Analysis, found: dict[Any, Found], names: dict[Any, str], symmetry: Symmetry) -> str:
    """One line for each group, then for each array one for each axis."""
    lines = [
        f"group {name}: {group.size} neurons, {group.activation}, {'/'.join(group.actions or ())}"
        + (f", w0 {group.w0:g} ({group.w0_convention})" if group.allows("phase") else "")
        + (f", within {group.within}" if group.within else "")
        for name, group in symmetry.groups.items()
    ] or ["no group acts"]
    lines += [f"no gains were derived: {analysis.failure}"] if analysis.failure else []
    outer = {group.within for group in symmetry.groups.values()} - set(symmetry.groups)
    width = len(str(max((term.size for terms in analysis.terms for term in terms), default=0)))
    for name, terms, axes in zip(symmetry.names, analysis.terms, symmetry.axes, strict=True):
        lines.append(f"{name}{' (a bias)' if axes.bias else ''}")
        for i, term in enumerate(terms):
            scan = f"{axes.entries[i]}, " if axes.entries[i] in outer else ""
            lines.append(f"  axis {i}, {term.size:>{width}}: {scan}{_words(term, found, names)}")
    return "\n".join(lines)


def _words(term: t.Term, found: dict[Any, Found], names: dict[Any, str]) -> str:
    term = t.resolve(term)
    if isinstance(term, Slot):
        if why := found[term.group].why:
            return f"fixed ({term.size}): {why.text}"
        mark = found[term.group].marks[number(term)]
        return {1: "produces", -1: "consumes", 0: "follows"}[mark] + f" {names[term.group]}{MARK[mark]}"
    if isinstance(term, t.Pinned):
        return f"fixed ({term.size}): {term.why.text}"
    assert isinstance(term, t.Prod | t.Sum)
    inner = ", ".join(_words(part, found, names) for part in term.parts)
    return f"product of ({inner})" if isinstance(term, t.Prod) else f"concatenation of ({inner})"
