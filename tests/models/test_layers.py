"""Parts of layers: initial values as `jax.random` draws them, maxima with their gradients, norms."""

import chex
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.models.specs import RECURRENT, random_weights
from wsjax.models import EquivariantLinear
from wsjax.models.layers import draws
from wsjax.models.layers.feature_layout import features, lift
from wsjax.models.layers.norms import NORMS, Norm
from wsjax.models.layers.terms import largest_of


def test_draws_are_those_of_jax_bit_for_bit(getkey, monkeypatch):
    monkeypatch.setattr(draws, "SHORTEST", 8)
    key = getkey()
    for shape in ((), (3, 2), (5, 5), (0, 4)):  # within the shortest length, beyond it, and nothing
        scale = np.linspace(0.5, 2.0, shape[-1] if shape else 1).astype(np.float32)
        drawn = np.asarray(jax.random.normal(key, shape))
        np.testing.assert_array_equal(draws.normal(key, shape, 0.3), drawn * np.float32(0.3), str(shape))
        np.testing.assert_array_equal(draws.normal(key, shape, scale), drawn * scale, str(shape))
        expected = jax.random.uniform(key, shape, minval=-0.1, maxval=0.7)
        np.testing.assert_array_equal(draws.uniform(key, shape, -0.1, 0.7), expected, str(shape))
    old = jax.random.key_data(key)  # a key of the old kind
    np.testing.assert_array_equal(draws.normal(old, (4, 3)), draws.normal(key, (4, 3)))


def test_a_linear_layer_is_that_of_equinox(getkey):
    key = getkey()
    for use_bias in (True, False):
        chex.assert_trees_all_equal(
            draws.linear(3, 2, use_bias=use_bias, key=key), eqx.nn.Linear(3, 2, use_bias, key=key)
        )


def test_lengths_share_programs(getkey, monkeypatch):
    lengths = []
    monkeypatch.setattr(jax.random, "normal", lambda key, shape: lengths.append(shape) or np.zeros(shape))
    for shape in ((3,), (7, 5), (draws.SHORTEST,), (draws.SHORTEST + 1,)):
        draws.normal(getkey(), shape)
    assert lengths == [(draws.SHORTEST,)] * 3 + [(draws.SHORTEST * draws.LONGER,)]


def test_a_traced_key_and_another_generator_draw_the_shape_itself():
    """Another generator's first numbers depend on how many are drawn."""
    for kind in ("threefry2x32", "rbg"):
        key = jax.random.key(3, impl=kind)
        expected = jax.jit(lambda key: jax.random.normal(key, (4, 3)))(key)
        np.testing.assert_array_equal(jax.jit(lambda key: draws.normal(key, (4, 3)))(key), expected, kind)
        np.testing.assert_allclose(draws.normal(key, (4, 3)), expected, rtol=1e-6, err_msg=kind)
        closed_over = jax.jit(lambda key=key: draws.normal(key, (4, 3)) + 0)
        np.testing.assert_allclose(closed_over(), expected, rtol=1e-6, err_msg=kind)


def test_values_are_the_maximum_and_the_gradient_goes_to_its_place():
    x, axes = np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float32), (0, 1, -1, (0, 1), (0, 2), (0, 1, 2))

    @jax.jit
    def both(x, equal):
        pulled = [jax.vjp(lambda x, axis=axis: largest_of(x, axis), x) for axis in axes]
        pairs = [(value, back(value)[0]) for value, back in pulled]
        return pairs, jax.grad(lambda x: largest_of(x, 0).sum())(equal)

    pairs, of_equal = both(x, np.array([[1, 0], [3, 0], [3, 0]], np.float32))
    for axis, (value, gradient) in zip(axes, pairs, strict=True):
        np.testing.assert_array_equal(value, np.max(x, axis=axis), err_msg=str(axis))
        np.testing.assert_array_equal(gradient, np.where(x == np.max(x, axis=axis, keepdims=True), x, 0), str(axis))
    assert of_equal.tolist() == [[0.0, 1.0], [1.0, 0.0], [0.0, 0.0]]  # of equal entries, to the first


def test_the_gradient_of_a_layer_that_pools_by_the_maximum_divides_by_nothing():
    """By how many entries equal the maximum, for one: there may be none, made anew with other roundings."""

    gradients = lambda layer, xs: jax.grad(lambda xs: sum(jnp.sum(y) for y in layer(xs)))(xs)
    layer = jax.jit(lambda key: EquivariantLinear(RECURRENT, 1, 1, pooling="max", key=key))(jax.random.key(0))
    xs = jax.eval_shape(
        lambda w: lift(RECURRENT.leaves(w), features(RECURRENT)), random_weights(jax.random.key(0), RECURRENT)
    )
    traced = str(jax.make_jaxpr(gradients)(layer, xs))
    assert " argmax[" in traced
    assert " div " not in traced


CHANNELS = 4
RNG = np.random.default_rng(0)
apply = jax.jit(lambda norm, x: norm(x))
by_norm = pytest.mark.parametrize("name", NORMS)


def draw(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


def norm_of(name: str) -> Norm:
    """With gains and offsets as after some training."""
    return jax.tree.map(lambda x: jax.device_put(np.asarray(x) + draw(*x.shape)), Norm(name, CHANNELS))


@by_norm
def test_a_norm_is_its_formula_on_arrays_of_any_number_of_axes(name):
    norm = norm_of(name)
    gain, offset = np.asarray(norm.gain), 0 if norm.offset is None else np.asarray(norm.offset)
    for x in (3 * draw(*groups, CHANNELS) + 1 for groups in ((), (3,), (3, 5))):
        centered = x - x.mean(axis=-1, keepdims=True) if name == "layer" else x
        size = np.sqrt((centered**2).mean(axis=None if name == "array" else -1, keepdims=True) + 1e-5)
        np.testing.assert_allclose(apply(norm, x), gain * centered / size + offset, rtol=1e-4, atol=1e-5)
    assert {leaf.shape for leaf in jax.tree.leaves(norm)} == {(CHANNELS,)}


@by_norm
def test_a_norm_commutes_with_orders_of_neurons_and_the_root_mean_square_alone_with_signs(name):
    norm, x = norm_of(name), draw(3, 5, CHANNELS)
    still = np.asarray(apply(norm, x))
    moved = lambda y: y[[2, 0, 1]][:, [4, 2, 0, 1, 3]]
    np.testing.assert_allclose(apply(norm, moved(x)), moved(still), atol=1e-6)
    turned = lambda y: np.roll(y, 1, axis=-1)  # channels are no neurons
    assert np.abs(apply(norm, turned(x)) - turned(still)).max() > 1e-2
    signs = np.array([1, -1, -1], np.float32)[:, None, None]
    assert bool(np.abs(apply(norm, signs * x) - signs * still).max() < 1e-6) is (name == "rms")


@by_norm
def test_half_types_stay_and_do_not_overflow_and_zeros_are_finite_in_value_and_gradient(name):
    """And a network is normed by itself alone."""
    norm, x = norm_of(name), (300 * draw(3, CHANNELS)).astype(np.float16)  # its squares are beyond the type
    batch = draw(2, 3, CHANNELS)

    @jax.jit
    def found(x, *batches):
        of_zeros = jax.value_and_grad(lambda y: jnp.sum(norm(y) ** 2))(jnp.zeros((3, CHANNELS)))
        return norm(x), of_zeros, [jax.vmap(norm)(batch)[0] for batch in batches]

    half, of_zeros, (alone, beside) = found(x, batch, batch * np.array([1, 100], np.float32)[:, None, None])
    assert half.dtype == jnp.float16
    assert np.abs(half).max() > 0.1
    chex.assert_tree_all_finite((half, of_zeros))
    np.testing.assert_array_equal(alone, beside)


@pytest.mark.usefixtures("untyped")
def test_too_few_channels_are_refused():
    for name, fewest in (("layer", 2), ("rms", 1), ("array", 1)):
        message = rf"channels of the norm '{name}' is {fewest - 1}; it must be one integer in \[{fewest}, inf\)"
        with pytest.raises(ValueError, match=message):
            Norm(name, fewest - 1)
