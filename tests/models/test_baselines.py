"""Baselines: what each does with the arrays of a network."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from tests.models.readers import network, tiny
from wsjax.models.readers.rows import rows
from wsjax.models.readers.statistics_mlp import seven

KEY = jax.random.key(0)


def change(found: jax.Array, expected: jax.Array) -> float:
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def test_statistics_alone_are_invariant_to_orders_that_uncouple_the_arrays():
    first, last = network()
    uncoupled = (first, last._replace(kernel=np.roll(last.kernel, 1, axis=0)))
    for name, invariant in (("mlp", False), ("canonical mlp", False), ("statistics", True), ("rows", False)):
        features = eqx.filter_jit(tiny(name).features)
        assert (change(features(uncoupled), features(network())) < 1e-4) is invariant, name


def test_seven_numbers_of_an_array_are_numpys():
    x = np.random.default_rng(0).normal(size=23).astype(np.float32)
    expected = [x.mean(), x.var(), *np.quantile(x, [0, 0.25, 0.5, 0.75, 1])]
    np.testing.assert_allclose(jax.jit(seven)(x), expected, rtol=1e-4)
    np.testing.assert_allclose(jax.jit(seven)(np.ones(1, np.float32)), [1, 0, 1, 1, 1, 1, 1])


def test_rows_run_over_the_last_axis():
    assert rows(jnp.arange(6.0).reshape(2, 3)).tolist() == [[0, 1, 2], [3, 4, 5]]
    for shape, expected in (((), (1, 1)), ((3,), (1, 3)), ((3, 3, 2, 5), (18, 5))):
        assert jax.eval_shape(rows, jax.ShapeDtypeStruct(shape, jnp.float32)).shape == expected


def test_a_row_transformer_depends_on_places_and_arrays_by_its_embeddings_alone():
    """Without the embedding of places it is invariant to the order of rows that nothing couples."""
    reader = tiny("rows")
    first, last = network()
    turned = (first, last._replace(kernel=last.kernel[::-1]))
    features = eqx.filter_jit(lambda reader, w: reader.features(w))
    without = eqx.tree_at(lambda r: r.places, reader, np.zeros_like(reader.places))
    assert change(features(reader, turned), features(reader, network())) > 1e-3
    assert change(features(without, turned), features(without, network())) < 1e-4
