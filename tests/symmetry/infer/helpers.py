"""What is found, in short."""

import re

from wsjax.symmetry import Symmetry


def groups(found: Symmetry, leaf: str | None = None) -> str:
    """Size and actions of each group, or of each along one array: P permute, S sign, W phase, R rescale, L linear,
    which includes the others; and the name of the axis within which it lies."""
    letters = {"permute": "P", "sign": "S", "phase": "W", "rescale": "R"}
    acts = lambda g: "L" if g.allows("linear") else "".join(letters[a] for a in g.actions or ())
    within = lambda g: f" in {g.within}" if g.within else ""
    names = found.groups if leaf is None else dict(zip(found.names, found.axes, strict=True))[leaf].names
    own = [found.groups[name] for name in names if name in found.groups]
    return ", ".join(f"{g.size} {acts(g)}{within(g)}" for g in own)


def reasons(text: str) -> str:
    """Why axes are fixed, each reason once."""
    found = re.findall(r"fixed \(\d+\): (?:meets )?(.*?)(?: in | \(|[,)]|$)", text, re.MULTILINE)
    return ", ".join(sorted({reason.removeprefix("the network's ") for reason in found}))
