"""`Metadata`: everything needed to decode a data set's networks, and to find where they come from."""

import json
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

import jax
import numpy as np
from jaxtyping import PyTree

from wsjax.data.recipe import NAMED
from wsjax.errors import DataError, check_choice, check_range, leaf_names, listing
from wsjax.networks import Network
from wsjax.networks.grid import Order
from wsjax.symmetry import Axes, Fixed, Group, Sum, Symmetry, symmetry_of
from wsjax.symmetry.axes import Entry
from wsjax.typing import Layer

FORMAT_VERSION = 1
STATISTICS_CHUNK = 4096


@dataclass(frozen=True)
class Metadata:
    """What the networks of a data set are.

    name: the data set's; network: their architecture with w0, its convention and the output offset, None for networks
    that wsjax cannot run; symmetry: what may be done to their weights; image_shape: (rows, columns, channels) of what
    they decode to, None where that is no image; coordinate_order, coordinate_range: as `networks.grid` takes them;
    value_range: of the decoded values, offset included; label: what a label is; classes: its names, none for targets;
    source, recipe: where the networks come from and how they were fitted, as JSON; statistics: for each leaf `mean`,
    `rms` and `std` over the training split.

    Example:
        >>> from wsjax.networks import Network
        >>> net = Network("siren", (2, 8, 1))
        >>> metadata = Metadata("tiny", net, net.symmetry, image_shape=(8, 8, 1), classes=("a", "b"))
        >>> Metadata.from_json(metadata.to_json()) == metadata
        True
    """

    name: str
    network: Network | None
    symmetry: Symmetry
    image_shape: tuple[int, int, int] | None = None
    coordinate_order: Order = "xy"
    coordinate_range: tuple[float, float] = (-1.0, 1.0)
    value_range: tuple[float, float] = (0.0, 1.0)
    label: str = "class"
    classes: tuple[str, ...] = ()
    source: dict[str, Any] = field(default_factory=dict)
    recipe: dict[str, Any] | None = None
    statistics: dict[str, dict[str, float]] = field(default_factory=dict)
    format_version: int = FORMAT_VERSION

    def __post_init__(self):
        check_choice("coordinate order", self.coordinate_order, ("xy", "ij"))
        for name in ("coordinate_range", "value_range"):
            check_range(f"the {name} of {self.name}", getattr(self, name))
        if self.network is not None and self.network.symmetry != self.symmetry:
            raise DataError(
                f"the metadata of {self.name} holds {self.symmetry!r}; its network {self.network.kind} "
                f"{self.network.widths} has {self.network.symmetry!r}: give the network's own Symmetry"
            )
        # As JSON would give them back, so that metadata read from disk equals the one written.
        for name in ("source", "recipe"):
            object.__setattr__(self, name, json.loads(json.dumps(getattr(self, name))))

    def to_json(self) -> dict[str, Any]:
        """Raises ValueError where the Symmetry has a container that a file cannot bring back."""
        plain = {f.name: getattr(self, f.name) for f in fields(self)}
        network = None if self.network is None else self.network.to_json()
        return json.loads(json.dumps({**plain, "network": network, "symmetry": symmetry_to_json(self.symmetry)}))

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Metadata":
        """Raises DataError where the version is unknown, or fields are missing, unknown or unreadable."""
        version = content.get("format_version")
        if version != FORMAT_VERSION:
            raise DataError(
                f"the metadata has format_version {version}; this wsjax reads {FORMAT_VERSION}: use the wsjax that "
                f"wrote it"
            )
        if wrong := sorted({f.name for f in fields(cls)} ^ set(content)):
            raise DataError(f"the metadata's fields are not those of format_version {version}: {listing(wrong)} differ")
        pairs = ("coordinate_range", "value_range", "classes", "image_shape")
        tuples = {name: None if content[name] is None else tuple(content[name]) for name in pairs}
        try:
            network = None if content["network"] is None else Network.from_json(content["network"])
            symmetry = symmetry_from_json(content["symmetry"])
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"the metadata's network or symmetry cannot be read: {error!r}") from None
        return cls(**{**content, **tuples, "network": network, "symmetry": symmetry})

    @property
    def settings(self) -> dict[str, Any]:
        """What tells its networks from others, as JSON: all but the statistics and the name of the recipe."""
        return settings_of(self.to_json())

    def with_statistics(self, weights: PyTree, rows: np.ndarray) -> "Metadata":
        """This metadata with the statistics of some rows of stacked weights; for no rows, with those that it has."""
        if not len(rows):
            return self
        return replace(self, statistics=leaf_statistics(weights, rows))


def settings_of(content: dict[str, Any]) -> dict[str, Any]:
    """`Metadata.settings`, from the JSON of the metadata."""
    recipe = content["recipe"]
    plain = None if recipe is None else {name: value for name, value in recipe.items() if name != NAMED}
    return {**content, "recipe": plain, "statistics": {}}


def leaf_statistics(weights: PyTree, rows: np.ndarray) -> dict[str, dict[str, float]]:
    """Mean, root mean square and standard deviation of each leaf over all its entries in some rows, in float64."""
    found = [_statistics(np.asarray(leaf), rows) for leaf in jax.tree.leaves(weights)]
    return dict(zip(leaf_names(weights), found, strict=True))


def _statistics(leaf: Any, rows: np.ndarray) -> dict[str, float]:
    total = squares = 0.0
    sides = (leaf.real, leaf.imag) if np.iscomplexobj(leaf) else (leaf,)  # each counts as an entry
    count = len(sides) * len(rows) * int(np.prod(leaf.shape[1:]))
    wide = leaf.dtype.kind in "fc" and leaf.size
    largest = max(abs(float(end)) for side in sides for end in (side.min(), side.max())) if wide else 0.0
    scale = largest if largest > 1e100 else 1.0  # the squares of such numbers are none in float64
    # In chunks: a whole leaf in float64 would be twice as large as the leaf itself.
    for start in range(0, len(rows), STATISTICS_CHUNK):
        part = np.stack([side[rows[start : start + STATISTICS_CHUNK]] for side in sides]).astype(np.float64) / scale
        total += float(part.sum())
        squares += float(np.square(part).sum())
    mean, square = total / count, squares / count
    found = {"mean": mean, "rms": square**0.5, "std": max(0.0, square - mean**2) ** 0.5}
    return {name: scale * number for name, number in found.items()}


def symmetry_to_json(symmetry: Symmetry) -> dict[str, Any]:
    """A Symmetry of tuples, lists, dicts, `Layer`s and None as JSON; raises ValueError for other containers.

        {"structure": {"tuple": [{"layer": [0, 1]}, {"layer": [2, 3]}]},
         "axes": [{"entries": ["in", "h1"], "bias": false}, ...],
         "dimensions": [["in", {"fixed": {"size": 2, "role": "input"}}], ["h1", {"group": {"size": 8, ...}}], ...]}

    The numbers of a structure are leaves, in order; a product axis is {"product": [...]}, a Sum {"sum": [...]}.
    """
    numbered = symmetry.unflatten(range(len(symmetry.axes)))
    return {
        "structure": _structure(numbered),
        "axes": [{"entries": [_entry(e) for e in axes.entries], "bias": axes.bias} for axes in symmetry.axes],
        "dimensions": [[name, _dimension(dimension)] for name, dimension in symmetry.dimensions],
    }


def symmetry_from_json(fields: dict[str, Any]) -> Symmetry:
    """The Symmetry that `symmetry_to_json` described; validated anew by `symmetry_of`."""
    axes = [Axes(*[_entry_from(e) for e in a["entries"]], bias=a["bias"]) for a in fields["axes"]]
    return symmetry_of(
        jax.tree.map(lambda leaf: axes[leaf], _structure_from(fields["structure"])),
        {name: _dimension_from(dimension) for name, dimension in fields["dimensions"]},
    )


def _dimension(dimension: Group | Fixed) -> dict[str, Any]:
    # A group within no other has no such entry, so that data sets from before groups could have one still load.
    described = {name: value for name, value in asdict(dimension).items() if (name, value) != ("within", None)}
    return {"group" if isinstance(dimension, Group) else "fixed": described}


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
    return Fixed(**fields) if kind == "fixed" else Group(**{**fields, "actions": tuple(fields["actions"])})
