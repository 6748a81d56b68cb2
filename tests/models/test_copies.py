"""Averages over copies are what they say, and come nearer to an invariance the more there are."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.models.readers import TINY, network, tiny
from wsjax.augment import network_from_spec
from wsjax.models import OverCopies
from wsjax.symmetry import act, sample_signs

KEY = jax.random.key(3)
SYMMETRY = TINY.symmetry


def test_an_average_is_that_of_the_reader_on_moved_networks_and_signs_are_averaged_away():
    """The spread over flips of one network falls as the root of the number of copies."""
    reader, flips = tiny("dws"), network_from_spec("flip_signs", SYMMETRY)

    @jax.jit
    def outputs(weights):
        """Of 32 flipped networks, alone and over a few and many copies."""
        keys = jax.random.split(jax.random.key(4), 32)
        moved = jax.vmap(lambda k: act(sample_signs(k, SYMMETRY), weights))(keys)
        by_hand = jax.vmap(lambda k: reader(flips(k, weights)))(jax.random.split(KEY, 3)).mean(axis=0)
        over = [jax.vmap(OverCopies(reader, flips, n, key=KEY))(moved) for n in (1, 64)]
        return by_hand, OverCopies(reader, flips, 3, key=KEY)(weights), jax.vmap(reader)(moved), *over

    by_hand, average, *found = outputs(network())
    np.testing.assert_allclose(average, by_hand, atol=1e-6)
    alone, one, many = (float(np.std(x, axis=0).max()) for x in found)
    assert one > 0.2 * alone
    assert many < 0.4 * alone


def test_a_key_and_a_rate_reach_the_reader():
    """The reader is a stand-in: it gives what it got."""
    reader = lambda weights, *, key=None, rate=0.0: jnp.ones(2) if key is None else rate * jax.random.normal(key, (2,))
    many = OverCopies(reader, lambda key, weights: weights, 2, key=KEY)
    read = jax.jit(lambda weights, **settings: many(weights, **settings))
    np.testing.assert_array_equal(read(network()), np.ones(2))
    drawn = [read(network(), key=key, rate=0.5) for key in jax.random.split(KEY)]
    assert (drawn[0] != drawn[1]).all()
    assert not np.any(read(network(), key=KEY, rate=0.0))


def test_no_copy_is_refused(untyped):
    with pytest.raises(ValueError, match=r"copies is 0; it must be one whole number in \[1, inf\]"):
        OverCopies(lambda w, **_: w, lambda key, w: w, 0, key=KEY)
