"""The fast draws have the distributions that they stand for."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np

from wsjax.symmetry import draws

KEYS = jax.random.split(jax.random.key(0), 6000)


def test_every_order_is_equally_likely_and_groups_are_independent():
    first, second = (np.asarray(p) for p in jax.jit(jax.vmap(lambda k: draws.permutations(k, (3, 3))))(KEYS))
    orders = {order: i for i, order in enumerate(itertools.permutations(range(3)))}
    pairs = [(orders[tuple(a)], orders[tuple(b)]) for a, b in zip(first.tolist(), second.tolist(), strict=True)]
    counts = np.zeros((6, 6))
    np.add.at(counts, tuple(np.transpose(pairs)), 1)
    expected = len(KEYS) / 36
    assert float(np.square(counts - expected).sum() / expected) < 70  # chi-square of 35 degrees: 1 of 2,000 above


def test_words_that_tie_still_give_a_permutation_and_large_groups_too():
    assert draws._ranks(jnp.array([7, 3, 7, 3], jnp.uint32)).tolist() == [2, 0, 3, 1]
    large = draws.permutations(jax.random.key(0), [draws.LARGEST_COUNTED + 1])[0]
    assert sorted(large.tolist()) == list(range(draws.LARGEST_COUNTED + 1))
    assert draws.permutations(jax.random.key(0), []) == []


def test_integers_are_uniform_and_symmetric():
    draw = jax.jit(jax.vmap(lambda k, bound: draws.uniform_integers(k, 4, bound), (0, None)))
    found = np.asarray(draw(KEYS, 2.0)).reshape(-1)
    counts = np.bincount(found + 2, minlength=5)
    assert len(counts) == 5
    np.testing.assert_allclose(counts / len(found), 0.2, atol=0.01)
    assert (np.asarray(draw(KEYS, 0.0)) == 0).all()


def test_words_have_fair_and_independent_bits_whatever_the_generator():
    found = np.asarray(jax.jit(jax.vmap(lambda k: draws.words(k, (3,))))(KEYS))
    bits = np.unpackbits(found.view(np.uint8), axis=1).astype(float)
    error = 0.5 / np.sqrt(len(KEYS))
    assert np.abs(bits.mean(axis=0) - 0.5).max() < 5 * error
    together = np.corrcoef(bits.T)[~np.eye(96, dtype=bool)]
    assert np.abs(together).max() < 5.5 / np.sqrt(len(KEYS))
    philox = jax.random.key(0, impl="rbg")
    assert draws.words(philox, (3,)).tolist() != draws.words(philox, (3,), start=3).tolist()


def test_words_are_those_of_jax():
    expected = np.asarray(jax.random.bits(KEYS[1], (35,)))
    whole, part = jax.jit(lambda key: (draws.words(key, (5, 7)), draws.words(key, (3, 2), start=29)))(KEYS[1])
    np.testing.assert_array_equal(np.reshape(whole, -1), expected)
    np.testing.assert_array_equal(np.reshape(part, -1), expected[29:])
