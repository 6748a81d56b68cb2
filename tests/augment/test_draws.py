"""What is dropped is dropped at its rate, and what is normal is normal."""

import jax
import numpy as np
import pytest
from scipy import stats

from wsjax.augment.draws import dropped, normals

KEYS = jax.random.split(jax.random.key(0), 6000)


@pytest.mark.parametrize("rate", [0.001, 0.1, 0.5, 0.997])
def test_every_entry_is_dropped_at_exactly_the_rate(rate: float):
    found = np.asarray(jax.jit(jax.vmap(lambda k: dropped(k, 6, rate)))(KEYS))
    error = np.sqrt(rate * (1 - rate) / len(KEYS))
    np.testing.assert_allclose(found.mean(axis=0), rate, atol=4.5 * error)
    together = np.corrcoef(found.T.astype(float))[~np.eye(6, dtype=bool)]
    assert np.abs(together).max() < 0.08


def test_normals_are_normal_and_the_two_of_a_word_are_independent():
    found = np.asarray(jax.jit(jax.vmap(lambda k: normals(k, 7)))(KEYS))
    assert stats.kstest(found.ravel(), "norm").pvalue > 1e-4
    together = np.corrcoef(np.concatenate([found, found**2], axis=1).T)[~np.eye(14, dtype=bool)]
    assert np.abs(together).max() < 0.06  # 4.5 standard errors
    radius = np.hypot(found[:, 0], found[:, 4])  # entries of one word
    assert stats.kstest(radius, "rayleigh").pvalue > 1e-4
