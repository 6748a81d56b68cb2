"""What is found, in short."""

import re

from wsjax.symmetry import Symmetry


def groups(found: Symmetry) -> str:
    """Size and actions of each group: P permute, S sign, W phase, R rescale."""
    letters = {"permute": "P", "sign": "S", "phase": "W", "rescale": "R"}
    return ", ".join(f"{g.size} {''.join(letters[a] for a in g.actions or ())}" for g in found.groups.values())


def reasons(text: str) -> str:
    """Why axes are fixed, each reason once."""
    found = re.findall(r"fixed \(\d+\): (?:meets )?(.*?)(?: in | \(|[,)]|$)", text, re.MULTILINE)
    return ", ".join(sorted({reason.removeprefix("the network's ") for reason in found}))
