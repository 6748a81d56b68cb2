"""Which blocks of a graph each layer has to touch, so that what is read hears of everything and nothing is idle."""

from dataclasses import dataclass

from wsjax.models.graph import EdgeKey, Graph


@dataclass(frozen=True)
class Step:
    """What a layer does: the nodes that it updates, the edges over which it does, and those that it updates."""

    nodes: frozenset[str]
    edges: frozenset[EdgeKey]
    updated: frozenset[EdgeKey]
    along: bool
    against: bool


def steps(graph: Graph, layers: int, readout: str) -> tuple[Step, ...]:
    """What each layer has to do so that the readout hears of everything, and nothing that it cannot hear of.

    Raises:
        ValueError: a readout of outputs that are not there, or too far from an array for so many layers.

    Example:
        >>> from wsjax.models.graph import graph_of
        >>> from wsjax.symmetry import siren
        >>> for step in steps(graph_of(siren((2, 8, 8, 1))), 3, "outputs"):
        ...     print(sorted(step.nodes), len(step.edges), len(step.updated), step.against)
        ['h1', 'h2', 'out'] 3 2 True
        ['h2', 'out'] 2 1 True
        ['out'] 1 0 False
    """
    wanted = {n.name for n in graph.nodes if readout == "graph" or n.role == "output"}
    if not wanted:
        raise ValueError(
            "the network has no outputs to read; expected a fixed axis with the role 'output': name it so in the "
            "Symmetry, or set readout='graph'"
        )
    made: list[Step] = []
    for _ in range(layers):
        touching = frozenset(e.key for e in graph.edges if e.source in wanted or e.target in wanted)
        along, against = (any(getattr(e, end) in wanted for e in graph.edges) for end in ("target", "source"))
        made.insert(0, Step(frozenset(wanted), touching, made[0].edges if made else frozenset(), along, against))
        wanted |= {name for source, target, _ in touching for name in (source, target)}
    unheard = [e for e in graph.edges if e.key not in made[0].edges]
    if unheard:
        raise ValueError(
            f"layers is {layers}, and the edges {unheard[0].source!r} -> {unheard[0].target!r} are farther than that "
            f"from the outputs; expected as many layers as there are edges on the way: set more, or readout='graph'"
        )
    return tuple(made)
