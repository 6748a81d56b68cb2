"""Hybrids: any reader of weights that is also told what the neurons give keeps its laws, and uses what it is told."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.models.cards import card
from wsjax.models import build, symmetry_of_seen
from wsjax.models.activations import activations
from wsjax.models.testing import check_invariant, check_reader, random_weights
from wsjax.networks import Network
from wsjax.symmetry import act, sample

INSIDE: dict[str, dict[str, Any]] = {
    "dws": {"channels": 2, "layers": 2},
    "nfn": {"channels": 2, "layers": 2, "bands": 2},
    "nft": {"width": 4, "heads": 2, "layers": 1, "bands": 2},
    "scale_gmn": {"channels": 3, "layers": 2},
}
SIREN = Network("siren", (2, 4, 4, 3), w0=(3.0, 2.0), offset=0.5)
RELU = Network("mlp", (2, 4, 4, 3), activation="relu")


def hybrid(name: str, key: jax.Array, network: Network = SIREN, **described: Any) -> Any:
    config = {"reader": name, "settings": INSIDE[name], "probes": 6, "seen": 3}
    return build("hybrid", card(network=network)._replace(**described), config, key=key)


def test_a_hybrid_is_as_invariant_sensitive_and_trainable_as_its_reader(getkey):
    check_reader(hybrid("nfn", getkey()), SIREN.symmetry, key=getkey())


@pytest.mark.parametrize(("network", "actions"), [(SIREN, ("permute", "sign")), (RELU, ("permute", "rescale"))])
def test_signs_and_scales_that_the_reader_does_not_see_stay_unseen(network: Network, actions, getkey):
    check_invariant(hybrid("scale_gmn", getkey(), network), network.symmetry, actions=actions, key=getkey())


@pytest.mark.parametrize("name", ["dws", "nft"])
def test_any_reader_of_weights_will_do(name: str, getkey):
    reader = hybrid(name, getkey())
    assert check_invariant(reader, SIREN.symmetry, draws=1, key=getkey()) < 1e-10
    assert jax.eval_shape(reader, random_weights(getkey(), SIREN.symmetry)).shape == (4,)


def test_what_is_added_moves_as_the_symmetry_of_what_is_seen_says(getkey):
    """The activations of moved weights are the moved activations, for signs, scales and orders."""
    for network in (SIREN, RELU):
        spec = symmetry_of_seen(network, 3)
        made = lambda weights, network=network: activations(network, weights, jnp.linspace(-1, 1, 6).reshape(3, 2))
        weights = random_weights(getkey(), network.symmetry)
        hidden, values = made(weights)
        joined = jax.tree.unflatten(spec.treedef, [*jax.tree.leaves(weights), *(h.T for h in hidden), values.T])
        moved = act(sample(getkey(), spec), joined)
        found, still = made(moved.weights)
        for given, expected in zip((*found, still), (*moved.neurons, moved.values), strict=True):
            np.testing.assert_allclose(given.T, expected, atol=1e-5)
        assert float(jnp.abs(found[0] - hidden[0]).max()) > 1e-2


@pytest.mark.parametrize("name", ["nfn", "scale_gmn"])
def test_what_every_layer_gives_is_read(name: str, getkey):
    reader, weights = hybrid(name, getkey()), random_weights(getkey(), SIREN.symmetry)
    features = eqx.filter_jit(lambda reader: reader.features(weights))
    still = features(reader)
    for i, kernel in enumerate(reader.entries):
        changed = features(eqx.tree_at(lambda r, i=i: r.entries[i], reader, 0 * kernel))
        assert float(jnp.abs(changed - still).max() / jnp.abs(still).max()) > 1e-3


def test_inputs_start_over_the_range_of_the_card(getkey):
    points = hybrid("nfn", getkey(), coordinate_range=(2.0, 3.0)).points()
    assert float(points.min()) > 2
    assert float(points.max()) < 3


def test_what_no_hybrid_can_read_is_refused(untyped, getkey):
    with pytest.raises(ValueError, match=r"unknown reader of weights in a hybrid 'probe'; .*dws, mlp.*relational"):
        build("hybrid", card(), {"reader": "probe"}, key=getkey())
    with pytest.raises(ValueError, match=r"unknown setting of reader 'nfn' 'width'"):
        build("hybrid", card(), {"reader": "nfn", "settings": {"width": 3}}, key=getkey())
    with pytest.raises(ValueError, match=r"the reader 'hybrid' runs the networks it reads, and this card names no"):
        build("hybrid", card()._replace(network=None), key=getkey())
    lacking = card()._replace(statistics={})
    with pytest.raises(ValueError, match=r"no statistics for weights\.weights\[0\]\.kernel"):
        build("hybrid", lacking, key=getkey())
    with pytest.raises(ValueError, match=r"seen is 0; it must be one whole number in \[1, inf\]"):
        build("hybrid", card(), {"seen": 0}, key=getkey())
    wide = random_weights(getkey(), Network("siren", (2, 4, 5, 3)).symmetry)
    with pytest.raises(ValueError, match=r"weights\[1\]\.kernel has shape \(4, 5\)"):
        hybrid("nfn", getkey())(wide)
