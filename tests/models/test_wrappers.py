"""Wrappers: other units, of which head and features are the reader's own; averages over augmented copies."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.models.readers import TINY, network, tiny
from wsjax.augment import parse
from wsjax.models import TestTimeAugmentation, parameter_count
from wsjax.models.wrappers import Rescaled, Units, head_arrays
from wsjax.symmetry import act
from wsjax.symmetry.sample import sample_signs

KEY, SYMMETRY = jax.random.key(3), TINY.symmetry
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


@pytest.mark.parametrize("name", ["dws", "statistics"])
def test_units_do_not_train_and_the_head_is_the_readers(name):
    reader = tiny(name)
    rescaled = Rescaled(reader, Units(SHIFT, SCALE))
    assert jax.tree.leaves(eqx.filter(rescaled, eqx.is_inexact_array).units) == []
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
