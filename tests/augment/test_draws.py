"""What is dropped is dropped at its rate."""

import jax
import numpy as np
import pytest

from wsjax.augment.draws import dropped

KEYS = jax.random.split(jax.random.key(0), 6000)


@pytest.mark.parametrize("rate", [0.001, 0.1, 0.5, 0.997])
def test_every_entry_is_dropped_at_exactly_the_rate(rate: float):
    found = np.asarray(jax.jit(jax.vmap(lambda k: dropped(k, 6, rate)))(KEYS))
    error = np.sqrt(rate * (1 - rate) / len(KEYS))
    np.testing.assert_allclose(found.mean(axis=0), rate, atol=4.5 * error)
    together = np.corrcoef(found.T.astype(float))[~np.eye(6, dtype=bool)]
    assert np.abs(together).max() < 0.08
