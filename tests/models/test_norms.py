"""Norms: what they compute, what they commute with, and what they keep finite."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wsjax.models.norms import NORMS, ArrayNorm, LayerNorm, RMSNorm

CHANNELS = 4
RNG = np.random.default_rng(0)
apply = jax.jit(lambda norm, x: norm(x))


def norm_of(name: str):
    """With gains and offsets as after some training."""
    moved = lambda x: jax.device_put(np.asarray(x) + draw(*x.shape))
    return jax.tree.map(moved, NORMS[name](CHANNELS))


def draw(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


def by_hand(name: str, norm, x: np.ndarray) -> np.ndarray:
    axes = None if name == "array" else -1
    centred = x - x.mean(axis=-1, keepdims=True) if name == "layer" else x
    size = np.sqrt((centred**2).mean(axis=axes, keepdims=True) + 1e-5)
    return np.asarray(norm.gain) * centred / size + np.asarray(getattr(norm, "offset", 0.0))


@pytest.mark.parametrize("name", NORMS)
def test_a_norm_is_its_formula_on_arrays_of_any_number_of_axes(name):
    norm = norm_of(name)
    for x in (3 * draw(*groups, CHANNELS) + 1 for groups in ((), (3,), (3, 5))):
        np.testing.assert_allclose(apply(norm, x), by_hand(name, norm, x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NORMS)
def test_a_norm_commutes_with_orders_of_neurons_and_the_root_mean_square_alone_with_signs(name):
    norm, x = norm_of(name), draw(3, 5, CHANNELS)
    still = np.asarray(apply(norm, x))
    moved = lambda y: y[[2, 0, 1]][:, [4, 2, 0, 1, 3]]
    np.testing.assert_allclose(apply(norm, moved(x)), moved(still), atol=1e-6)
    turned = lambda y: np.roll(y, 1, axis=-1)  # channels are no neurons
    assert np.abs(apply(norm, turned(x)) - turned(still)).max() > 1e-2
    signs = np.array([1, -1, -1], np.float32)[:, None, None]
    assert bool(np.abs(apply(norm, signs * x) - signs * still).max() < 1e-6) is (name == "rms")


@pytest.mark.parametrize("name", NORMS)
def test_a_network_is_normed_by_itself_alone(name):
    norm, batch = norm_of(name), draw(2, 3, CHANNELS)
    other = batch * np.array([1, 100], np.float32)[:, None, None]
    alone = jax.jit(jax.vmap(norm))
    np.testing.assert_array_equal(alone(batch)[0], alone(other)[0])
    assert {leaf.shape for leaf in jax.tree.leaves(eqx.filter(norm, eqx.is_array))} == {(CHANNELS,)}


@pytest.mark.parametrize("name", NORMS)
def test_half_types_stay_and_do_not_overflow_and_zeros_are_finite_in_value_and_slope(name):
    norm, x = norm_of(name), (300 * draw(3, CHANNELS)).astype(np.float16)  # its squares are beyond the type

    @jax.jit
    def found(x):
        return norm(x), jax.value_and_grad(lambda y: jnp.sum(norm(y) ** 2))(jnp.zeros((3, CHANNELS)))

    half, of_zeros = found(x)
    assert half.dtype == jnp.float16
    assert np.abs(half).max() > 0.1
    assert np.isfinite(half).all()
    assert all(np.isfinite(leaf).all() for leaf in of_zeros)


@pytest.mark.usefixtures("untyped")
def test_too_few_channels_are_refused():
    with pytest.raises(ValueError, match=r"channels of a layer norm is 1; it must be one whole number in \[2, inf\]"):
        LayerNorm(1)
    for norm in (RMSNorm, ArrayNorm):
        with pytest.raises(ValueError, match=r"channels of a norm is 0; it must be one whole number in \[1, inf\]"):
            norm(0)
