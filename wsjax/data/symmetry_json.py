"""A `Symmetry` as JSON and back, equal to what it was.

    {"structure": {"tuple": [{"layer": [0, 1]}, {"layer": [2, 3]}]},
     "axes": [{"entries": ["in", "h1"], "bias": false}, ...],
     "dimensions": [["in", {"fixed": {"size": 2, "role": "input"}}], ["h1", {"group": {"size": 8, ...}}], ...]}

The numbers of a structure are leaves, in order; a product axis is {"product": [...]}, a Sum {"sum": [...]}.
"""

from dataclasses import asdict
from typing import Any

import jax
from jaxtyping import PyTree

from wsjax.symmetry import Axes, Fixed, Group, Sum, Symmetry, symmetry_of
from wsjax.symmetry.axes import Entry
from wsjax.typing import Layer


def symmetry_to_json(symmetry: Symmetry) -> dict[str, Any]:
    """The JSON of a Symmetry whose weights are built of tuples, lists, dicts, `Layer`s and None.

    Raises:
        ValueError: another container, which a file cannot bring back; the way out is in the message.

    Example:
        >>> from wsjax.symmetry import siren
        >>> spec = siren((2, 8, 1))
        >>> symmetry_from_json(symmetry_to_json(spec)) == spec
        True
    """
    numbered = symmetry.unflatten(range(len(symmetry.axes)))
    return {
        "structure": _structure(numbered),
        "axes": [{"entries": [_entry(e) for e in axes.entries], "bias": axes.bias} for axes in symmetry.axes],
        "dimensions": [
            [name, {"group" if isinstance(dimension, Group) else "fixed": _plain(asdict(dimension))}]
            for name, dimension in symmetry.dimensions
        ],
    }


def symmetry_from_json(fields: dict[str, Any]) -> Symmetry:
    """The Symmetry that `symmetry_to_json` described; validated anew by `symmetry_of`."""
    axes = [Axes(*[_entry_from(e) for e in a["entries"]], bias=a["bias"]) for a in fields["axes"]]
    return symmetry_of(
        jax.tree.map(lambda leaf: axes[leaf], _structure_from(fields["structure"])),
        {name: _dimension_from(dimension) for name, dimension in fields["dimensions"]},
    )


def _plain(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in fields.items()}


def _structure(node: PyTree) -> Any:
    if node is None or isinstance(node, int):
        return node
    if type(node) is Layer:
        return {"layer": [_structure(child) for child in node]}
    if type(node) in (tuple, list):
        return {type(node).__name__: [_structure(child) for child in node]}
    if type(node) is dict and all(isinstance(name, str) for name in node):
        return {"dict": {name: _structure(child) for name, child in node.items()}}
    raise ValueError(
        f"the weights hold a {type(node).__name__}, which a file cannot bring back; expected tuples, lists, dicts with "
        f"string keys and Layers. Turn it into a dict before WeightDataset.from_networks, and its Axes likewise: "
        f"flax.serialization.to_state_dict does so for Flax; for an Equinox module, collect eqx.filter's arrays"
    )


def _structure_from(described: Any) -> PyTree:
    if described is None or isinstance(described, int):
        return described
    ((kind, children),) = described.items()
    if kind == "dict":
        return {name: _structure_from(child) for name, child in children.items()}
    parts = [_structure_from(child) for child in children]
    return Layer(*parts) if kind == "layer" else tuple(parts) if kind == "tuple" else parts


def _entry(entry: Entry) -> Any:
    if isinstance(entry, str):
        return entry
    if isinstance(entry, Sum):
        return {"sum": [_entry(part) for part in entry.parts]}
    return {"product": [_entry(part) for part in entry]}


def _entry_from(described: Any) -> Entry:
    if isinstance(described, str):
        return described
    ((kind, parts),) = described.items()
    entries = [_entry_from(part) for part in parts]
    return Sum(*entries) if kind == "sum" else tuple(entries)


def _dimension_from(described: dict[str, Any]) -> Group | Fixed:
    ((kind, fields),) = described.items()
    if kind == "fixed":
        return Fixed(**fields)
    return Group(**{**fields, "actions": tuple(fields["actions"])})
