"""The maximum by its place: the values are NumPy's, and no gradient hangs on entries being equal."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.models.specs import RECURRENT, random_weights
from wsjax.models import EquivariantLinear, features, lift
from wsjax.models.largest import largest_of


@pytest.mark.parametrize("axis", [0, 1, -1, (0, 1), (0, 2), (0, 1, 2)], ids=str)
def test_values_are_the_maximum_and_the_slope_goes_to_its_place(axis, getkey):
    x = jax.random.normal(getkey(), (3, 4, 5))
    value, back = jax.vjp(lambda x: largest_of(x, axis), x)
    np.testing.assert_array_equal(value, np.max(x, axis=axis))
    expected = np.where(x == np.max(x, axis=axis, keepdims=True), np.asarray(x), 0.0)
    np.testing.assert_array_equal(back(value)[0], expected)


def test_of_entries_that_are_equal_the_first_gets_the_slope():
    slope = jax.grad(lambda x: largest_of(x, 0).sum())(jnp.array([[1.0, 0.0], [3.0, 0.0], [3.0, 0.0]]))
    assert slope.tolist() == [[0.0, 1.0], [1.0, 0.0], [0.0, 0.0]]


def test_the_slope_of_a_layer_that_pools_by_the_maximum_divides_by_nothing(getkey):
    """By how many entries equal the maximum, for one: there may be none, made anew with other roundings."""
    layer = EquivariantLinear(RECURRENT, 1, 1, pooling="max", key=getkey())
    xs = lift(RECURRENT.leaves(random_weights(getkey(), RECURRENT)), features(RECURRENT))
    traced = jax.make_jaxpr(jax.grad(lambda xs: sum(jnp.sum(y) for y in layer(xs))))(xs)
    assert " argmax[" in str(traced)
    assert " div " not in str(traced)
