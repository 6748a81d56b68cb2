"""Norms: what they compute, what they commute with, and what they keep finite."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wsjax.models.norms import NORMS, ArrayNorm, LayerNorm, RMSNorm

CHANNELS = 4


def norm_of(name: str, key):
    """With gains and offsets as after some training."""
    norm = NORMS[name](CHANNELS)
    drawn = lambda i, x: x + jax.random.normal(jax.random.fold_in(key, i), x.shape)
    leaves, shape = jax.tree.flatten(norm)
    return jax.tree.unflatten(shape, [drawn(i, x) for i, x in enumerate(leaves)])


def by_hand(name: str, norm, x: np.ndarray) -> np.ndarray:
    axes = None if name == "array" else -1
    centred = x - x.mean(axis=-1, keepdims=True) if name == "layer" else x
    size = np.sqrt((centred**2).mean(axis=axes, keepdims=True) + 1e-5)
    return np.asarray(norm.gain) * centred / size + np.asarray(getattr(norm, "offset", 0.0))


@pytest.mark.parametrize("name", NORMS)
@pytest.mark.parametrize("groups", [(), (3,), (3, 5)], ids=len)
def test_a_norm_is_its_formula(name, groups, getkey):
    norm, x = norm_of(name, getkey()), 3 * jax.random.normal(getkey(), (*groups, CHANNELS)) + 1
    np.testing.assert_allclose(norm(x), by_hand(name, norm, np.asarray(x)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NORMS)
def test_a_norm_commutes_with_orders_of_neurons_on_every_axis(name, getkey):
    norm, x = norm_of(name, getkey()), jax.random.normal(getkey(), (3, 5, CHANNELS))
    moved = lambda y: y[jnp.array([2, 0, 1])][:, jnp.array([4, 2, 0, 1, 3])]
    np.testing.assert_allclose(norm(moved(x)), moved(norm(x)), atol=1e-6)
    turned = lambda y: jnp.roll(y, 1, axis=-1)  # channels are no neurons
    assert np.abs(norm(turned(x)) - turned(norm(x))).max() > 1e-2


@pytest.mark.parametrize(("name", "commutes"), [("layer", False), ("rms", True), ("array", False)])
def test_the_root_mean_square_alone_commutes_with_signs(name, commutes, getkey):
    norm, x = norm_of(name, getkey()), jax.random.normal(getkey(), (3, 5, CHANNELS))
    signs = jnp.array([1.0, -1.0, -1.0])[:, None, None]
    assert bool(np.abs(norm(signs * x) - signs * norm(x)).max() < 1e-6) is commutes


@pytest.mark.parametrize("name", NORMS)
def test_a_network_is_normed_by_itself_alone(name, getkey):
    norm, batch = norm_of(name, getkey()), jax.random.normal(getkey(), (2, 3, CHANNELS))
    other = batch.at[1].multiply(100.0)
    np.testing.assert_array_equal(jax.vmap(norm)(batch)[0], jax.vmap(norm)(other)[0])
    assert {leaf.shape for leaf in jax.tree.leaves(eqx.filter(norm, eqx.is_array))} == {(CHANNELS,)}


@pytest.mark.parametrize("name", NORMS)
def test_half_types_stay_and_do_not_overflow(name, getkey):
    x = (300 * jax.random.normal(getkey(), (3, CHANNELS))).astype(jnp.float16)  # its squares are beyond the type
    found = norm_of(name, getkey())(x)
    assert found.dtype == jnp.float16
    assert float(jnp.abs(found).max()) > 0.1
    assert np.isfinite(found).all()


@pytest.mark.parametrize("name", NORMS)
def test_zeros_stay_finite_in_value_and_slope(name, getkey):
    norm = norm_of(name, getkey())
    value, slope = jax.value_and_grad(lambda x: jnp.sum(norm(x) ** 2))(jnp.zeros((3, CHANNELS)))
    assert np.isfinite(value)
    assert np.isfinite(slope).all()


@pytest.mark.usefixtures("untyped")
def test_too_few_channels_are_refused():
    with pytest.raises(ValueError, match=r"channels of a layer norm is 1; it must be one whole number in \[2, inf\]"):
        LayerNorm(1)
    for norm in (RMSNorm, ArrayNorm):
        with pytest.raises(ValueError, match=r"channels of a norm is 0; it must be one whole number in \[1, inf\]"):
            norm(0)
