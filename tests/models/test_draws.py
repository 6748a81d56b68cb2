"""Initial values are those of `jax.random`, whatever length they are drawn at."""

import jax
import numpy as np

from wsjax.models import draws


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


def test_a_key_of_the_old_kind_draws_the_same():
    old = draws.normal(jax.random.PRNGKey(3), (4, 3))
    np.testing.assert_array_equal(old, draws.normal(jax.random.key(3), (4, 3)))
