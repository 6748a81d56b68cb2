"""Baselines: what each is blind to; and what every probing reader and baseline has in common."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.models.cards import card
from tests.models.makers import READERS
from wsjax.models import trainable
from wsjax.models.rows import RowConfig, rows
from wsjax.models.statistics_mlp import StatisticsConfig, seven
from wsjax.networks import Network
from wsjax.symmetry import act, sample, sample_permutation, sample_signs

network = Network("siren", (2, 5, 4, 3), w0=(5.0,), family="nfn").init
"""Every entry is drawn, biases too: equal ones hide mistakes, and have no canonical order."""


def networks(key: jax.Array, count: int):
    return jax.jit(jax.vmap(network))(jax.random.split(key, count))


@pytest.fixture(params=list(READERS))
def reader(request, getkey):
    return READERS[request.param](card(), getkey())


def change(found: jax.Array, expected: jax.Array) -> float:
    return float(jnp.abs(found - expected).max() / jnp.abs(expected).max())


def test_features_and_head_are_the_reader_in_two_parts(reader, getkey):
    weights, key = network(getkey()), getkey()
    for settings in ({}, {"key": key, "rate": 0.3}):
        both = lambda w, s=settings: (reader(w, **s), reader.head(reader.features(w, **s), **s))
        whole, parts = jax.jit(both)(weights)
        assert (whole.shape, whole.dtype) == ((4,), jnp.float32)
        np.testing.assert_array_equal(whole, parts)
    assert reader.features(weights).ndim == 1


def test_dropout_needs_a_key(reader, getkey):
    weights = network(getkey())
    read = jax.jit(lambda rate: reader(weights, rate=rate))
    np.testing.assert_array_equal(read(0.5), read(0.0))
    drawn = jax.jit(lambda keys, rate: jax.vmap(lambda k: reader(weights, key=k, rate=rate))(keys))
    keys = jax.random.split(getkey(), 64)
    np.testing.assert_allclose(drawn(keys, 0.0)[0], read(0.0), atol=1e-6)
    assert float(drawn(keys, 0.5).std(axis=0).max()) > 1e-5


def test_slopes_reach_every_parameter_and_every_array_of_a_network(reader, getkey):
    stacked, mark = networks(getkey(), 16), jnp.arange(1.0, 5.0)
    parameters, rest = eqx.partition(reader, trainable(reader))

    @jax.jit
    def slopes(parameters, stacked):
        loss = lambda p, w: jnp.mean(jax.vmap(eqx.combine(p, rest))(w) * mark[None, :])
        return jax.grad(loss, argnums=(0, 1))(parameters, stacked)

    for tree in slopes(parameters, stacked):
        for path, slope in jax.tree_util.tree_leaves_with_path(tree):
            assert float(jnp.abs(slope).max()) > 0, jax.tree_util.keystr(path)


def test_half_precision_networks_are_read(reader, getkey):
    weights = network(getkey())
    half = jax.tree.map(lambda w: w.astype(jnp.bfloat16), weights)
    assert jax.jit(lambda w: reader(w))(half).dtype == jnp.float32


def test_a_batch_is_a_vmap(reader, getkey):
    stacked = networks(getkey(), 3)
    one = jax.tree.map(lambda w: w[1], stacked)
    np.testing.assert_allclose(
        jax.jit(lambda w: jax.vmap(reader)(w))(stacked)[1], jax.jit(lambda w: reader(w))(one), atol=1e-5
    )


@pytest.mark.parametrize(
    ("name", "permutations", "everything"),
    [
        ("mlp", False, False),
        ("canonical mlp", True, True),
        ("statistics", True, False),
        ("rows", False, False),
        ("rows with a token", False, False),
    ],
)
def test_a_baseline_is_invariant_to_what_it_says_and_to_no_more(name, permutations, everything, getkey):
    features = eqx.filter_jit(READERS[name](card(), getkey()).features)
    weights, symmetry = network(getkey()), card().symmetry
    still = features(weights)
    assert (change(features(act(sample_permutation(getkey(), symmetry), weights)), still) < 1e-4) is permutations
    assert (change(features(act(sample_signs(getkey(), symmetry), weights)), still) < 1e-4) is everything
    assert (change(features(act(sample(getkey(), symmetry), weights)), still) < 1e-3) is everything
    first, second, last = weights
    uncoupled = (first, second._replace(kernel=jnp.roll(second.kernel, 1, axis=0)), last)
    blind = name == "statistics"
    assert (change(features(uncoupled), still) < 1e-4) is blind


def test_seven_numbers_of_an_array_are_numpys(getkey):
    x = np.asarray(jax.random.normal(getkey(), (23,)))
    expected = [x.mean(), x.var(), *np.quantile(x, [0, 0.25, 0.5, 0.75, 1])]
    np.testing.assert_allclose(seven(jnp.asarray(x)), expected, rtol=1e-4)
    np.testing.assert_allclose(seven(jnp.ones(1)), [1, 0, 1, 1, 1, 1, 1])


def test_rows_run_over_the_last_axis(getkey):
    assert rows(jnp.arange(6.0).reshape(2, 3)).tolist() == [[0, 1, 2], [3, 4, 5]]
    shapes = [rows(jnp.zeros(shape)).shape for shape in ((), (3,), (3, 3, 2, 5))]
    assert shapes == [(1, 1), (1, 3), (18, 5)]


def test_a_row_transformer_tells_places_and_arrays_apart_by_its_embeddings_alone(getkey):
    """Without the embedding of places it is blind to the order of rows that nothing couples."""
    reader = READERS["rows"](card(), getkey())
    first, second, last = network(getkey())
    turned = (first, second._replace(kernel=second.kernel[::-1]), last)
    features = eqx.filter_jit(lambda reader, w: reader.features(w))
    blind = eqx.tree_at(lambda r: r.places, reader, 0 * reader.places)
    assert change(features(reader, turned), features(reader, (first, second, last))) > 1e-3
    assert change(features(blind, turned), features(blind, (first, second, last))) < 1e-4


def test_settings_are_checked(untyped):
    with pytest.raises(ValueError, match=r"width is 10; expected a multiple of heads, 4"):
        RowConfig(width=10)
    with pytest.raises(ValueError, match=r"unknown pool 'cls'; the valid ones are: mean, token"):
        RowConfig(pool="cls")
    with pytest.raises(ValueError, match=r"layers is 1.5; it must be one whole number in \[1, inf\]"):
        RowConfig(layers=1.5)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match=r"depth is 0; it must be one whole number in \[1, inf\]"):
        StatisticsConfig(depth=0)
