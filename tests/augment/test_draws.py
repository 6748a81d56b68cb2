"""What is dropped is dropped at its rate, and what is normal is normal."""

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from wsjax.augment.draws import dropped, for_each, normals

KEYS = jax.random.split(jax.random.key(0), 6000)


def test_every_entry_is_dropped_at_exactly_the_rate():
    draws = jax.jit(jax.vmap(lambda key, rate: dropped(key, (6,), rate), (0, None)))
    for rate in (0.001, 0.1, 0.5, 0.997):
        found = np.asarray(draws(KEYS, rate))
        error = np.sqrt(rate * (1 - rate) / len(KEYS))
        np.testing.assert_allclose(found.mean(axis=0), rate, atol=4.5 * error)
        together = np.corrcoef(found.T.astype(float))[~np.eye(6, dtype=bool)]
        assert np.abs(together).max() < 0.08


def test_normals_are_normal_and_independent():
    found = np.asarray(jax.jit(jax.vmap(lambda k: normals(k, (7,))))(KEYS))
    assert stats.kstest(found.ravel(), "norm").pvalue > 1e-4
    together = np.corrcoef(np.concatenate([found, found**2], axis=1).T)[~np.tile(np.eye(7, dtype=bool), (2, 2))]
    assert np.abs(together).max() < 0.06  # 4.5 standard errors


def test_each_array_has_its_own_part_of_one_draw():
    arrays = [jnp.zeros((2, 3)), jnp.zeros(()), jnp.zeros(4)]
    draws = (
        lambda shape, start=0: normals(KEYS[0], shape, start),
        lambda shape, start=0: dropped(KEYS[0], shape, 0.5, start),
    )
    for whole, parts in jax.jit(lambda: [(draw((11,)), for_each(draw, arrays)) for draw in draws])():
        assert [part.shape for part in parts] == [(2, 3), (), (4,)]
        np.testing.assert_array_equal(np.concatenate([np.reshape(part, -1) for part in parts]), whole)
