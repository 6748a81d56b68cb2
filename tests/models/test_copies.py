"""Averages over copies are what they say, and come nearer to blindness the more there are."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.models.cards import card
from tests.models.test_readers import SMALL, network
from wsjax.augment import network_from_spec
from wsjax.models import OverCopies, build
from wsjax.symmetry import act, sample_signs


def test_an_average_is_that_of_the_reader_on_moved_networks(getkey):
    reader, weights, key = build("dws", card(), SMALL["dws"], key=getkey()), network(getkey()), getkey()
    flips = network_from_spec("flip_signs", card().symmetry)
    by_hand = [reader(flips(k, weights)) for k in jax.random.split(key, 3)]
    found = OverCopies(reader, flips, 3, key=key)(weights)
    np.testing.assert_allclose(found, jnp.mean(jnp.stack(by_hand), axis=0), atol=1e-6)


def test_what_signs_change_is_averaged_away(getkey):
    """A reader that feels signs; the spread over flips of one network falls as the root of the number of copies."""
    spec, weights, key = card().symmetry, network(getkey()), getkey()
    reader = build("dws", card(), SMALL["dws"], key=getkey())
    flips = network_from_spec("flip_signs", spec)
    moved = jax.vmap(lambda k: act(sample_signs(k, spec), weights))(jax.random.split(getkey(), 32))

    def spread(copies: int) -> float:
        read = jax.jit(jax.vmap(OverCopies(reader, flips, copies, key=key)))
        return float(jnp.std(read(moved), axis=0).max())

    alone = float(jnp.std(jax.jit(jax.vmap(reader))(moved), axis=0).max())
    assert spread(1) > 0.2 * alone
    assert spread(64) < 0.4 * alone


def test_a_key_and_a_rate_reach_the_reader(getkey):
    reader = build("dws", card(), SMALL["dws"], key=getkey())
    many = OverCopies(reader, lambda key, weights: weights, 2, key=getkey())
    weights, key = network(getkey()), getkey()
    np.testing.assert_allclose(many(weights), reader(weights), atol=1e-6)
    assert (many(weights, key=key, rate=0.5) != many(weights)).any()


def test_no_copy_is_refused(getkey, untyped):
    with pytest.raises(ValueError, match=r"copies is 0; it must be one whole number in \[1, inf\]"):
        OverCopies(lambda w, **_: w, lambda key, w: w, 0, key=getkey())
