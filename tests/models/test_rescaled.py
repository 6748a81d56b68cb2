"""A reader in other units: its outputs are scaled and shifted, its head and features are the reader's own."""

import equinox as eqx
import jax
import numpy as np
import pytest

from tests.models.readers import network, tiny
from wsjax.models import Rescaled, Units, head_arrays, parameter_count, trainable

SHIFT, SCALE = np.array([5.0, -3.0, 0.0, 1.0], np.float32), np.array([0.25, 2.0, 1.0, 3.0], np.float32)


@pytest.mark.parametrize("name", ["dws", "statistics"])
def test_outputs_are_scaled_then_shifted_and_the_interface_stays(name):
    reader = tiny(name)
    rescaled, key = Rescaled(reader, Units(jax.device_put(SHIFT), jax.device_put(SCALE))), jax.random.key(0)

    @jax.jit
    def outputs(weights):
        found = []
        for settings in ({}, {"key": key, "rate": 0.5}):
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
    rescaled = Rescaled(reader, Units(jax.device_put(SHIFT), jax.device_put(SCALE)))
    assert jax.tree.leaves(eqx.filter(rescaled, trainable(rescaled)).units) == []
    assert parameter_count(rescaled) == parameter_count(reader)
    assert jax.tree.leaves(head_arrays(rescaled).reader) == jax.tree.leaves(head_arrays(reader))
    assert any(jax.tree.leaves(head_arrays(rescaled).reader))
    assert jax.tree.leaves(head_arrays(rescaled).units) == [False, False]
    part = eqx.filter(rescaled, trainable(rescaled))
    assert sum(jax.tree.leaves(head_arrays(part))) == sum(jax.tree.leaves(head_arrays(rescaled)))
