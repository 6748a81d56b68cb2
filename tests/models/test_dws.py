"""The DWS network in all its settings: what it is invariant to and what not, and what its parts do."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from tests.models.helpers import check_laws, drawn, plain, toy
from tests.models.specs import CONVOLUTION, RECURRENT, SKIP, SPECS, random_weights
from wsjax.models import DWS
from wsjax.models.layers.attention import EquivariantAttention, SetAttention
from wsjax.models.layers.feature_layout import features, lift, unlift
from wsjax.models.testing import check_equivariant
from wsjax.symmetry import siren

pytestmark = pytest.mark.usefixtures("untyped")

SETTINGS: dict[str, dict[str, Any]] = {
    "linear": {},
    "sum": {"pooling": "sum", "activation": "relu"},
    "max": {"pooling": "max"},
    "attention": {"maps": "attention", "heads": 2},
    "published": {"maps": "attention", "heads": 2, "pooling": "max", "activation": "relu"},
}
CHAIN = siren((2, 5, 4, 3))
KEY = jax.random.key(5)
dws = toy(DWS, channels=2, layers=2, head=8)


@pytest.mark.parametrize(
    ("name", "symmetry"),
    [
        *[(name, CHAIN) for name in ("sum", "max", "attention", "published")],  # test_readers.py has the linear one
        *[("linear", CONVOLUTION), ("published", CONVOLUTION), ("published", RECURRENT), ("published", SKIP)],
    ],
)
def test_it_is_invariant_to_the_symmetry_and_to_nothing_else_and_learns(name, symmetry):
    """Other architectures are held to their invariance alone; "published" has the maximum and attention."""
    learns = 0 if symmetry is CHAIN and name in ("sum", "published") else None
    check_laws(dws(symmetry, **SETTINGS[name]), symmetry, sensitive=symmetry is CHAIN, fraction=learns, key=KEY)


def test_a_sum_is_initialized_as_the_average():
    weights = random_weights(KEY, CHAIN)

    def outputs(weights, key):
        made = lambda pooling: DWS(CHAIN, 3, channels=2, layers=1, pooling=pooling, normalizer=plain(CHAIN), key=key)
        return [made(pooling)(weights) for pooling in ("mean", "sum")]

    mean, total = jax.jit(outputs)(weights, KEY)
    np.testing.assert_allclose(total, mean, atol=1e-5)


def test_attention_is_the_formula():
    block = drawn(lambda key: SetAttention(lambda key: jnp.ones((3, 8)), heads=2, key=key))
    x = np.random.default_rng(1).normal(size=(5, 3)).astype(np.float32)
    parts = {name: np.asarray(array) for name, array in vars(block).items() if eqx.is_array(array)}
    queries, keys, values = x @ parts["query"] + parts["query_bias"], x @ parts["keys"], x @ parts["value"]
    heads = []
    for part in (slice(0, 4), slice(4, 8)):
        scores = np.exp(queries[:, part] @ keys[:, part].T / 2)
        heads.append(queries[:, part] + scores / scores.sum(axis=1, keepdims=True) @ values[:, part])
    mixed = np.concatenate(heads, axis=1)
    expected = mixed + np.maximum(mixed @ parts["out"] + parts["out_bias"], 0)
    np.testing.assert_allclose(jax.jit(lambda x: block(x))(x), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["three layers", "recurrent", "nested"])
def test_an_attention_layer_is_equivariant(name):
    symmetry = SPECS[name]
    spec = features(symmetry)
    made = lambda key: EquivariantAttention(symmetry, 1, 1, heads=1, pooling="max", key=key)
    layer = drawn(made)
    assert sum(isinstance(k, SetAttention) for k in layer.kernels) == len(symmetry.groups)
    through = lambda layer, w: symmetry.unflatten(unlift(layer(lift(symmetry.leaves(w), spec)), spec, symmetry))
    assert check_equivariant(Partial(through, layer), symmetry, key=KEY) < 1e-10


def test_attention_into_the_last_kernel_reaches_the_output_axis():
    """From each of the arrays alone."""
    layer = drawn(lambda key: EquivariantAttention(CHAIN, 1, 1, heads=1, key=key))
    sizes = [(*f.sizes, f.fixed) for f in features(CHAIN)]

    @jax.jit
    def last_kernels(which):
        """The last kernel where one array is of ones, for each row of `which`."""
        given = lambda row: [row[i] * jnp.ones(size) for i, size in enumerate(sizes)]
        return jax.vmap(lambda row: layer(given(row))[4])(which)

    which = np.eye(5, len(sizes), -1, np.float32)  # none, then each of the first four
    nothing, *found = np.asarray(last_kernels(which))
    for kernel in found:
        assert np.ptp(kernel - nothing, axis=1).min() > 1e-3
