"""The networks whose weights are the data: initialization, function, coordinates, and the record that describes one."""

import json

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.helpers import W0, kernel_siren, points, random_weights
from wsjax import networks, symmetry
from wsjax.networks import Network
from wsjax.networks.mlp import ACTIVATIONS
from wsjax.networks.siren import absorb

WIDTHS, KEY = (2, 5, 3, 2), jax.random.key(0)
WEIGHTS = random_weights(jax.random.key(0), symmetry.siren(WIDTHS))
POINTS = np.asarray(points(jax.random.key(1), 2))
siren_apply = jax.jit(networks.siren_apply, static_argnames=("w0", "offset", "convention"))


def by_hand(weights, x: np.ndarray, w0: tuple[float, ...], offset: float, affine: bool = True) -> np.ndarray:
    """sin(w0 (x W + b)), or sin(w0 x W + b), in float64, one neuron at a time."""
    h = np.asarray(x, np.float64)
    for layer, w in zip(weights[:-1], w0, strict=True):
        kernel, bias = np.asarray(layer.kernel, np.float64), np.asarray(layer.bias, np.float64)
        h = np.stack(
            [np.sin(w * (h @ kernel[:, j]) + (w if affine else 1) * bias[j]) for j in range(len(bias))], axis=1
        )
    return h @ np.asarray(weights[-1].kernel, np.float64) + np.asarray(weights[-1].bias, np.float64) + offset


def test_a_siren_is_what_its_formula_says():
    for convention, affine in (("affine", True), ("kernel", False)):
        found = siren_apply(WEIGHTS, POINTS, w0=W0, offset=0.5, convention=convention)
        expected = by_hand(WEIGHTS, POINTS, W0, 0.5, affine).astype(np.float32)
        chex.assert_trees_all_close(found, expected, atol=1e-5)
    chex.assert_trees_all_close(found, np.asarray(jax.jit(kernel_siren)(WEIGHTS, POINTS)) + 0.5, atol=1e-5)
    with jax.enable_x64(True):
        weights, x = jax.tree.map(lambda a: a.astype(np.float64), (WEIGHTS, POINTS))
        assert np.abs(np.asarray(siren_apply(weights, x, w0=W0)) - by_hand(WEIGHTS, POINTS, W0, 0.0)).max() < 1e-12


def test_one_frequency_stands_for_all_and_thirty_is_the_default():
    default = np.asarray(siren_apply(WEIGHTS, POINTS))
    chex.assert_trees_all_equal(default, np.asarray(siren_apply(WEIGHTS, POINTS, w0=(30.0, 30))))
    chex.assert_trees_all_close(default, by_hand(WEIGHTS, POINTS, (30.0, 30.0), 0.0).astype(np.float32), atol=1e-4)
    assert np.abs(default - siren_apply(WEIGHTS, POINTS, w0=29.0)).max() > 0.1


@pytest.mark.parametrize(
    ("family", "kernels", "biases"),
    [
        ("dws", (0.0333, 0.00833, 0.102), (0.0, 0.0, 0.102)),
        ("nfn", (0.2887, 0.00833, 0.00833), (0.408, 0.102, 0.102)),
        ("absorbed", (8.66, 0.25, 0.00833), (12.25, 3.06, 0.102)),
        ("zero_output", (0.0333, 0.00833, 0.0), (0.0, 0.0, 0.0)),
    ],
)
def test_each_family_has_its_deviations_those_of_the_published_sets_among_them(family, kernels: tuple, biases: tuple):
    init = lambda key: networks.siren_init(key, (2, 32, 32, 1), w0=1.0 if family == "absorbed" else 30.0, family=family)
    stack = jax.tree.map(np.asarray, jax.jit(jax.vmap(init))(jax.random.split(jax.random.key(0), 512)))
    for layer, kernel, bias in zip(stack, kernels, biases, strict=True):
        assert layer.kernel.std() == pytest.approx(kernel, rel=0.05)
        assert layer.bias.std() == pytest.approx(bias, rel=0.05)
        assert np.abs(layer.kernel).max() <= kernel * 3**0.5 * 1.01  # uniform: nothing beyond sqrt(3) deviations


def test_the_absorbed_family_computes_what_siren_s_own_initialization_does_from_the_same_key():
    absorbed, affine = Network("siren", WIDTHS, w0=(1.0,), family="absorbed"), Network("siren", WIDTHS, family="nfn")
    inits = jax.jit(lambda key: (absorbed.init(key), affine.init(key)))(KEY)
    with jax.enable_x64(True):
        one, other = jax.tree.map(lambda x: np.asarray(x, np.float64), inits)
        expected = by_hand(other, POINTS, (30.0, 30.0), 0.0)
        assert np.abs(np.asarray(absorbed.apply(one, POINTS.astype(np.float64))) - expected).max() < 1e-5
        there = absorb(other, (30.0, 7.0))
        assert np.abs(by_hand(there, POINTS, (1.0, 30 / 7), 0.0) - expected).max() < 1e-12
    chex.assert_trees_all_close(absorb(there, (1 / 30, 1 / 7)), other)
    assert np.abs(one[0].bias).max() > np.pi  # which wraps around the period


def test_each_layer_of_an_initialization_takes_its_own_frequency():
    init = jax.jit(networks.siren_init, static_argnames=("widths", "w0"))
    slow, fast = (init(jax.random.key(0), WIDTHS, w0=w0) for w0 in ((30.0, 30.0), (30.0, 60.0)))
    chex.assert_trees_all_equal(slow[0], fast[0])
    chex.assert_trees_all_close(slow[1].kernel, 2 * np.asarray(fast[1].kernel))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: networks.siren_apply(WEIGHTS, POINTS, w0=(1.0, 2.0, 3.0)),
            "w0 has 3 values; the network has 2 hidden layers: give one number or 2",
        ),
        (lambda: networks.siren_init(KEY, WIDTHS, family="dwss"), "unknown initialization family 'dwss'.*mean 'dws'"),  # type: ignore[arg-type]
        (lambda: networks.siren_init(KEY, (2, 1)), "number of widths is 2"),
        (lambda: networks.siren_init(KEY, (2, 0, 1)), "each of widths is 0"),
        (lambda: networks.mlp_init(KEY, (2,)), "number of widths is 1"),
        (lambda: networks.mlp_init(KEY, (2, 2.5, 1)), "each of widths is 2.5"),  # type: ignore[arg-type]
        (lambda: networks.grid((4, 0)), "each of shape is 0; it must be one integer"),
        (
            lambda: networks.siren_init(KEY, WIDTHS, family="absorbed"),
            r"w0 is \(30.0, 30.0\); the family 'absorbed'.*w0=1",
        ),
        (
            lambda: Network("siren", WIDTHS, w0=(1.0, 2.0), family="absorbed"),
            r"w0 is \(1.0, 2.0\); the family 'absorbed'",
        ),
        (lambda: networks.mlp_apply(WEIGHTS, POINTS, activation="rleu"), "unknown activation 'rleu'.*mean 'relu'"),
        (lambda: networks.siren_apply(WEIGHTS, POINTS, w0=W0, convention="both"), "unknown w0 convention 'both'"),  # type: ignore[arg-type]
        (lambda: networks.grid((2, 2), order="yx"), "unknown coordinate order 'yx'"),  # type: ignore[arg-type]
        (lambda: Network("sirens", WIDTHS), "unknown network kind 'sirens'.*Did you mean 'siren'"),
        (lambda: Network("mlp", WIDTHS, activation="tanhh"), "unknown activation 'tanhh'.*Did you mean 'tanh'"),
        (lambda: Network("siren", WIDTHS, activation="relu"), "unknown activation 'relu'; the valid ones are: sine"),
        (lambda: Network("siren", WIDTHS, w0_convention="both"), "unknown w0 convention 'both'"),  # type: ignore[arg-type]
        (lambda: Network("mlp", (2, 1), "relu"), "number of widths is 2"),
        (lambda: Network("siren", (2, 0, 1)), "each of widths is 0; it must be one integer"),
        (lambda: Network("mlp", (2, 2.5, 1), "relu"), "each of widths is 2.5"),  # type: ignore[arg-type]
        (lambda: Network("siren", WIDTHS, w0=-3.0), "w0 is -3.0; it must be one number in"),  # type: ignore[arg-type]
        (lambda: networks.siren_init(KEY, WIDTHS, w0=0.0), "w0 is 0.0"),
        (lambda: Network("siren", WIDTHS, offset=np.nan), "offset is nan"),
        (lambda: Network("mlp", WIDTHS, "relu", family="dwss"), "unknown initialization family 'dwss'"),  # type: ignore[arg-type]
    ],
)
def test_settings_that_do_not_fit_are_named(call, message, untyped):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_dense_network_is_what_its_formula_says():
    def by_formula(a, weights, x):
        for layer in weights[:-1]:
            x = a(x @ layer.kernel + layer.bias[None, :])
        return x @ weights[-1].kernel + weights[-1].bias[None, :]

    @jax.jit
    def run(weights, x):
        found = {name: networks.mlp_apply(weights, x, activation=name) for name in ACTIVATIONS}
        return found, {name: by_formula(a, weights, x) for name, a in ACTIVATIONS.items()}

    chex.assert_trees_all_close(*run(WEIGHTS, POINTS), atol=1e-6)
    tanh, relu = (np.asarray(run(WEIGHTS, POINTS)[0][name]) for name in ("tanh", "relu"))
    np.testing.assert_allclose(tanh, by_formula(np.tanh, WEIGHTS, POINTS), atol=1e-5)
    np.testing.assert_allclose(relu, by_formula(lambda z: np.maximum(z, 0), WEIGHTS, POINTS), atol=1e-5)


def test_he_s_initialization():
    stack = jax.jit(jax.vmap(lambda k: networks.mlp_init(k, (2, 32, 1))))(jax.random.split(jax.random.key(0), 512))
    assert [np.asarray(layer.kernel).std() for layer in stack] == pytest.approx([1.0, 0.25], rel=0.03)
    assert not any(np.asarray(layer.bias).any() for layer in stack)


def test_a_grid_runs_over_an_array_in_its_own_order():
    xy, ij = networks.grid((2, 3)), networks.grid((2, 3), order="ij")
    assert xy.tolist() == [[-1, -1], [0, -1], [1, -1], [-1, 1], [0, 1], [1, 1]]  # x is the column and runs fastest
    assert ij.tolist() == [[y, x] for x, y in xy.tolist()]
    image = np.asarray(xy)[:, 1].reshape(2, 3)
    assert (image[0] == -1).all()  # y points down: the first row is at -1
    assert networks.grid((3,), low=0.0, high=4.0).tolist() == [[0], [2], [4]]
    assert networks.grid((2, 3, 4)).shape == (24, 3)


@pytest.mark.parametrize(
    "network",
    [
        Network("siren", WIDTHS, w0=W0, offset=0.5),
        Network("siren", WIDTHS, w0=W0, w0_convention="kernel"),
        Network("siren", WIDTHS, w0=(12.5,), family="nfn"),
        Network("siren", WIDTHS, w0=(1.0,), family="absorbed"),
        Network("mlp", WIDTHS, activation="tanh", offset=0.25),
        Network("mlp", WIDTHS, activation="relu"),
    ],
    ids=repr,
)
def test_a_record_gives_weights_a_function_and_a_symmetry_that_agree(network: Network):
    assert Network.from_json(json.loads(json.dumps(network.to_json()))) == network
    apply, init = jax.jit(network.apply), jax.eval_shape(network.init, jax.random.key(0))
    assert jax.tree.map(jnp.shape, init) == jax.tree.map(np.shape, WEIGHTS)
    worst = symmetry.check(apply, network.symmetry, WEIGHTS, POINTS, key=jax.random.key(1), draws=2)
    assert worst < 2e-5
    zero = jax.tree.map(np.zeros_like, WEIGHTS)
    assert (np.asarray(apply(zero, POINTS)) == network.offset).all()


def test_numbers_of_numpy_describe_the_same_network(untyped):
    plain = Network("siren", (2, 4, 1), w0=(30.0,))
    assert Network("siren", np.array([2, 4, 1]), w0=np.float32(30)) == plain  # type: ignore[arg-type]
    assert json.dumps(Network("siren", (np.int64(2), 4, 1), w0=30.0).to_json()) == json.dumps(plain.to_json())  # type: ignore[arg-type]
    assert symmetry.siren(np.array([2, 4, 1]), np.float32(30)) == symmetry.siren((2, 4, 1))  # type: ignore[arg-type]
    convolutional = networks.CNN((8, 8, 1), (np.int64(4),), np.int64(3))  # type: ignore[arg-type]
    assert json.dumps(convolutional.to_json()) == json.dumps(networks.CNN((8, 8, 1), (4,), 3).to_json())
    for init in (networks.siren_init, networks.mlp_init):
        sizes = lambda widths, init=init: jax.eval_shape(lambda key: init(key, widths), KEY)
        assert sizes(np.array([2, 4, 1])) == sizes((2, 4, 1))
