"""The laws at the sizes of networks that people train: SIRENs of images, colour and space, one hidden layer; CNNs."""

import jax
import pytest

from tests.models.cards import card
from tests.models.drawn import drawn
from wsjax.models import build
from wsjax.models.testing import check_deterministic, check_gradients, check_invariant, check_sensitive
from wsjax.networks import CNN

pytestmark = pytest.mark.usefixtures("untyped")

KEY = jax.random.key(1)
GRAPH = {"width": 4, "edges": 3, "layers": 4, "head": 16}
TINY = {
    "dws": {"channels": 2, "layers": 1, "head": 16},
    "probe": {"probes": 3, "width": 16},
    "activation_probe": {"probes": 3, "neuron": 2, "width": 16},
    "probed_dws": {"channels": 2, "layers": 1, "probes": 3, "head": 16},
    "hybrid": {"reader": "dws", "settings": {"channels": 2, "layers": 1, "head": 16}, "probes": 3, "seen": 2},
    "statistics": {"width": 4},
    "scale_gmn": {"channels": 4, "layers": 4, "head": 16},
    "weight_gcn": {"channels": 4, "head": 16},
    "nfn": {"channels": 2, "layers": 1, "head": 16},
    "nft": {"width": 4, "layers": 1, "head": 16},
    "array_encoder": {"width": 4, "layers": 1, "head": 16, "latents": 2},
    "neural_graph": GRAPH,
    "relational": {**GRAPH, "waves": 2, "attention": 4, "heads": 2, "hidden": 4, "edge_hidden": 4},
}
"""Every reader that is invariant to the order of neurons, with as few channels as it works with."""
RUN = ("probe", "activation_probe", "probed_dws", "hybrid")
"""Those that run a network, which a CNN's card of pictures is another thing for."""
WIDTHS = ((3, 64, 64, 64, 1), (2, 32, 32, 3), (2, 32, 1))
SLOW = ("relational", "neural_graph", "scale_gmn", "array_encoder")
"""Those that take many seconds to compile meet the first widths alone, and CNNs without gradients."""


def is_lawful(reader, symmetry, *, sensitive=True):
    assert check_invariant(reader, symmetry, draws=1, key=KEY) < 1e-10
    assert check_deterministic(reader, symmetry, key=KEY) < 1e-10
    if sensitive:
        assert check_sensitive(reader, symmetry, draws=1, key=KEY) > 1e-8


@pytest.mark.slow
@pytest.mark.parametrize("name", list(TINY))
def test_sirens(name):
    for widths in WIDTHS[:1] if name in SLOW else WIDTHS:
        described = card(widths)
        reader = build(name, described, TINY[name], key=jax.random.key(2))
        is_lawful(reader, described.symmetry, sensitive=name != "statistics")  # which couples no arrays


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in TINY if name not in RUN])
def test_cnns(name):
    network = CNN((8, 8, 1), (4, 6), 3)
    statistics = {name: {"mean": 0.1, "std": 0.5, "rms": 0.6} for name in network.symmetry.names}
    described = card()._replace(symmetry=network.symmetry, network=None, statistics=statistics)
    reader = drawn(lambda key, d=described: build(name, d, TINY[name], key=key))
    is_lawful(reader, network.symmetry, sensitive=name != "statistics")
    if name not in SLOW:
        assert check_gradients(reader, network.symmetry, share=0, draws=4, key=KEY) > 0
