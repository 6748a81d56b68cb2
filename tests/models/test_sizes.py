"""Sizes by name are valid and in order; and the laws at the sizes of networks that people train: SIRENs, CNNs."""

import jax
import pytest

from tests.models.helpers import drawn, metadata
from wsjax.models import READERS, make, parameter_count
from wsjax.models.registry import SIZES, settings_of
from wsjax.models.testing import check_deterministic, check_gradients, check_invariant, check_sensitive
from wsjax.networks import CNN

pytestmark = pytest.mark.usefixtures("untyped")


@pytest.mark.parametrize("name", list(READERS))
def test_small_is_smaller_than_base(name: str):
    count = {}

    def build_both(key):
        for size in ("small", "base"):
            count[size] = parameter_count(make(name, metadata((2, 4, 3)), size, key=key))

    jax.eval_shape(build_both, jax.random.key(0))
    assert 0 < count["small"] < count["base"] < 5_000_000


def test_every_reader_has_sizes_and_the_settings_of_each_are_valid():
    assert set(SIZES) == set(READERS)
    for name, sizes in SIZES.items():
        assert {"small", "base"} <= set(sizes) <= {"small", "base", "published"}
        for size, settings in sizes.items():
            assert settings_of(name, size) == settings_of(name, settings)


KEY = jax.random.key(1)
GRAPH = {"width": 4, "edges": 3, "layers": 4, "head": 16}
TINY = {
    "dws": {"channels": 2, "layers": 1, "head": 16},
    "probe": {"probes": 3, "width": 16},
    "activation_probe": {"probes": 3, "neuron": 2, "width": 16},
    "hybrid": {"reader": "dws", "settings": {"channels": 2, "layers": 1, "head": 16}, "probes": 3, "probe_features": 2},
    "statistics": {"width": 4},
    "scale_gmn": {"channels": 4, "layers": 4, "head": 16},
    "weight_gcn": {"channels": 4, "head": 16},
    "nfn": {"channels": 2, "layers": 1, "head": 16},
    "nft": {"width": 4, "layers": 1, "head": 16},
    "array_encoder": {"width": 4, "layers": 1, "head": 16, "latents": 2},
    "neural_graph": GRAPH,
    "relational": {**GRAPH, "frequencies": 2, "attention": 4, "heads": 2, "hidden": 4, "edge_hidden": 4},
}
"""Every reader that is invariant to the order of neurons, with as few channels as it works with."""
RUN = ("probe", "activation_probe", "hybrid")
"""Those that run a network, which a CNN's metadata of images is another thing for."""
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
        described = metadata(widths)
        reader = make(name, described, TINY[name], key=jax.random.key(2))
        is_lawful(reader, described.symmetry, sensitive=name != "statistics")  # which couples no arrays


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in TINY if name not in RUN])
def test_cnns(name):
    network = CNN((8, 8, 1), (4, 6), 3)
    statistics = {name: {"mean": 0.1, "std": 0.5, "rms": 0.6} for name in network.symmetry.names}
    described = metadata()._replace(symmetry=network.symmetry, network=None, statistics=statistics)
    reader = drawn(lambda key, d=described: make(name, d, TINY[name], key=key))
    is_lawful(reader, network.symmetry, sensitive=name != "statistics")
    if name not in SLOW:
        assert check_gradients(reader, network.symmetry, fraction=0, draws=4, key=KEY) > 0
