"""Canonical weights: the same for a whole orbit, the function kept."""

import chex
import jax
import numpy as np
import pytest

from tests.helpers import CASES, change, dense_axes, points, random_weights
from tests.symmetry.architectures import RESIDUAL, Residual, tied
from wsjax import symmetry as ws
from wsjax.symmetry import Fixed, Group, Symmetry, symmetry_of
from wsjax.symmetry.canonical import canonical_element, inputs_first

KEY = jax.random.key(4)

canonical = jax.jit(ws.canonicalize, static_argnums=1)
moved_by = jax.jit(lambda key, weights, spec: ws.act(ws.sample(key, spec), weights), static_argnums=2)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("x64", [False, True], ids=["float32", "float64"])
def test_an_orbit_has_one_canonical_network(case: str, x64: bool):
    with jax.enable_x64(x64):
        dtype, close = (np.float64, 1e-10) if x64 else (np.float32, 1e-3)
        spec = CASES[case].symmetry((2, 5, 4, 2))
        weights, x = random_weights(KEY, spec, dtype), points(KEY, 2, dtype)
        first = canonical(weights, spec)
        assert change(CASES[case].apply(first, x), CASES[case].apply(weights, x)) < close
        chex.assert_trees_all_equal_shapes_and_dtypes(first, weights)
        for seed in range(3):
            moved = moved_by(jax.random.key(seed), weights, spec)
            chex.assert_trees_all_close(canonical(moved, spec), first, atol=close)
        chex.assert_trees_all_close(canonical(first, spec), first, atol=close)


@pytest.mark.parametrize("spec", [RESIDUAL, tied()], ids=["residual convolutions", "recurrent"])
def test_an_orbit_of_any_symmetry_has_one_canonical_network(spec: Symmetry):
    weights = random_weights(KEY, spec)
    first = canonical(weights, spec)
    for seed in range(3):
        moved = moved_by(jax.random.key(seed), weights, spec)
        assert ws.squared_distance(moved, weights) > 1
        chex.assert_trees_all_close(canonical(moved, spec), first, atol=1e-5)
    chex.assert_trees_all_close(canonical(first, spec), first, atol=1e-5)


def test_a_residual_network_computes_the_same_when_canonical():
    x = jax.random.normal(KEY, (2, 6, 6, 1))
    weights = jax.tree.map(lambda leaf: np.asarray(leaf) + np.float32(0.1), Residual().init(KEY, x))
    assert change(Residual().apply(canonical(weights, RESIDUAL), x), Residual().apply(weights, x)) < 1e-4


def test_the_order_of_declaration_does_not_matter():
    tree = [dense_axes("b*", "out"), dense_axes("a*", "b"), dense_axes("in", "a")]
    sizes = {"in": Fixed(2, "input"), "b": Group(3), "a": Group(4), "out": Fixed(1, "output")}
    spec = symmetry_of(tree, sizes)
    assert inputs_first(spec) == ["a", "b"]
    weights = random_weights(KEY, spec)
    first = canonical(weights, spec)
    chex.assert_trees_all_close(canonical(moved_by(KEY, weights, spec), spec), first, atol=1e-4)
    length = np.square(first[1]["kernel"]).sum(0) + np.square(first[1]["bias"])
    np.testing.assert_allclose(length, 1, rtol=1e-4)


def test_sines_have_phases_within_a_quarter_turn_in_order():
    spec = ws.siren((2, 9, 7, 1), w0=(4.0, 9.0))
    found = canonical(random_weights(KEY, spec), spec)
    for layer, w0 in zip(found[:2], (4.0, 9.0), strict=True):
        bias = np.asarray(layer.bias)
        assert (bias >= -1e-6).all()
        assert (w0 * bias <= np.pi / 2 + 1e-5).all()
        assert (np.diff(bias) >= 0).all()


def test_homogeneous_neurons_have_length_one_and_odd_ones_a_positive_bias():
    relu, tanh = ws.mlp((2, 6, 1)), ws.mlp((2, 6, 1), "tanh")
    layer = canonical(random_weights(KEY, relu), relu)[0]
    np.testing.assert_allclose(np.square(layer.kernel).sum(0) + np.square(layer.bias), 1, rtol=1e-5)
    assert (np.asarray(canonical(random_weights(KEY, tanh), tanh)[0].bias) > 0).all()


def test_zero_biases_are_decided_by_the_largest_entry():
    spec = ws.mlp((2, 6, 1), "tanh")
    weights = random_weights(KEY, spec)
    weights = (weights[0]._replace(bias=np.zeros(6, np.float32)), weights[1])
    kernel = np.asarray(canonical(weights, spec)[0].kernel)
    assert (kernel[np.abs(kernel).argmax(axis=0), np.arange(6)] > 0).all()
    moved = moved_by(KEY, weights, spec)
    np.testing.assert_allclose(canonical(moved, spec)[0].kernel, kernel, atol=1e-6)


def test_a_dead_neuron_is_left_as_it_is():
    spec = ws.mlp((2, 3, 1))
    weights = jax.tree.map(np.zeros_like, random_weights(KEY, spec))
    chex.assert_tree_all_finite(canonical(weights, spec))


def test_the_element_is_a_value_and_a_batch_is_canonical_by_vmap():
    spec = ws.siren((2, 4, 1))
    stack = jax.tree.map(lambda *x: np.stack(x), *[random_weights(k, spec) for k in jax.random.split(KEY, 3)])
    many = jax.jit(jax.vmap(lambda w: ws.canonicalize(w, spec)))(stack)
    one = jax.tree.map(lambda x: x[1], stack)
    chex.assert_trees_all_close(
        jax.tree.map(lambda x: x[1], many), ws.act(canonical_element(one, spec), one), atol=1e-5
    )
