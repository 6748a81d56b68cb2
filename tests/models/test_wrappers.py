"""Wrappers, and baselines by what they do with arrays; what users of JAX switch on, and copies, for every reader.

test_precision.py traces gradients of batches of batches, through checkpoints and with keys of the old kind;
test_readers.py holds those of zeros and dead neurons to what `debug_nans` asks for.
"""

import copy
import pickle

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.models.readers import READERS, TINY, fewest, network, tiny
from wsjax.augment import parse
from wsjax.models import TestTimeAugmentation, make, parameter_count
from wsjax.models.readers.rows import rows
from wsjax.models.readers.statistics_mlp import seven
from wsjax.models.wrappers import Rescaled, Units, head_arrays
from wsjax.symmetry import act
from wsjax.symmetry.sample import sample_signs

KEY, SYMMETRY = jax.random.key(3), TINY.symmetry
LEGACY = np.array([0, 3], np.uint32)
SHIFT, SCALE = np.array([5.0, -3.0, 0.0, 1.0], np.float32), np.array([0.25, 2.0, 1.0, 3.0], np.float32)


@pytest.mark.parametrize("name", ["dws", "statistics"])
def test_outputs_are_scaled_then_shifted_and_the_interface_stays(name):
    reader = tiny(name)
    rescaled, key = Rescaled(reader, Units(SHIFT, SCALE)), jax.random.key(0)

    @jax.jit
    def outputs(weights):
        found = []
        for settings in ({}, {"key": key, "dropout_rate": 0.5}):
            vector = rescaled.features(weights, **settings)
            whole, head = rescaled(weights, **settings), rescaled.head(vector, **settings)
            found.append((reader(weights, **settings), whole, head, vector, reader.features(weights, **settings)))
        return found

    for own, whole, head, vector, expected in outputs(network()):
        np.testing.assert_allclose(whole, SHIFT + SCALE * np.asarray(own), rtol=1e-6)
        np.testing.assert_allclose(head, whole, rtol=1e-5)
        np.testing.assert_array_equal(vector, expected)


def test_units_do_not_train_and_the_head_is_the_readers():
    reader = tiny("dws")
    rescaled = Rescaled(reader, Units(SHIFT, SCALE))
    assert parameter_count(rescaled) == parameter_count(reader)
    assert jax.tree.leaves(head_arrays(rescaled).reader) == jax.tree.leaves(head_arrays(reader))
    assert any(jax.tree.leaves(head_arrays(rescaled).reader))
    assert jax.tree.leaves(head_arrays(rescaled).units) == [False, False]
    part = eqx.filter(rescaled, eqx.is_inexact_array)
    assert sum(jax.tree.leaves(head_arrays(part))) == sum(jax.tree.leaves(head_arrays(rescaled)))


def test_an_average_is_that_of_the_reader_on_moved_networks_and_signs_are_averaged_away():
    """The spread over flips of one network falls as the root of the number of copies."""
    reader, flips = tiny("dws"), parse("flip_signs", SYMMETRY)

    @jax.jit
    def outputs(weights):
        """Of 32 flipped networks, alone and over a few and many copies."""
        keys = jax.random.split(jax.random.key(4), 32)
        moved = jax.vmap(lambda k: act(sample_signs(k, SYMMETRY), weights))(keys)
        by_hand = jax.vmap(lambda k: reader(flips(k, weights)))(jax.random.split(KEY, 3)).mean(axis=0)
        over = [jax.vmap(TestTimeAugmentation(reader, flips, n, key=KEY))(moved) for n in (1, 64)]
        return by_hand, TestTimeAugmentation(reader, flips, 3, key=KEY)(weights), jax.vmap(reader)(moved), *over

    by_hand, average, *found = outputs(network())
    np.testing.assert_allclose(average, by_hand, atol=1e-6)
    alone, one, many = (float(np.std(x, axis=0).max()) for x in found)
    assert one > 0.2 * alone
    assert many < 0.4 * alone


def test_a_key_and_a_rate_reach_the_reader():
    """The reader is a stand-in: it gives what it got."""
    reader = lambda weights, *, key=None, dropout_rate=0.0: (
        jnp.ones(2) if key is None else dropout_rate * jax.random.normal(key, (2,))
    )
    many = TestTimeAugmentation(reader, lambda key, weights: weights, 2, key=KEY)
    read = jax.jit(lambda weights, **settings: many(weights, **settings))
    np.testing.assert_array_equal(read(network()), np.ones(2))
    drawn = [read(network(), key=key, dropout_rate=0.5) for key in jax.random.split(KEY)]
    assert (drawn[0] != drawn[1]).all()
    assert not np.any(read(network(), key=KEY, dropout_rate=0.0))


def relative(found: jax.Array, expected: jax.Array) -> float:
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def test_statistics_alone_are_invariant_to_orders_that_uncouple_the_arrays():
    first, last = network()
    uncoupled = (first, last._replace(kernel=np.roll(last.kernel, 1, axis=0)))
    for name, invariant in (("mlp", False), ("canonical mlp", False), ("statistics", True), ("rows", False)):
        features = eqx.filter_jit(tiny(name).features)
        assert (relative(features(uncoupled), features(network())) < 1e-4) is invariant, name


def test_seven_numbers_of_an_array_are_numpys():
    x = np.random.default_rng(0).normal(size=23).astype(np.float32)
    expected = [x.mean(), x.var(), *np.quantile(x, [0, 0.25, 0.5, 0.75, 1])]
    np.testing.assert_allclose(jax.jit(seven)(x), expected, rtol=1e-4)
    np.testing.assert_allclose(jax.jit(seven)(np.ones(1, np.float32)), [1, 0, 1, 1, 1, 1, 1])


def test_rows_run_over_the_last_axis():
    assert rows(jnp.arange(6.0).reshape(2, 3)).tolist() == [[0, 1, 2], [3, 4, 5]]
    for shape, expected in (((), (1, 1)), ((3,), (1, 3)), ((3, 3, 2, 5), (18, 5))):
        assert jax.eval_shape(rows, jax.ShapeDtypeStruct(shape, jnp.float32)).shape == expected


def test_a_row_transformer_depends_on_places_and_arrays_by_its_embeddings_alone():
    """Without the embedding of places it is invariant to the order of rows that nothing couples."""
    reader = tiny("rows")
    first, last = network()
    turned = (first, last._replace(kernel=last.kernel[::-1]))
    features = eqx.filter_jit(lambda reader, w: reader.features(w))
    without = eqx.tree_at(lambda r: r.places, reader, np.zeros_like(reader.places))
    assert relative(features(reader, turned), features(reader, network())) > 1e-3
    assert relative(features(without, turned), features(without, network())) < 1e-4


def test_every_reader_is_pickled_and_copied_with_its_arrays_and_its_static_fields(untyped):
    """Their arrays in NumPy: what becomes of JAX's own is JAX's affair."""
    for name in (*READERS, "rescaled", "editor", "scale editor"):
        made = jax.tree.map(np.asarray, tiny(name))
        for other in (pickle.loads(pickle.dumps(made)), copy.deepcopy(made)):
            assert jax.tree.structure(other) == jax.tree.structure(made), name
            for a, b in zip(*map(jax.tree.leaves, (other, made)), strict=True):
                assert (type(a), a.dtype) == (np.ndarray, b.dtype), name
                np.testing.assert_array_equal(a, b, name)


@pytest.mark.parametrize("name", READERS)
def test_it_keeps_its_type_under_x64_and_one_built_there_is_of_float64_with_and_without_jit(name, untyped):
    build_and_read = lambda key, weights: make(READERS[name][0], TINY, fewest(name), key=key)(weights)
    with jax.enable_x64(True):
        assert jax.eval_shape(tiny(name), network()).dtype == jnp.float32
        with jax.disable_jit():
            assert jax.eval_shape(build_and_read, LEGACY, network()).dtype == jnp.float64


def test_values_are_the_same_without_jit(untyped):
    compiled = eqx.filter_jit(tiny("mlp"))(network())
    with jax.disable_jit(), jax.debug_nans(True):
        np.testing.assert_allclose(tiny("mlp")(network()), compiled, rtol=1e-5)


def test_an_edit_may_take_the_place_of_the_network(untyped):
    edits = tiny("editor")
    weights = jax.tree.map(jax.device_put, network())
    edited = jax.jit(lambda weights: edits(weights), donate_argnums=0)(weights)
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(weights))
    for a, b in zip(*map(jax.tree.leaves, (edited, network())), strict=True):
        assert np.abs(a - b).max() > 1e-4
