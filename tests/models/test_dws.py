"""The DWS network in all its settings: what it is invariant to and what not, and what its parts do."""

from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from tests.models.drawn import drawn
from tests.models.refusals import check_refusals
from tests.models.specs import CONVOLUTION, RECURRENT, SKIP, SPECS, random_weights
from wsjax.models import DWS, Normalizer
from wsjax.models.layers.attention import EquivariantAttention, SetAttention
from wsjax.models.layers.feature_layout import features, lift, unlift
from wsjax.models.testing import check_equivariant, check_gradients, check_invariant, check_sensitive
from wsjax.symmetry import Symmetry, siren

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


def plain(symmetry: Symmetry, scale: float = 1.0) -> Normalizer:
    return Normalizer([0.0] * len(symmetry.axes), [scale] * len(symmetry.axes))


def dws(name: str, symmetry: Symmetry = CHAIN) -> DWS:
    settings = {"channels": 2, "layers": 2, "head": 8, **SETTINGS[name]}
    return drawn(lambda key: DWS(symmetry, 3, **settings, normalizer=plain(symmetry), key=key))


@pytest.mark.parametrize("name", ["sum", "max", "attention", "published"])  # test_readers.py has the linear one
def test_it_is_invariant_to_the_symmetry_and_to_nothing_else_and_learns(name):
    reader = dws(name)
    assert check_invariant(reader, CHAIN, key=KEY) < 1e-10
    assert check_sensitive(reader, CHAIN, key=KEY) > 1e-8
    if name in ("sum", "published"):  # the latter has the maximum and attention
        assert check_gradients(reader, CHAIN, fraction=0, key=KEY) > 0


@pytest.mark.parametrize(
    ("name", "symmetry"),
    [("linear", CONVOLUTION), ("published", CONVOLUTION), ("published", RECURRENT), ("published", SKIP)],
    ids=["convolution", "published convolution", "recurrent", "skip"],
)
def test_it_reads_every_architecture(name, symmetry):
    assert check_invariant(dws(name, symmetry), symmetry, key=KEY) < 1e-10


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
    read = jax.jit(lambda block, x: block(x))
    np.testing.assert_allclose(read(block, x), expected, rtol=1e-4, atol=1e-4)
    # What a neuron becomes depends on the others by more than their average: two moved apart do not leave it as it is.
    apart = x + np.array([[0], [2], [-2], [0], [0]], np.float32)
    assert np.abs(read(block, apart)[0] - read(block, x)[0]).max() > 1e-2


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


@pytest.mark.usefixtures("untyped")
def test_settings_that_cannot_be_are_refused():
    make = partial(DWS, CHAIN, 3, key=KEY)
    check_refusals(
        (make, {"channels": 3, "maps": "attention"}, r"channels is 3 and heads is 4; .* heads that divide"),
        (make, {"channels": 0}, r"channels is 0; it must be one integer in \[1, inf\]"),
        (make, {"layers": 2.5}, r"layers is 2\.5; it must be one integer in \[1, inf\]"),
        (make, {"maps": "atention"}, r"unknown maps 'atention'; the valid ones are: linear, attention"),
        (make, {"pooling": "average"}, r"unknown pooling 'average'; the valid ones are: mean, sum, max"),
    )
    with pytest.raises(ValueError, match=r"heads is 3; it must divide the 8 channels that attention gives"):
        SetAttention(lambda key: jnp.ones((3, 8)), heads=3, key=KEY)
