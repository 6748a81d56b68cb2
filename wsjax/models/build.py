"""Readers by name: `build("dws", card, config)` makes one for a data set from what its card says."""

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import equinox as eqx
import jax
from jaxtyping import PyTree

from wsjax.errors import check_choice, check_number, listing
from wsjax.models.activation_probe import ActivationProbe, ActivationProbeConfig
from wsjax.models.array_encoder import ArrayEncoder, ArrayEncoderConfig
from wsjax.models.dws import DWS, DWSConfig
from wsjax.models.flat import FlatConfig, FlatMLP
from wsjax.models.fourier import FourierFeatures
from wsjax.models.hybrid import Hybrid, HybridConfig, statistics_of_seen, symmetry_of_seen
from wsjax.models.neural_graph import NeuralGraph, NeuralGraphConfig
from wsjax.models.nfn import NFN, NFNConfig
from wsjax.models.nft import NFT, NFTConfig
from wsjax.models.normalise import Normaliser, normaliser
from wsjax.models.probe import Probe, ProbeConfig
from wsjax.models.probed_dws import ProbedDWS, ProbedDWSConfig
from wsjax.models.relational import RelationalConfig, RelationalTransformer
from wsjax.models.rescaled import Units
from wsjax.models.rows import RowConfig, RowTransformer
from wsjax.models.scale_gmn import ScaleGMN, ScaleGMNConfig
from wsjax.models.sizes import size_settings
from wsjax.models.statistics_mlp import StatisticsConfig, StatisticsMLP
from wsjax.models.weight_gcn import WeightGCN, WeightGCNConfig
from wsjax.networks import Network
from wsjax.symmetry import Symmetry
from wsjax.typing import Key, Reader

CONFIGS: dict[str, type] = {
    "dws": DWSConfig,
    "mlp": FlatConfig,
    "probe": ProbeConfig,
    "activation_probe": ActivationProbeConfig,
    "probed_dws": ProbedDWSConfig,
    "hybrid": HybridConfig,
    "statistics": StatisticsConfig,
    "rows": RowConfig,
    "scale_gmn": ScaleGMNConfig,
    "weight_gcn": WeightGCNConfig,
    "nfn": NFNConfig,
    "nft": NFTConfig,
    "array_encoder": ArrayEncoderConfig,
    "neural_graph": NeuralGraphConfig,
    "relational": RelationalConfig,
}
"""Every reader's name and the record of its settings."""

WEIGHT_READERS = {
    "dws": DWS,
    "mlp": FlatMLP,
    "statistics": StatisticsMLP,
    "rows": RowTransformer,
    "scale_gmn": ScaleGMN,
    "weight_gcn": WeightGCN,
    "nfn": NFN,
    "nft": NFT,
    "array_encoder": ArrayEncoder,
}
"""Those that read weights alone; the others run the networks as well, or may."""

GRAPH_READERS = {"neural_graph": NeuralGraph, "relational": RelationalTransformer}
"""Those that run the networks where their setting `probes` is not 0."""

RUNNING_READERS = ("probe", "activation_probe", "probed_dws", "hybrid")
"""Those that always run the networks; `build` makes each in a way of its own."""

UNTRAINED = (Normaliser, FourierFeatures, Units)
"""Modules whose arrays no optimiser may touch."""


@runtime_checkable
class CardLike(Protocol):
    """What a reader needs of a data set's card."""

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


def config_of(name: str, settings: Mapping[str, Any] | str | None = None) -> Any:
    """The settings of a reader as its record, defaults filled in.

    Args:
        name: in `CONFIGS`.
        settings: some of them; or the name of a size in `SIZES`; or None.

    Raises:
        ValueError: an unknown reader, setting or size; the valid ones are listed.

    Example:
        >>> config_of("dws", {"channels": 8})
        DWSConfig(channels=8, layers=3, head=64, activation='gated', pooling='mean', maps='linear', heads=4)
        >>> config_of("probe", "small")
        ProbeConfig(probes=32, width=64, depth=2, generator=0)
    """
    check_choice("reader", name, tuple(CONFIGS))
    if isinstance(settings, str):
        settings = size_settings(name, settings)
    valid = tuple(CONFIGS[name].__dataclass_fields__)
    for setting in settings or {}:
        check_choice(f"setting of reader {name!r}", setting, valid)
    return CONFIGS[name](**(settings or {}))


def build(name: str, card: CardLike, config: Any = None, *, outputs: int | None = None, key: Key) -> Reader:
    """An untrained reader for the networks that a card describes.

    Args:
        name: in `CONFIGS`.
        card: the data set's card: Symmetry, statistics of its training split, classes, and for readers that run it
            the network.
        config: the reader's settings as its record or a mapping, or the name of a size; None takes the defaults.
        outputs: how many numbers the reader gives; None takes one for each of the card's classes.
        key: a typed key.

    Raises:
        ValueError: an unknown name or setting, a card without classes and no `outputs`, or a probing reader for
            networks whose card cannot run them. TypeError: the settings record of another reader.

    Example:
        >>> import jax
        >>> card, weights = networks.card, networks.network(0)   # a data set of digits
        >>> reader = build("dws", card, {"channels": 2}, key=jax.random.key(0))
        >>> jax.eval_shape(reader, weights).shape
        (10,)
        >>> jax.eval_shape(build("statistics", card, outputs=1, key=jax.random.key(0)), weights).shape
        (1,)
    """
    check_choice("reader", name, tuple(CONFIGS))
    settings = config_of(name, config) if config is None or isinstance(config, Mapping | str) else config
    if not isinstance(settings, CONFIGS[name]):
        raise TypeError(
            f"config is a {type(settings).__name__}; the reader {name!r} takes a {CONFIGS[name].__name__}, a mapping, "
            f"a size or None: pass models.config_of({name!r}, settings)"
        )
    if outputs is None and not card.classes:
        raise ValueError(
            "the card names no classes; expected one at least, as a reader gives one number a class: label the "
            "networks with whole numbers and name their classes; for targets that are no classes make the labels "
            "floats for wsjax.train, or say how many numbers the reader is to give: outputs=1"
        )
    outputs = len(card.classes) if outputs is None else outputs
    check_number("outputs", outputs, low=1, whole=True)
    if name in WEIGHT_READERS:
        own = normaliser(card.symmetry, card.statistics)
        return WEIGHT_READERS[name](card.symmetry, own, outputs, settings, key=key)
    if name in GRAPH_READERS:
        own = normaliser(card.symmetry, card.statistics)
        given = {"network": card.network, "coordinate_range": card.coordinate_range}
        return GRAPH_READERS[name](card.symmetry, own, outputs, settings, **given, key=key)
    if name not in RUNNING_READERS:
        raise ValueError(
            f"the reader {name!r} has settings in CONFIGS and no class in WEIGHT_READERS or GRAPH_READERS of "
            f"wsjax.models.build; expected one: enter WEIGHT_READERS[{name!r}], for a reader of weights alone"
        )
    if card.network is None:
        raise ValueError(
            f"the reader {name!r} runs the networks it reads, and this card names no network it can run; "
            f"use one of {listing((*WEIGHT_READERS, *GRAPH_READERS))}, or models.Probe with an apply of your own"
        )
    network, ranges = card.network, {"coordinate_range": card.coordinate_range, "value_range": card.value_range}
    if name == "probe":
        return Probe(network.apply, network.widths[0], network.widths[-1], outputs, settings, **ranges, key=key)
    if name == "activation_probe":
        return ActivationProbe(network, outputs, settings, **ranges, key=key)
    if name == "hybrid":
        return _hybrid(network, card, settings, outputs, ranges, key)
    return ProbedDWS(network, normaliser(card.symmetry, card.statistics), outputs, settings, **ranges, key=key)


def _hybrid(
    network: Network,
    card: CardLike,
    config: HybridConfig,
    outputs: int,
    ranges: Mapping[str, tuple[float, float]],
    key: Key,
) -> Hybrid:
    readers = {**WEIGHT_READERS, **GRAPH_READERS}
    check_choice("reader of weights in a hybrid", config.reader, tuple(readers))
    reader_key, own_key = jax.random.split(key)
    symmetry = symmetry_of_seen(network, config.seen)
    own = normaliser(symmetry, statistics_of_seen(symmetry, card.statistics))
    settings = config_of(config.reader, config.settings)
    reader = readers[config.reader](symmetry, own, outputs, settings, key=reader_key)
    return Hybrid(network, reader, config, **ranges, key=own_key)


def trainable(model: PyTree) -> PyTree:
    """A tree of bools: True for the arrays an optimiser may touch, False for those of `UNTRAINED` and for all else.

    Args:
        model: the reader, or any part of one.

    Example:
        >>> import jax.numpy as jnp
        >>> trainable(Normaliser((jnp.zeros(()),), (jnp.ones(()),)))
        Normaliser(shift=(False,), scale=(False,))
    """

    def mark(node: Any) -> Any:
        if isinstance(node, UNTRAINED):
            return jax.tree.map(lambda _: False, node)
        return eqx.is_inexact_array(node)

    return jax.tree.map(mark, model, is_leaf=lambda node: isinstance(node, UNTRAINED))


def parameter_count(model: PyTree) -> int:
    """How many numbers of a reader train.

    Args:
        model: the reader.

    Example:
        >>> parameter_count(eqx.nn.Linear(3, 2, key=jax.random.key(0)))
        8
    """
    return sum(leaf.size for leaf in jax.tree.leaves(eqx.filter(model, trainable(model))))
