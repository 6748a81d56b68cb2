"""A reader in other units: its outputs are scaled and shifted, its head and features are the reader's own."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.models.cards import card
from tests.models.test_readers import SMALL, network
from wsjax.models import Rescaled, Units, build, head_arrays, parameter_count, trainable


@pytest.fixture(params=["dws", "statistics"])
def reader(request, getkey) -> Any:
    return build(request.param, card(classes=0), SMALL[request.param], outputs=2, key=getkey())


@pytest.fixture
def rescaled(reader) -> Rescaled:
    return Rescaled(reader, Units(jnp.array([5.0, -3.0]), jnp.array([0.25, 2.0])))


def test_outputs_are_scaled_then_shifted_and_the_interface_stays(reader, rescaled, getkey):
    weights = network(getkey())
    for settings in ({}, {"key": getkey(), "rate": 0.5}):
        own, vector = reader(weights, **settings), rescaled.features(weights, **settings)
        expected = np.array([5.0, -3.0]) + np.array([0.25, 2.0]) * np.asarray(own)
        np.testing.assert_allclose(rescaled(weights, **settings), expected, rtol=1e-6)
        np.testing.assert_array_equal(vector, reader.features(weights, **settings))
        np.testing.assert_allclose(rescaled.head(vector, **settings), expected, rtol=1e-5)


def test_units_do_not_train_and_the_head_is_the_readers(reader, rescaled):
    assert jax.tree.leaves(eqx.filter(rescaled, trainable(rescaled)).units) == []
    assert parameter_count(rescaled) == parameter_count(reader)
    assert jax.tree.leaves(head_arrays(rescaled).reader) == jax.tree.leaves(head_arrays(reader))
    assert any(jax.tree.leaves(head_arrays(rescaled).reader))
    assert jax.tree.leaves(head_arrays(rescaled).units) == [False, False]
    part = eqx.filter(rescaled, trainable(rescaled))
    assert sum(jax.tree.leaves(head_arrays(part))) == sum(jax.tree.leaves(head_arrays(rescaled)))
