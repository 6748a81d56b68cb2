"""The maximum by its place: the values are NumPy's, and no gradient hangs on entries being equal."""

import jax
import jax.numpy as jnp
import numpy as np

from tests.models.specs import RECURRENT, random_weights
from wsjax.models import EquivariantLinear, features, lift
from wsjax.models.largest import largest_of


def test_values_are_the_maximum_and_the_slope_goes_to_its_place():
    x, axes = np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float32), (0, 1, -1, (0, 1), (0, 2), (0, 1, 2))

    @jax.jit
    def both(x):
        pulled = [jax.vjp(lambda x, axis=axis: largest_of(x, axis), x) for axis in axes]
        return [(value, back(value)[0]) for value, back in pulled]

    for axis, (value, slope) in zip(axes, both(x), strict=True):
        np.testing.assert_array_equal(value, np.max(x, axis=axis), err_msg=str(axis))
        np.testing.assert_array_equal(slope, np.where(x == np.max(x, axis=axis, keepdims=True), x, 0), str(axis))


def test_of_entries_that_are_equal_the_first_gets_the_slope():
    slope = jax.jit(jax.grad(lambda x: largest_of(x, 0).sum()))
    assert slope(np.array([[1, 0], [3, 0], [3, 0]], np.float32)).tolist() == [[0.0, 1.0], [1.0, 0.0], [0.0, 0.0]]


def test_the_slope_of_a_layer_that_pools_by_the_maximum_divides_by_nothing():
    """By how many entries equal the maximum, for one: there may be none, made anew with other roundings."""

    slopes = lambda layer, xs: jax.grad(lambda xs: sum(jnp.sum(y) for y in layer(xs)))(xs)
    layer = jax.jit(lambda key: EquivariantLinear(RECURRENT, 1, 1, pooling="max", key=key))(jax.random.key(0))
    xs = jax.eval_shape(
        lambda w: lift(RECURRENT.leaves(w), features(RECURRENT)), random_weights(jax.random.key(0), RECURRENT)
    )
    traced = str(jax.make_jaxpr(slopes)(layer, xs))
    assert " argmax[" in traced
    assert " div " not in traced
