"""Probing readers: where they look, what no symmetry can change, and what they feel."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.models.cards import StubCard, card
from tests.models.makers import READERS, network_of
from wsjax.models import Probe, ProbeConfig
from wsjax.models.activation_probe import ActivationProbe, ActivationProbeConfig, NeuronSet
from wsjax.models.activations import activations, nodes
from wsjax.models.generator import LinearGenerator
from wsjax.models.picture_probe import PictureGenerator, PictureProbe, PictureProbeConfig
from wsjax.models.probed_dws import ProbedDWSConfig
from wsjax.networks import CNN, Network
from wsjax.symmetry import Axes, Fixed, Group, act, sample, sample_permutation, sample_signs, symmetry_of

WIDTHS = (2, 4, 4, 3)
"""Hidden layers of one width, so that a mistaken layer has the right shape."""

NETWORKS = {
    "siren": Network("siren", WIDTHS, w0=(3.0, 2.0), offset=0.5),
    "kernel siren": Network("siren", WIDTHS, w0=(3.0, 2.0), w0_convention="kernel"),
    **{name: Network("mlp", WIDTHS, activation=name) for name in ("tanh", "relu", "leaky_relu", "linear", "gelu")},
}


def weights_of(network: Network, key: jax.Array):
    shapes = network.symmetry.shapes
    drawn = [0.7 * jax.random.normal(jax.random.fold_in(key, i), shape) for i, shape in enumerate(shapes)]
    return network.symmetry.unflatten(drawn)


def card_of(network: Network) -> StubCard:
    statistics = {name: {"mean": 0.1, "std": 0.5, "rms": 0.6} for name in network.symmetry.names}
    return StubCard(network.symmetry, network, tuple("abcd"), statistics)


def change(found: jax.Array, expected: jax.Array) -> float:
    return float(jnp.abs(found - expected).max() / jnp.abs(expected).max())


def test_free_coordinates_and_their_dense_layers_start_from_the_keys_that_they_always_had(getkey):
    key, network = getkey(), network_of(card())
    reader = READERS["probe"](card(), key)
    points_key, head_key = jax.random.split(key)
    points = jax.random.uniform(points_key, (6, 2), minval=-1.0, maxval=1.0)
    np.testing.assert_array_equal(reader.points(), points)
    sizes = [(18, 8), (8, 8), (8, 4)]
    layers = [eqx.nn.Linear(a, b, key=jax.random.fold_in(head_key, i)) for i, (a, b) in enumerate(sizes)]
    weights = network.init(getkey())
    x = (network.apply(weights, points).reshape(-1) - 0.5) * 2
    np.testing.assert_array_equal(reader.features(weights), x)
    for layer in layers[:-1]:
        x = jax.nn.relu(layer(x))
    np.testing.assert_array_equal(reader(weights), layers[-1](x))


@pytest.mark.parametrize(("depth", "inputs"), [(1, 2), (3, 2), (2, 40)])
def test_a_generator_of_any_depth_starts_at_the_same_inputs(depth, inputs, getkey):
    key, within = getkey(), (1.0, 4.0)
    free = LinearGenerator(inputs, 50, 0, within, key=key)()
    made = LinearGenerator(inputs, 50, depth, within, key=key)
    assert (float(free.min()) >= 1, float(free.max()) <= 4, len(made.layers)) == (True, True, depth)
    np.testing.assert_allclose(made(), free, atol=2e-5)
    assert 0.5 < float(made.latents.std()) < 1.5


def test_a_generator_learns_what_its_inputs_share(getkey):
    """A wish of one input moves the others too, which free coordinates never do."""
    wish = lambda generator: generator()[0, 0]
    moved = lambda depth: jax.jit(
        lambda g: jax.jvp(lambda g: g(), (g,), (jax.grad(wish)(g),))[1],
    )(LinearGenerator(2, 5, depth, (-1.0, 1.0), key=getkey()))
    assert float(jnp.abs(moved(0)[1:]).max()) == 0
    assert float(jnp.abs(moved(2)[1:, 0]).min()) > 0


@pytest.mark.parametrize("name", NETWORKS)
def test_hidden_activations_move_with_the_neurons_and_values_stay(name, getkey):
    network = NETWORKS[name]
    weights, x = weights_of(network, getkey()), jax.random.uniform(getkey(), (7, 2), minval=-1.0)
    element = sample(getkey(), network.symmetry)
    hidden, values = activations(network, weights, x)
    np.testing.assert_allclose(values, network.apply(weights, x), atol=1e-5)
    moved, still = activations(network, act(element, weights), x)
    np.testing.assert_allclose(still, values, atol=2e-4)
    for move, before, after in zip(element.moves.values(), hidden, moved, strict=True):
        gain = np.ones(4) if move.gain is None else np.asarray(move.gain)
        turns = np.zeros(4) if move.phase is None else np.asarray(move.phase)
        factor = gain * (1 - 2 * (turns % 2))
        np.testing.assert_allclose(after, np.asarray(before)[:, np.asarray(move.permutation)] * factor, atol=2e-4)


@pytest.mark.parametrize("name", NETWORKS)
def test_an_activation_probe_is_invariant_to_the_whole_group_and_to_nothing_else(name, getkey):
    network = NETWORKS[name]
    reader, weights = READERS["activation probe"](card_of(network), getkey()), weights_of(network, getkey())
    features = eqx.filter_jit(reader.features)
    still = features(weights)
    for _ in range(3):
        assert change(features(act(sample(getkey(), network.symmetry), weights)), still) < 1e-3
    first, second, last = weights
    uncoupled = (first, second._replace(kernel=jnp.roll(second.kernel, 1, axis=0)), last)
    other_inputs = (first._replace(kernel=first.kernel[::-1]), second, last)
    other_outputs = (first, second, last._replace(kernel=last.kernel[:, ::-1]))
    for wrong in (uncoupled, other_inputs, other_outputs):
        assert change(features(wrong), still) > 1e-2


def test_it_sees_neurons_that_the_function_does_not_show(getkey):
    """Of a neuron without outgoing weights the values show nothing."""
    network = NETWORKS["tanh"]
    first, second, last = weights_of(network, getkey())
    second = second._replace(kernel=second.kernel.at[0].set(0.0))
    other = first._replace(kernel=first.kernel.at[:, 0].multiply(0.2))
    for name, felt in {"generated probe": False, "activation probe": True, "probed dws": True}.items():
        reader = READERS[name](card_of(network), getkey())
        features = eqx.filter_jit(reader.features)
        moved = change(features((other, second, last)), features((first, second, last)))
        assert (moved > 1e-3) is felt, name


@pytest.mark.parametrize(
    ("activation", "sign", "scale"), [("sine", True, False), ("tanh", True, False), ("relu", False, True)]
)
def test_a_set_of_neurons_forgets_what_acts_and_nothing_more(activation, sign, scale, getkey):
    neurons = eqx.filter_jit(NeuronSet(Group(3, activation), 6, 16, key=getkey()))
    a = jax.random.normal(getkey(), (3, 6))
    still = neurons(a)
    flipped, scaled = a * jnp.array([[-1.0], [1.0], [-1.0]]), a * jnp.array([[0.2], [1.0], [3.0]])
    assert (change(neurons(flipped), still) < 1e-5) is sign
    assert (change(neurons(scaled), still) < 1e-5) is scale
    assert change(neurons(a[::-1]), still) < 1e-5
    assert change(neurons(a.at[0, 0].multiply(-1.0)), still) > 1e-3  # absolute values would not tell
    assert change(neurons(a.at[:, 0].set(a[::-1, 0])), still) > 1e-3


def test_neurons_that_are_dead_at_every_probe_give_finite_outputs_and_slopes():
    network = NETWORKS["relu"]
    reader = READERS["activation probe"](card_of(network), jax.random.key(0))
    first, second, last = weights_of(network, jax.random.key(1))
    dead = (first._replace(bias=jnp.full(4, -50.0)), second, last)
    found = jax.jit(jax.value_and_grad(lambda w: reader(w).sum()))(dead)
    assert all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(found))


@pytest.mark.parametrize("name", ["siren", "relu"])
def test_probed_dws_is_invariant_to_permutations_and_to_no_misplaced_ones(name, getkey):
    network = NETWORKS[name]
    reader, weights = READERS["probed dws"](card_of(network), getkey()), weights_of(network, getkey())
    features = eqx.filter_jit(reader.features)
    still = features(weights)
    assert change(features(act(sample_permutation(getkey(), network.symmetry), weights)), still) < 1e-4
    first, second, last = weights
    uncoupled = (first, second._replace(kernel=jnp.roll(second.kernel, 1, axis=0)), last)
    assert change(features(uncoupled), still) > 1e-2
    if name == "siren":
        assert change(features(act(sample_signs(getkey(), network.symmetry), weights)), still) > 1e-2


def test_probed_dws_reads_every_node(getkey):
    network = NETWORKS["siren"]
    reader, weights = READERS["probed dws"](card_of(network), getkey()), weights_of(network, getkey())
    features = eqx.filter_jit(lambda reader: reader.features(weights))
    still = features(reader)
    for i, kernel in enumerate(reader.entries):
        assert change(features(eqx.tree_at(lambda r, i=i: r.entries[i], reader, 0 * kernel)), still) > 1e-3


def test_the_nodes_of_a_network_without_biases_are_refused(untyped):
    axes = ({"a": Axes("in", "h"), "b": Axes("h*", "out"), "c": Axes("out", bias=True)},)
    bare = symmetry_of(axes, {"in": Fixed(2, "input"), "h": Group(3), "out": Fixed(1, "output")})
    with pytest.raises(ValueError, match=r"'h' has no bias of its own.*Axes\('h', bias=True\).*ActivationProbe"):
        nodes(bare)


def test_readers_of_one_network_compile_once(getkey):
    """Two readers of one kind are one pytree structure, so that a training stacks them."""
    for name in ("generated probe", "activation probe", "probed dws"):
        shown = card()
        one, other = (jax.tree.structure(READERS[name](shown, getkey())) for _ in range(2))
        assert one == other, name


@pytest.mark.parametrize("record", [ProbeConfig, ActivationProbeConfig, ProbedDWSConfig])
def test_settings_are_checked(record, untyped):
    with pytest.raises(ValueError, match=r"generator is -1; it must be one whole number in \[0, inf\]"):
        record(generator=-1)
    with pytest.raises(ValueError, match=r"probes is 0; it must be one whole number in \[1, inf\]"):
        record(probes=0)


def test_a_probe_and_an_activation_probe_start_over_the_range_of_the_card(getkey):
    network, within = NETWORKS["siren"], {"coordinate_range": (2.0, 3.0)}
    plain = Probe(network.apply, 2, 3, 4, ProbeConfig(probes=20, generator=1), **within, key=getkey())
    hidden = ActivationProbe(network, 4, ActivationProbeConfig(probes=20), **within, key=getkey())
    for x in (plain.points(), hidden.points()):
        assert (float(x.min()) > 1.999, float(x.max()) < 3.001, float(x.std()) > 0.2) == (True, True, True)


def test_a_picture_generator_without_convolutions_is_refused(getkey, untyped):
    with pytest.raises(ValueError, match=r"depth is 0; it must be one whole number in \[1, inf\]"):
        PictureGenerator((8, 8, 1), 3, 0, 4, (0.0, 1.0), key=getkey())


@pytest.mark.parametrize(("shape", "depth"), [((8, 8, 1), 3), ((7, 5, 2), 1), ((3, 9, 1), 2)])
def test_learned_pictures_have_the_shape_and_range_of_the_networks_and_start_apart(shape, depth, getkey):
    made = PictureGenerator(shape, 32, depth, 8, (2.0, 4.0), key=getkey())()
    assert made.shape == (32, *shape)
    assert (float(made.min()) > 2, float(made.max()) < 4) == (True, True)
    spread = made.std(axis=0)
    assert (float(spread.min()) > 0.02, float(spread.mean()) > 0.2) == (True, True)
    assert abs(float(made.mean()) - 3) < 0.25


def test_a_picture_probe_is_invariant_to_the_whole_group_of_a_cnn_and_trains_whole(getkey):
    network = CNN((6, 5, 1), (4, 4), 3)
    config = PictureProbeConfig(probes=5, width=8, generator=2, channels=4)
    reader = PictureProbe(network, 2, config, key=getkey())
    shapes = network.symmetry.shapes
    weights = network.symmetry.unflatten([0.7 * jax.random.normal(getkey(), shape) for shape in shapes])
    features = eqx.filter_jit(reader.features)
    still = features(weights)
    assert change(features(act(sample(getkey(), network.symmetry), weights)), still) < 1e-4
    assert change(features(jax.tree.map(lambda w: jnp.roll(w, 1, axis=0), weights)), still) > 1e-2
    whole, slopes = eqx.filter_jit(eqx.filter_value_and_grad(lambda r: r(weights) @ jnp.array([1.0, 2.0])))(reader)
    np.testing.assert_allclose(whole, reader.head(still) @ jnp.array([1.0, 2.0]), rtol=1e-5)
    for path, slope in jax.tree_util.tree_leaves_with_path(slopes):
        assert float(jnp.abs(slope).max()) > 0, jax.tree_util.keystr(path)


def test_ranges_that_hold_nothing_are_refused(getkey):
    network = Network("siren", (2, 4, 1))
    for name, given in (("coordinate_range", (1.0, 1.0)), ("value_range", (0.5, 0.0))):
        with pytest.raises(ValueError, match=rf"{name} is \(.*; expected a lower and a higher number"):
            Probe(network.apply, 2, 1, 3, ProbeConfig(probes=2), **{name: given}, key=getkey())(network.init(getkey()))
