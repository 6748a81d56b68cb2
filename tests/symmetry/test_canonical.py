"""Canonical weights: the same for a whole orbit, the function kept."""

from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.helpers import CASES, change, dense_axes, points, random_weights
from tests.symmetry.architectures import NORMED, RESIDUAL, Residual, normed, tied
from wsjax import symmetry as ws
from wsjax.symmetry import Fixed, Group, symmetry_of
from wsjax.symmetry.canonical import canonical_element, inputs_first
from wsjax.symmetry.element import Element

pytestmark = pytest.mark.usefixtures("untyped")

KEY = jax.random.key(4)

canonical = jax.jit(ws.canonicalize, static_argnums=1)
moved_by = jax.jit(lambda key, weights, spec: ws.act(ws.sample(key, spec), weights), static_argnums=2)


def class_of_images(weights, x: jax.Array) -> Any:
    return Residual().apply(weights, jnp.tile(x.reshape(1, 8, 4, 1), (1, 1, 2, 1)))


SPECS = {
    **{case: (CASES[case].symmetry((2, 5, 4, 2)), CASES[case].apply, 1e-3) for case in CASES},
    "residual convolutions": (RESIDUAL, class_of_images, 1e-5),
    "recurrent": (tied(), None, 1e-5),
    "normed": (NORMED, normed, 1e-3),
}


@pytest.mark.parametrize("case", SPECS)
def test_an_orbit_has_one_canonical_network_of_the_same_function(case: str):
    spec, apply, close = SPECS[case]
    weights, x = random_weights(KEY, spec), points(KEY, 2)
    draw = jax.jit(lambda keys: jax.vmap(lambda key: ws.sample(key, spec))(keys))
    elements = jax.tree.map(np.asarray, draw(jax.random.split(KEY, 3)))
    assert_one(spec, apply, weights, elements, np.asarray(x), close)
    if case in CASES:
        with jax.enable_x64(True):
            wide = random_weights(KEY, spec, np.float64)
            assert_one(spec, apply, wide, elements, np.asarray(x, np.float64), 1e-10)


def assert_one(spec: ws.Symmetry, apply, weights, elements: Element, x: np.ndarray, close: float) -> None:
    """Four networks of an orbit have one canonical network, which has the same function and is its own."""

    @jax.jit
    def run(elements, weights):
        moved = jax.vmap(ws.act, (0, None))(elements, weights)
        orbit = jax.tree.map(lambda one, some: jnp.concatenate([one[None], some]), weights, moved)
        found = jax.vmap(lambda w: ws.canonicalize(w, spec))(orbit)
        first = jax.tree.map(lambda leaf: leaf[0], found)
        return orbit, found, first, () if apply is None else [apply(w, x) for w in (first, weights)]

    orbit, found, first, values = jax.tree.map(np.asarray, run(elements, weights))
    chex.assert_trees_all_equal_shapes_and_dtypes(first, weights)
    for i in range(1, 4):
        apart = zip(jax.tree.leaves(orbit), jax.tree.leaves(weights), strict=True)
        assert max(change(a[i], b) for a, b in apart) > 0.1
        chex.assert_trees_all_close(jax.tree.map(lambda leaf, i=i: leaf[i], found), first, atol=close)
    assert not values or change(*values) < max(close, 1e-4 * (x.dtype == np.float32))
    chex.assert_trees_all_close(run(elements, first)[2], first, atol=close)


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


def test_odd_neurons_have_a_positive_bias_and_zero_biases_are_decided_by_the_largest_entry():
    spec = ws.mlp((2, 6, 1), "tanh")
    weights = random_weights(KEY, spec)
    assert (np.asarray(canonical(weights, spec)[0].bias) > 0).all()
    weights = (weights[0]._replace(bias=np.zeros(6, np.float32)), weights[1])
    kernel = np.asarray(canonical(weights, spec)[0].kernel)
    assert (kernel[np.abs(kernel).argmax(axis=0), np.arange(6)] > 0).all()
    moved = moved_by(KEY, weights, spec)
    np.testing.assert_allclose(canonical(moved, spec)[0].kernel, kernel, atol=1e-6)


def test_a_dead_neuron_is_left_as_it_is_and_no_square_overflows():
    spec = ws.mlp((2, 6, 1))
    weights = random_weights(KEY, spec)
    chex.assert_tree_all_finite(canonical(jax.tree.map(np.zeros_like, weights), spec))
    for factor in (np.float32(1e25), np.float32(1e-25)):
        layer = canonical(jax.tree.map(lambda w, f=factor: f * w, weights), spec)[0]
        np.testing.assert_allclose(np.square(layer.kernel).sum(0) + np.square(layer.bias), 1, rtol=1e-5)


def test_the_element_is_a_value_and_a_batch_is_canonical_by_vmap():
    spec = ws.siren((2, 4, 1))
    stack = jax.tree.map(lambda *x: np.stack(x), *[random_weights(k, spec) for k in jax.random.split(KEY, 3)])
    many = jax.jit(jax.vmap(lambda w: ws.canonicalize(w, spec)))(stack)
    act = jax.jit(lambda w: ws.act(canonical_element(w, spec), w))
    one = jax.tree.map(lambda x: x[1], stack)
    chex.assert_trees_all_close(jax.tree.map(lambda x: np.asarray(x)[1], many), act(one), atol=1e-5)
    assert isinstance(jax.eval_shape(lambda w: canonical_element(w, spec), one), Element)
