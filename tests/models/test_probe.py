"""Probing readers: their learned inputs, what their features are invariant to, and what changes them.

And hybrids: a reader of weights and of probe features keeps its laws, and depends on both."""

import functools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from tests.models.helpers import check_laws, drawn, metadata
from tests.models.readers import READERS
from tests.models.specs import random_weights
from wsjax.models import GridProbe, Probe, make
from wsjax.models.layers.generator import LinearGenerator, activations
from wsjax.models.readers.activation_probe import NeuronSet
from wsjax.models.readers.hybrid import symmetry_with_probe_features
from wsjax.models.readers.image_probe import ImageGenerator, ImageProbe
from wsjax.models.testing import check_sensitive
from wsjax.models.testing.invariance import trials
from wsjax.models.testing.parts import features_of
from wsjax.networks import CNN, Network
from wsjax.networks.grid import grid
from wsjax.symmetry import Group, Symmetry, act
from wsjax.symmetry.group import ACTIONS, Action

pytestmark = pytest.mark.usefixtures("untyped")

WIDTHS = (2, 4, 4, 3)
"""Hidden layers of one width, so that a mistaken layer has the right shape."""

NETWORKS = {
    "siren": Network("siren", WIDTHS, w0=(3.0, 2.0), offset=0.5),
    "kernel siren": Network("siren", WIDTHS, w0=(3.0, 2.0), w0_convention="kernel"),
    **{name: Network("mlp", WIDTHS, activation=name) for name in ("tanh", "relu", "leaky_relu", "linear", "gelu")},
}


KEY = jax.random.key(3)


@functools.cache
def reader_of(kind: str, name: str) -> Any:
    """A toy reader of `tests.models.readers` for one of the networks."""
    reader, settings = READERS[kind]
    return drawn(lambda key: make(reader, metadata(network=NETWORKS[name]), settings, key=key))


def allowed(symmetry: Symmetry) -> tuple[Action, ...]:
    """All that may act on some group."""
    return tuple(action for action in ACTIONS if any(group.allows(action) for group in symmetry.groups.values()))


def change(found: Any, expected: Any) -> float:
    return float(np.abs(np.asarray(found) - expected).max() / np.abs(expected).max())


def test_a_probe_is_its_formula_with_points_and_layers_drawn_from_its_keys():
    """Values are mapped from their range, 2 to -1 and 6 to 1."""
    network = NETWORKS["siren"]

    @jax.jit
    def both(key, weights):
        reader = Probe(network, 4, probes=6, width=8, value_range=(2.0, 6.0), key=key)
        points_key, head_key = jax.random.split(key)
        points = jax.random.uniform(points_key, (6, 2), minval=-1.0, maxval=1.0)
        sizes = [(18, 8), (8, 8), (8, 4)]
        layers = [eqx.nn.Linear(a, b, key=jax.random.fold_in(head_key, i)) for i, (a, b) in enumerate(sizes)]
        x = vector = network.apply(weights, points).reshape(-1) / 2 - 2
        for layer in layers[:-1]:
            x = jax.nn.relu(layer(x))
        return (reader.probes.points(), reader.features(weights), reader(weights)), (points, vector, layers[-1](x))

    for found, expected in zip(*both(KEY, random_weights(KEY, network.symmetry)), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("inputs", [1, 2, 3])
def test_a_grid_probe_convolves_the_values_on_the_grid(inputs):
    network = Network("siren", (inputs, 4, 2), w0=(3.0,))
    reader = drawn(lambda key: GridProbe(network, 3, side=5, channels=4, layers=1, value_range=(-2.0, 6.0), key=key))
    weights = random_weights(KEY, network.symmetry)

    @jax.jit
    def expected(weights):
        x = (network.apply(weights, grid((5,) * inputs)) - 2.0) / 4.0
        x = jnp.moveaxis(x.reshape(*[5] * inputs, 2), -1, 0)
        # The last axis is put in windows last, so that it varies slowest in a row of the matrix.
        kernel = reader.convolutions[0].weight.reshape(4, *[3] * inputs, 2)
        kernel = jnp.transpose(kernel, (0, inputs + 1, *range(inputs, 0, -1)))
        x = jax.lax.conv_general_dilated(x[None], kernel, (2,) * inputs, [(1, 1)] * inputs)[0]
        bias = reader.convolutions[0].bias.reshape(-1, *[1] * inputs)
        return jnp.moveaxis(jax.nn.relu(x + bias), 0, -1).reshape(-1)

    np.testing.assert_allclose(eqx.filter_jit(reader.features)(weights), expected(weights), atol=1e-5)


def test_a_generator_of_any_depth_is_initialized_at_the_same_inputs():
    within = (1.0, 4.0)

    @jax.jit
    def made(key):
        pairs = [(depth, inputs) for depth, inputs in ((1, 2), (3, 2), (2, 40))]
        both = lambda inputs, depth: [LinearGenerator(inputs, 50, d, within, key=key) for d in (0, depth)]
        return [(free(), deep(), deep.latents) for free, deep in (both(n, depth) for depth, n in pairs)]

    for free, deep, latents in jax.tree.map(np.asarray, made(KEY)):
        assert (free.min() >= 1, free.max() <= 4) == (True, True)
        np.testing.assert_allclose(deep, free, atol=2e-5)
        assert 0.5 < latents.std() < 1.5
    assert len(jax.eval_shape(lambda: LinearGenerator(2, 50, 3, within, key=KEY)).layers) == 3


def test_a_generator_learns_what_its_inputs_share():
    """A wish of one input moves the others too, which free coordinates never do."""
    wish = lambda generator: generator()[0, 0]
    moved = lambda made: jax.jvp(lambda g: g(), (made,), (jax.grad(wish)(made),))[1]
    both = jax.jit(lambda key: [moved(LinearGenerator(2, 5, depth, (-1.0, 1.0), key=key)) for depth in (0, 2)])
    free, shared = map(np.asarray, both(KEY))
    assert np.abs(free[1:]).max() == 0
    assert np.abs(shared[1:, 0]).min() > 0


@pytest.mark.parametrize("name", NETWORKS)
def test_hidden_activations_move_with_the_neurons_and_values_stay(name):
    network = NETWORKS[name]
    x = np.random.default_rng(0).uniform(-1, 1, (7, 2)).astype(np.float32)
    *_, (_, element) = trials(network.symmetry, allowed(network.symmetry), 1, KEY)

    @jax.jit
    def both(weights):
        return (
            network.apply(weights, x),
            activations(network, weights, x),
            activations(network, act(element, weights), x),
        )

    plain, (hidden, values), (moved, still) = both(random_weights(KEY, network.symmetry))
    np.testing.assert_allclose(values, plain, atol=1e-5)
    np.testing.assert_allclose(still, values, atol=2e-4)
    for move, before, after in zip(element.moves.values(), hidden, moved, strict=True):
        gain, turns = (np.asarray(empty if part is None else part) for part, empty in ((move.gain, 1), (move.phase, 0)))
        np.testing.assert_allclose(
            after, np.asarray(before)[:, np.asarray(move.permutation)] * gain * (1 - 2 * (turns % 2)), atol=2e-4
        )


@pytest.mark.parametrize("name", NETWORKS)
def test_an_activation_probe_is_invariant_to_the_whole_group_and_to_nothing_else(name):
    symmetry = NETWORKS[name].symmetry
    features = Partial(features_of, reader_of("activation_probe", name))
    check_laws(features, symmetry, allowed(symmetry), sensitive=False, key=KEY)
    assert check_sensitive(features, symmetry, key=KEY) > 1e-3


def test_hidden_activations_alone_show_neurons_that_the_function_does_not():
    """Of a neuron without outgoing weights the values show nothing."""
    first, second, last = jax.tree.map(np.array, random_weights(KEY, NETWORKS["tanh"].symmetry))
    second.kernel[0] = 0
    other = first._replace(kernel=first.kernel * np.array([0.2, 1, 1, 1], np.float32))
    for kind, shown in {"generated probe": False, "activation_probe": True}.items():
        features = eqx.filter_jit(reader_of(kind, "tanh").features)
        moved = change(features((other, second, last)), features((first, second, last)))
        assert (moved > 1e-3) is shown, kind


@pytest.mark.parametrize(
    ("activation", "sign", "scale"), [("sine", True, False), ("tanh", True, False), ("relu", False, True)]
)
def test_a_set_of_neurons_is_invariant_to_what_acts_and_to_nothing_more(activation, sign, scale):
    neurons = eqx.filter_jit(drawn(lambda key: NeuronSet(Group(3, activation), 6, 16, key=key)))
    a = np.random.default_rng(0).normal(size=(3, 6)).astype(np.float32)
    still, turned, mixed = neurons(a), a.copy(), a.copy()
    turned[0, 0] *= -1
    mixed[:, 0] = a[::-1, 0]
    flipped, scaled = (a * np.array(factors, np.float32)[:, None] for factors in ((-1, 1, -1), (0.2, 1, 3)))
    assert (change(neurons(flipped), still) < 1e-5) is sign
    assert (change(neurons(scaled), still) < 1e-5) is scale
    assert change(neurons(a[::-1]), still) < 1e-5
    assert change(neurons(turned), still) > 1e-3  # absolute values would not change
    assert change(neurons(mixed), still) > 1e-3


def test_neurons_that_are_dead_at_every_probe_give_finite_outputs_and_gradients():
    reader = reader_of("activation_probe", "relu")
    first, second, last = random_weights(KEY, NETWORKS["relu"].symmetry)
    dead = (first._replace(bias=np.full(4, -50, np.float32)), second, last)
    found = jax.jit(jax.value_and_grad(lambda w: reader(w).sum()))(dead)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(found))


def test_learned_inputs_are_initialized_over_the_range_of_the_metadata():
    described = metadata(network=NETWORKS["siren"])._replace(coordinate_range=(2.0, 3.0))
    settings: dict[str, Any] = {"probe": {"generator": 1}, "activation_probe": {}, "hybrid": {"reader": "statistics"}}
    made: Any = lambda key: [make(name, described, {"probes": 20, **own}, key=key) for name, own in settings.items()]
    for x in map(np.asarray, jax.jit(lambda key: [reader.probes.points() for reader in made(key)])(KEY)):
        assert (x.min() > 1.999, x.max() < 3.001, x.std() > 0.2) == (True, True, True)


@pytest.mark.parametrize(("shape", "depth"), [((8, 8, 1), 3), ((7, 5, 2), 1), ((3, 9, 1), 2)])
def test_learned_images_have_the_shape_and_range_of_the_networks_and_differ(shape, depth):
    made = np.asarray(jax.jit(lambda key: ImageGenerator(shape, 32, depth, 8, (2.0, 4.0), key=key)())(KEY))
    assert made.shape == (32, *shape)
    assert (made.min() > 2, made.max() < 4) == (True, True)
    spread = made.std(axis=0)
    assert (spread.min() > 0.02, spread.mean() > 0.2) == (True, True)
    assert abs(made.mean() - 3) < 0.25


def test_an_image_probe_is_invariant_to_the_whole_group_of_a_cnn_and_trains_whole():
    network = CNN((6, 5, 1), (4, 4), 3)
    reader = drawn(lambda key: ImageProbe(network, 2, probes=5, width=8, generator=2, channels=4, key=key))
    check_laws(reader, network.symmetry, allowed(network.symmetry), fraction=0, key=KEY)


INSIDE: dict[str, dict[str, Any]] = {
    "dws": {"channels": 2, "layers": 2},
    "nfn": {"channels": 2, "layers": 2, "frequencies": 2},
    "nft": {"width": 4, "heads": 2, "layers": 1, "frequencies": 2},
    "scale_gmn": {"channels": 3, "layers": 2},
}
SIREN, RELU = NETWORKS["siren"], NETWORKS["relu"]


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
