"""Hybrids: any reader of weights that is also told what the neurons give keeps its laws, and uses what it is told."""

import functools
from typing import Any, cast

import equinox as eqx
import jax
import numpy as np
import pytest

from tests.models.cards import card
from tests.models.drawn import drawn
from tests.models.refusals import check_refusals
from tests.models.specs import random_weights
from wsjax.models import Hybrid, build, symmetry_of_seen
from wsjax.models.activations import activations
from wsjax.models.testing import check_invariant
from wsjax.models.testing.invariance import trials
from wsjax.networks import Network
from wsjax.symmetry import act

pytestmark = pytest.mark.usefixtures("untyped")

INSIDE: dict[str, dict[str, Any]] = {
    "dws": {"channels": 2, "layers": 2},
    "nfn": {"channels": 2, "layers": 2, "bands": 2},
    "nft": {"width": 4, "heads": 2, "layers": 1, "bands": 2},
    "scale_gmn": {"channels": 3, "layers": 2},
}
SIREN = Network("siren", (2, 4, 4, 3), w0=(3.0, 2.0), offset=0.5)
RELU = Network("mlp", (2, 4, 4, 3), activation="relu")


KEY = jax.random.key(3)


def hybrid(name: str, network: Network = SIREN) -> Any:
    config = {"reader": name, "settings": INSIDE[name], "probes": 6, "seen": 3}
    return drawn(lambda key: build("hybrid", card(network=network), config, key=key))


@pytest.mark.parametrize(("network", "actions"), [(SIREN, ("permute", "sign")), (RELU, ("permute", "rescale"))])
def test_signs_and_scales_that_the_reader_is_invariant_to_change_nothing(network: Network, actions):
    check_invariant(hybrid("scale_gmn", network), network.symmetry, actions=actions, key=KEY)


@pytest.mark.parametrize("name", ["dws", "nfn", "nft"])  # test_readers.py holds one to every law
def test_any_reader_of_weights_will_do(name: str):
    reader = hybrid(name)
    assert check_invariant(reader, SIREN.symmetry, key=KEY) < 1e-10
    assert jax.eval_shape(reader, random_weights(KEY, SIREN.symmetry)).shape == (4,)


@pytest.mark.parametrize(("network", "actions"), [(SIREN, ("permute", "sign")), (RELU, ("permute", "rescale"))])
def test_what_is_added_moves_as_the_symmetry_of_what_is_seen_says(network: Network, actions):
    """The activations of moved weights are the moved activations, for signs, scales and orders."""
    spec, inputs = symmetry_of_seen(network, 3), np.linspace(-1, 1, 6, dtype=np.float32).reshape(3, 2)
    *_, (_, element) = trials(spec, actions, 1, KEY)

    @jax.jit
    def seen(weights):
        hidden, values = activations(network, weights, inputs)
        moved = act(
            element, jax.tree.unflatten(spec.treedef, [*jax.tree.leaves(weights), *(h.T for h in hidden), values.T])
        )
        found, still = activations(network, moved.weights, inputs)
        return [x.T for x in (*found, still)], [*moved.neurons, moved.values], hidden[0].T

    found, expected, before = seen(random_weights(KEY, network.symmetry))
    for given, moved in zip(found, expected, strict=True):
        np.testing.assert_allclose(given, moved, atol=1e-4)
    assert np.abs(found[0] - before).max() > 1e-2


@pytest.mark.parametrize("name", ["nfn", "scale_gmn"])
def test_what_every_layer_gives_is_read(name: str):
    reader, weights = hybrid(name), random_weights(KEY, SIREN.symmetry)
    features = eqx.filter_jit(lambda reader: reader.features(weights))
    still = np.asarray(features(reader))
    for i, kernel in enumerate(reader.entries):
        without = jax.device_put(np.zeros(kernel.shape, kernel.dtype))
        changed = features(eqx.tree_at(lambda r, i=i: r.entries[i], reader, without))
        assert np.abs(changed - still).max() / np.abs(still).max() > 1e-3


def test_inputs_start_over_the_range_of_the_card():
    described, config = card(network=SIREN)._replace(coordinate_range=(2.0, 3.0)), {"reader": "statistics"}
    made = lambda key: build("hybrid", described, config, key=key)
    points = jax.jit(lambda key: cast(Hybrid, made(key)).points())(KEY)
    assert points.min() > 2
    assert points.max() < 3


def test_what_no_hybrid_can_read_is_refused(untyped):
    make = functools.partial(build, "hybrid", card(), key=KEY)
    of_card = lambda **parts: build("hybrid", card()._replace(**parts), key=KEY)
    nfn = {"reader": "nfn", "settings": {"width": 3}}
    check_refusals(
        (
            make,
            {"config": {"reader": "probe"}},
            r"unknown reader of weights in a hybrid 'probe'; .*dws, mlp.*relati",
        ),
        (make, {"config": nfn}, r"unknown setting of reader 'nfn' 'width'"),
        (make, {"config": {"seen": 0}}, r"seen is 0; it must be one whole number in \[1, inf\]"),
        (of_card, {"network": None}, r"'hybrid' runs the networks it reads, and this card names no"),
        (of_card, {"statistics": {}}, r"no statistics for weights\.weights\[0\]\.kernel"),
    )
    wide = random_weights(KEY, Network("siren", (2, 4, 5, 3)).symmetry)
    with pytest.raises(ValueError, match=r"weights\[1\]\.kernel has shape \(4, 5\)"):
        hybrid("nfn")(wide)
