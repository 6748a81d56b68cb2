"""Probing readers and baselines at toy sizes, made for a card's networks."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from tests.models.cards import StubCard
from wsjax.models import FlatConfig, FlatMLP, Probe, ProbeConfig, normaliser
from wsjax.models.activation_probe import ActivationProbe, ActivationProbeConfig
from wsjax.models.probed_dws import ProbedDWS, ProbedDWSConfig
from wsjax.models.rows import RowConfig, RowTransformer
from wsjax.models.statistics_mlp import StatisticsConfig, StatisticsMLP
from wsjax.networks import Network


def network_of(card: StubCard) -> Network:
    assert card.network is not None
    return card.network


def probe(card: StubCard, config: ProbeConfig, key: jax.Array) -> Probe:
    network = network_of(card)
    return Probe(network.apply, network.widths[0], network.widths[-1], len(card.classes), config, key=key)


def activation_probe(card: StubCard, config: ActivationProbeConfig, key: jax.Array) -> ActivationProbe:
    return ActivationProbe(network_of(card), len(card.classes), config, key=key)


def probed_dws(card: StubCard, config: ProbedDWSConfig, key: jax.Array) -> ProbedDWS:
    return ProbedDWS(network_of(card), normaliser(card.symmetry, card.statistics), len(card.classes), config, key=key)


def on_weights(reader: Callable[..., Any]) -> Callable[..., Any]:
    def make(card: StubCard, config: Any, key: jax.Array) -> Any:
        return reader(card.symmetry, normaliser(card.symmetry, card.statistics), len(card.classes), config, key=key)

    return make


class Maker(NamedTuple):
    """How to make a reader, and its settings at a toy size."""

    make: Callable[[StubCard, Any, jax.Array], Any]
    config: Any

    def __call__(self, card: StubCard, key: jax.Array) -> Any:
        return self.make(card, self.config, key)


READERS = {
    "probe": Maker(probe, ProbeConfig(probes=6, width=8)),
    "generated probe": Maker(probe, ProbeConfig(probes=6, width=8, generator=2)),
    "activation probe": Maker(activation_probe, ActivationProbeConfig(probes=6, neuron=5, width=8, generator=1)),
    "probed dws": Maker(probed_dws, ProbedDWSConfig(channels=3, layers=2, probes=6, head=8)),
    "mlp": Maker(on_weights(FlatMLP), FlatConfig(width=8)),
    "canonical mlp": Maker(on_weights(FlatMLP), FlatConfig(width=8, canonical=True)),
    "statistics": Maker(on_weights(StatisticsMLP), StatisticsConfig(width=8)),
    "rows": Maker(on_weights(RowTransformer), RowConfig(width=8, layers=2, heads=2, head=8)),
    "rows with a token": Maker(on_weights(RowTransformer), RowConfig(width=8, layers=1, heads=2, head=8, pool="token")),
}
