"""Hybrids: a reader of weights and of probe features keeps its laws, and depends on both."""

from typing import Any

import equinox as eqx
import jax
import numpy as np
import pytest

from tests.models.helpers import check_laws, drawn, metadata
from tests.models.specs import random_weights
from wsjax.models import make
from wsjax.models.layers.generator import activations
from wsjax.models.readers.hybrid import symmetry_with_probe_features
from wsjax.models.testing.invariance import trials
from wsjax.networks import Network
from wsjax.symmetry import act

pytestmark = pytest.mark.usefixtures("untyped")

INSIDE: dict[str, dict[str, Any]] = {
    "dws": {"channels": 2, "layers": 2},
    "nfn": {"channels": 2, "layers": 2, "frequencies": 2},
    "nft": {"width": 4, "heads": 2, "layers": 1, "frequencies": 2},
    "scale_gmn": {"channels": 3, "layers": 2},
}
SIREN = Network("siren", (2, 4, 4, 3), w0=(3.0, 2.0), offset=0.5)
RELU = Network("mlp", (2, 4, 4, 3), activation="relu")
KEY = jax.random.key(3)


def hybrid(name: str, network: Network = SIREN) -> Any:
    config = {"reader": name, "settings": INSIDE[name], "probes": 6, "probe_features": 3}
    return drawn(lambda key: make("hybrid", metadata(network=network), config, key=key))


@pytest.mark.parametrize(
    ("name", "network", "actions"),
    [("scale_gmn", SIREN, ("permute", "sign")), ("scale_gmn", RELU, ("permute", "rescale"))]
    + [(name, SIREN, ("permute",)) for name in ("dws", "nfn", "nft")],  # test_readers.py holds one to every law
)
def test_any_reader_of_weights_will_do_and_what_it_is_invariant_to_changes_nothing(name: str, network, actions):
    check_laws(hybrid(name, network), network.symmetry, actions, sensitive=False, key=KEY)


@pytest.mark.parametrize(("network", "actions"), [(SIREN, ("permute", "sign")), (RELU, ("permute", "rescale"))])
def test_probe_features_move_as_their_symmetry_says(network: Network, actions):
    """The activations of moved weights are the moved activations, for signs, scales and orders."""
    spec, inputs = symmetry_with_probe_features(network, 3), np.linspace(-1, 1, 6, dtype=np.float32).reshape(3, 2)
    *_, (_, element) = trials(spec, actions, 1, KEY)

    @jax.jit
    def moved_and_found(weights):
        hidden, values = activations(network, weights, inputs)
        moved = act(
            element, jax.tree.unflatten(spec.treedef, [*jax.tree.leaves(weights), *(h.T for h in hidden), values.T])
        )
        found, still = activations(network, moved.weights, inputs)
        return [x.T for x in (*found, still)], [*moved.neurons, moved.values], hidden[0].T

    found, expected, before = moved_and_found(random_weights(KEY, network.symmetry))
    for given, moved in zip(found, expected, strict=True):
        np.testing.assert_allclose(given, moved, atol=1e-4)
    assert np.abs(found[0] - before).max() > 1e-2


@pytest.mark.parametrize("name", ["nfn", "scale_gmn"])
def test_the_output_depends_on_probe_features_of_every_layer(name: str):
    reader, weights = hybrid(name), random_weights(KEY, SIREN.symmetry)
    features = eqx.filter_jit(lambda reader: reader.features(weights))
    still = np.asarray(features(reader))
    for i, kernel in enumerate(reader.entries):
        without = jax.device_put(np.zeros(kernel.shape, kernel.dtype))
        changed = features(eqx.tree_at(lambda r, i=i: r.entries[i], reader, without))
        assert np.abs(changed - still).max() / np.abs(still).max() > 1e-3


def test_weights_of_another_architecture_are_refused_by_their_own_names():
    wide = random_weights(KEY, Network("siren", (2, 4, 5, 3)).symmetry)
    with pytest.raises(ValueError, match=r"weights\[1\]\.kernel has shape \(4, 5\)"):
        hybrid("nfn")(wide)
