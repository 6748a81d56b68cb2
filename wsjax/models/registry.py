"""Readers by name, for the command line and for stored runs: `make("dws", metadata, {"channels": 8}, key=key)`."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Protocol, runtime_checkable

import equinox as eqx
import jax
from jaxtyping import PyTree

from wsjax.errors import as_python, check_choice, listing
from wsjax.models.layers.normalizer import normalizer
from wsjax.models.readers.activation_probe import ActivationProbe
from wsjax.models.readers.array_encoder import ArrayEncoder
from wsjax.models.readers.dws import DWS
from wsjax.models.readers.flat import FlatMLP
from wsjax.models.readers.grid_probe import GridProbe
from wsjax.models.readers.hybrid import Hybrid
from wsjax.models.readers.neural_graph import NeuralGraph
from wsjax.models.readers.nfn import NFN
from wsjax.models.readers.nft import NFT
from wsjax.models.readers.probe import Probe
from wsjax.models.readers.relational import RelationalTransformer
from wsjax.models.readers.rows import RowTransformer
from wsjax.models.readers.scale_gmn import ScaleGMN
from wsjax.models.readers.statistics_mlp import StatisticsMLP
from wsjax.models.readers.weight_gcn import WeightGCN
from wsjax.networks import Network
from wsjax.symmetry import Symmetry
from wsjax.typing import Key, Reader

READERS: dict[str, Callable[..., Reader]] = {
    "dws": DWS,
    "mlp": FlatMLP,
    "probe": Probe,
    "activation_probe": ActivationProbe,
    "grid_probe": GridProbe,
    "hybrid": Hybrid,
    "statistics": StatisticsMLP,
    "rows": RowTransformer,
    "scale_gmn": ScaleGMN,
    "weight_gcn": WeightGCN,
    "nfn": NFN,
    "nft": NFT,
    "array_encoder": ArrayEncoder,
    "neural_graph": NeuralGraph,
    "relational": RelationalTransformer,
}
"""Every reader by its name. The keyword arguments of its constructor are its settings."""

SIZES: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "dws": {
        "small": {"channels": 8},
        "base": {"channels": 32, "layers": 4, "head": 128},
        # The defaults of DWSNets' code: two hidden layers, set attention, maxima, on 16 channels.
        "published": {"channels": 16, "activation": "relu", "pooling": "max", "maps": "attention", "heads": 8},
    },
    "mlp": {"small": {"width": 64, "depth": 1}, "base": {"width": 512, "depth": 3}},
    "probe": {
        "small": {"probes": 32, "width": 64},
        "base": {"probes": 128, "width": 256, "depth": 3},
        # ProbeGen on Fashion-MNIST, arXiv 2410.10811.
        "published": {"probes": 128, "width": 256, "depth": 6, "generator": 2},
    },
    "activation_probe": {
        "small": {"probes": 32, "neuron": 16, "width": 64},
        "base": {"probes": 128, "neuron": 64, "width": 256, "depth": 3},
    },
    "grid_probe": {
        "small": {"side": 16, "channels": 16, "width": 64},
        "base": {"side": 28, "channels": 96, "width": 256},
    },
    "hybrid": {
        "small": {"settings": "small", "probes": 16, "probe_features": 16},
        "base": {"settings": "base", "probes": 64, "probe_features": 16},
    },
    "statistics": {"small": {"width": 64, "depth": 1}, "base": {"width": 512, "depth": 3}},
    "rows": {"small": {"width": 32, "layers": 2}, "base": {"width": 128, "layers": 4, "head": 128}},
    "scale_gmn": {
        "small": {"channels": 16, "layers": 3},
        "base": {"channels": 64, "layers": 4, "head": 128, "direction": "bidirectional"},
        # Its settings for MNIST, arXiv 2406.10685.
        "published": {"channels": 128, "layers": 4, "head": 128, "readout": "outputs"},
    },
    "weight_gcn": {"small": {"channels": 32}, "base": {"channels": 128, "head": 128}},
    "nfn": {
        "small": {"channels": 8},
        "base": {"channels": 32, "layers": 4, "head": 128},
        # HNP on MNIST's INRs, arXiv 2302.14040. Its frequencies, of deviation 3 on weights as they are, are about
        # the default's on normalized ones.
        "published": {"channels": 512, "activation": "relu", "frequencies": 128, "head": 1000, "depth": 3},
    },
    "nft": {"small": {"width": 16}, "base": {"width": 64, "layers": 3, "head": 128}},
    "neural_graph": {
        "small": {"width": 16, "edges": 16, "layers": 3},
        "base": {"width": 64, "edges": 64, "head": 128},
        # The defaults, the width, layers and frequencies of NG-GNN, arXiv 2403.12143, and its sigma.
        "published": {"sigma": 3.0},
    },
    "relational": {
        "small": {"width": 32, "edges": 16, "layers": 3, "frequencies": 32, "attention": 32, "heads": 4, "hidden": 64},
        "base": {"width": 96, "edges": 48, "attention": 192},
        # The defaults, near the 376,586 parameters of arXiv 2403.12143, and its sigma.
        "published": {"sigma": 1.0},
    },
    "array_encoder": {
        "small": {"width": 16, "latents": 8},
        "base": {"width": 64, "layers": 3, "head": 128},
        # INR2Array's encoder, arXiv 2305.13546.
        "published": {"width": 256, "layers": 6, "heads": 4, "latents": 16, "frequencies": 8},
    },
}
"""Settings by reader and size; what is not named keeps its default."""

FROM_METADATA: dict[str, Callable[["MetadataLike"], Any]] = {
    **{name: attrgetter(name) for name in ("symmetry", "network", "coordinate_range", "value_range")},
    "normalizer": lambda metadata: normalizer(metadata.symmetry, metadata.statistics),
}
"""Arguments of constructors that come from the metadata. All others but `out_size` and `key` are settings."""


@runtime_checkable
class MetadataLike(Protocol):
    """The part of a data set's metadata that readers use."""

    @property
    def symmetry(self) -> Symmetry: ...
    @property
    def network(self) -> Network | None: ...
    @property
    def classes(self) -> tuple[str, ...]: ...
    @property
    def statistics(self) -> Mapping[str, Mapping[str, float]]: ...
    @property
    def coordinate_range(self) -> tuple[float, float]: ...
    @property
    def value_range(self) -> tuple[float, float]: ...


def settings_of(name: str, settings: Mapping[str, Any] | str | None = None) -> dict[str, Any]:
    """The settings of a reader, or of one of its `SIZES` by name, with the defaults of its constructor filled in.

    Example:
        >>> settings_of("probe", "small")
        {'probes': 32, 'width': 64, 'depth': 2, 'generator': 0}
    """
    check_choice("reader", name, tuple(READERS))
    if isinstance(settings, str):
        check_choice(f"size of reader {name!r}", settings, tuple(SIZES[name]))
        settings = SIZES[name][settings]
    parameters = inspect.signature(READERS[name]).parameters
    defaults = {n: p.default for n, p in parameters.items() if n not in (*FROM_METADATA, "out_size", "key")}
    for setting in settings or {}:
        check_choice(f"setting of reader {name!r}", setting, tuple(defaults))
    filled = {**defaults, **as_python(dict(settings or {}))}
    if name == "hybrid":
        names = {constructor: name for name, constructor in READERS.items()}
        inner = names.get(filled["reader"], str(filled["reader"]))
        check_choice("reader of weights in a hybrid", inner, _of_weights())
        filled |= {"reader": inner, "settings": settings_of(inner, filled["settings"])}
    return filled


def make(
    name: str,
    metadata: MetadataLike,
    settings: Mapping[str, Any] | str | None = None,
    *,
    out_size: int | None = None,
    key: Key,
) -> Reader:
    """An untrained reader for the networks of a data set.

    Args:
        name: in `READERS`.
        metadata: of the data set.
        settings: of the reader; or the name of a size, `"small"`, `"base"` or `"published"`; None takes the defaults.
        out_size: the number of outputs; None takes one for each class.
        key: a typed key.

    Raises:
        ValueError: an unknown name or setting, metadata without classes and no `out_size`, or a reader that runs
            networks for metadata that name none.

    Example:
        `networks` is a data set of digits.

        >>> reader = make("dws", networks.metadata, {"channels": 2}, key=jax.random.key(0))
        >>> jax.eval_shape(reader, networks.network(0)).shape
        (10,)
    """
    filled = settings_of(name, settings)
    if name == "hybrid":
        filled |= {"reader": READERS[filled["reader"]]}
    if out_size is None and not metadata.classes:
        raise ValueError(
            "the metadata name no classes; expected one at least, as a classifier has one output for each: label the "
            "networks with integers and name their classes; for targets that are no classes make the labels floats for "
            "wsjax.train, or give the number of outputs: out_size=1"
        )
    out_size = len(metadata.classes) if out_size is None else out_size
    taken = inspect.signature(READERS[name]).parameters
    if metadata.network is None and "network" in taken and taken["network"].default is inspect.Parameter.empty:
        raise ValueError(
            f"the reader {name!r} runs the networks that it reads, and the metadata name no network to run; use one of "
            f"{listing(_of_weights())}, or models.Probe with a network of your own"
        )
    found = {argument: find(metadata) for argument, find in FROM_METADATA.items() if argument in taken}
    return READERS[name](out_size=out_size, key=key, **found, **filled)


@dataclass(frozen=True)
class NamedReader:
    """A reader by name as `train.fit` takes a model: from a key to an untrained reader. A run's record stores its name
    and arguments, so that `train.load` makes it again.
    """

    name: str
    metadata: MetadataLike
    settings: Mapping[str, Any] | str | None = None
    out_size: int | None = None

    def __post_init__(self):
        object.__setattr__(self, "settings", settings_of(self.name, self.settings))

    def __call__(self, key: Key) -> Reader:
        return make(self.name, self.metadata, self.settings, out_size=self.out_size, key=key)

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "settings": self.settings, "out_size": self.out_size}


def _of_weights() -> tuple[str, ...]:
    """The readers that take a Symmetry, and run no network."""
    return tuple(name for name, reader in READERS.items() if "symmetry" in inspect.signature(reader).parameters)


def parameter_count(model: PyTree) -> int:
    """How many parameters of a model train.

    Example:
        >>> parameter_count(eqx.nn.Linear(3, 2, key=jax.random.key(0)))
        8
    """
    return sum(leaf.size for leaf in jax.tree.leaves(eqx.filter(model, eqx.is_inexact_array)))
