"""The DWS network in all its settings: what it is invariant to, what it feels, and what its parts do."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.models.specs import CONVOLUTION, RECURRENT, SKIP, SPECS, double, random_weights
from wsjax.models import DWS, DWSConfig, Normaliser, features, trainable
from wsjax.models.attention import EquivariantAttention, SetAttention
from wsjax.models.pieces import lift, unlift
from wsjax.symmetry import Symmetry, act, sample_permutation, siren

SETTINGS = {
    "linear": {},
    "relu": {"activation": "relu"},
    "sum": {"pooling": "sum"},
    "max": {"pooling": "max"},
    "attention": {"maps": "attention", "heads": 2},
    "published": {"maps": "attention", "heads": 2, "pooling": "max", "activation": "relu"},
}
CHAIN = siren((2, 5, 4, 3))
read = eqx.filter_jit(lambda reader, weights, **settings: reader(weights, **settings))


def plain(symmetry: Symmetry) -> Normaliser:
    return Normaliser(*(tuple(jnp.float32(v) for _ in symmetry.axes) for v in (0.0, 1.0)))


def dws(name: str, key, symmetry: Symmetry = CHAIN) -> DWS:
    return DWS(symmetry, plain(symmetry), 3, DWSConfig(channels=2, layers=2, head=8, **SETTINGS[name]), key=key)


@pytest.mark.parametrize("name", SETTINGS)
def test_it_is_invariant_to_the_symmetry_and_to_no_other_permutation(name, getkey):
    with jax.enable_x64(True):
        reader, weights = double(dws(name, getkey())), random_weights(getkey(), CHAIN)
        still = read(reader, weights)
        moved = read(reader, act(double(sample_permutation(getkey(), CHAIN)), weights))
        assert moved.dtype == jnp.float64
        np.testing.assert_allclose(moved, still, atol=1e-10)
        one, two, three = weights
        others = {
            "a hidden kernel's inputs alone": (one, two._replace(kernel=jnp.roll(two.kernel, 1, axis=0)), three),
            "the inputs": (one._replace(kernel=jnp.flip(one.kernel, axis=0)), two, three),
            "the outputs": (one, two, jax.tree.map(lambda x: jnp.roll(x, 1, axis=-1), three)),
        }
        for what, other in others.items():
            assert np.abs(read(reader, other) - still).max() > 1e-5, what


@pytest.mark.parametrize("symmetry", [CONVOLUTION, RECURRENT, SKIP], ids=["convolution", "recurrent", "skip"])
@pytest.mark.parametrize("name", ["linear", "published"])
def test_it_reads_every_architecture(name, symmetry, getkey):
    with jax.enable_x64(True):
        reader, weights = double(dws(name, getkey(), symmetry)), random_weights(getkey(), symmetry)
        moved = act(double(sample_permutation(getkey(), symmetry)), weights)
        np.testing.assert_allclose(read(reader, moved), read(reader, weights), atol=1e-10)


@pytest.mark.parametrize("name", SETTINGS)
def test_every_parameter_has_a_gradient(name, getkey):
    reader = dws(name, getkey())
    batch = jax.vmap(lambda key: random_weights(key, CHAIN))(jax.random.split(getkey(), 16))

    @eqx.filter_jit
    def slopes(reader):
        return eqx.filter_grad(lambda r: jnp.sum(jax.vmap(r)(batch) * jnp.arange(1.0, 4.0)[None, :]))(reader)

    found = eqx.filter(slopes(reader), trainable(reader))
    dead = [
        jax.tree_util.keystr(p) for p, g in jax.tree_util.tree_leaves_with_path(found) if float(abs(g).max()) < 1e-6
    ]
    assert not dead


def test_features_and_head_are_its_two_halves(getkey):
    reader, weights, key = dws("linear", getkey()), random_weights(getkey(), CHAIN), getkey()
    halves = eqx.filter_jit(lambda r, w, **s: r.head(r.features(w, **s), **s))
    for settings in ({}, {"key": key, "rate": 0.5}):
        np.testing.assert_allclose(halves(reader, weights, **settings), read(reader, weights, **settings), atol=1e-6)
    assert np.abs(read(reader, weights) - read(reader, weights, key=key, rate=0.5)).max() > 1e-4


def test_a_sum_starts_as_the_average(getkey):
    key, weights = getkey(), random_weights(getkey(), CHAIN)
    one = DWSConfig(channels=2, layers=1)
    mean, total = (
        DWS(CHAIN, plain(CHAIN), 3, config, key=key) for config in (one, DWSConfig(channels=2, layers=1, pooling="sum"))
    )
    np.testing.assert_allclose(read(total, weights), read(mean, weights), atol=1e-5)


def test_attention_is_the_formula(getkey):
    draw = lambda key: jax.random.normal(key, (3, 8))
    block = SetAttention(draw, heads=2, key=getkey())
    block = jax.tree.map(lambda x: x + 0.1, block)  # biases too
    x = np.asarray(jax.random.normal(getkey(), (5, 3)))
    parts = {name: np.asarray(array) for name, array in vars(block).items() if eqx.is_array(array)}
    queries, keys, values = x @ parts["query"] + parts["query_bias"], x @ parts["keys"], x @ parts["value"]
    heads = []
    for part in (slice(0, 4), slice(4, 8)):
        scores = np.exp(queries[:, part] @ keys[:, part].T / 2)
        heads.append(queries[:, part] + scores / scores.sum(axis=1, keepdims=True) @ values[:, part])
    mixed = np.concatenate(heads, axis=1)
    expected = mixed + np.maximum(mixed @ parts["out"] + parts["out_bias"], 0)
    np.testing.assert_allclose(block(jnp.asarray(x)), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["three layers", "recurrent", "nested"])
def test_an_attention_layer_is_equivariant(name, getkey):
    symmetry = SPECS[name]
    layer = EquivariantAttention(symmetry, 1, 1, heads=1, pooling="max", key=getkey())
    assert sum(isinstance(k, SetAttention) for k in layer.kernels) == len(symmetry.groups)
    spec = features(symmetry)
    with jax.enable_x64(True):
        layer = double(layer)
        through = lambda w: symmetry.unflatten(unlift(layer(lift(symmetry.leaves(w), spec)), spec, symmetry))
        apply = jax.jit(through)
        weights, element = random_weights(getkey(), symmetry), double(sample_permutation(getkey(), symmetry))
        pairs = zip(*map(jax.tree.leaves, (apply(act(element, weights)), act(element, apply(weights)))), strict=True)
        for before, after in pairs:
            np.testing.assert_allclose(before, after, atol=1e-10)


def test_attention_tells_neurons_apart_by_the_whole_set(getkey):
    """What a neuron becomes depends on the others by more than their average: two moved apart leave it as it is."""
    block = SetAttention(lambda key: jax.random.normal(key, (3, 4)), heads=2, key=getkey())
    x = jax.random.normal(getkey(), (5, 3))
    apart = x.at[1].add(2.0).at[2].add(-2.0)
    assert float(jnp.abs(block(apart)[0] - block(x)[0]).max()) > 1e-2


@pytest.mark.parametrize("source", [0, 1, 2, 3])
def test_attention_into_the_last_kernel_reaches_the_output_axis(source, getkey):
    layer = EquivariantAttention(CHAIN, 1, 1, heads=1, key=getkey())
    spec = features(CHAIN)
    zeros = [jnp.zeros_like(x) for x in lift(CHAIN.leaves(random_weights(getkey(), CHAIN)), spec)]
    ones = [jnp.ones_like(x) if i == source else x for i, x in enumerate(zeros)]
    assert float(jnp.ptp(layer(ones)[4] - layer(zeros)[4], axis=1).min()) > 1e-3


@pytest.mark.usefixtures("untyped")
def test_settings_that_cannot_be_are_refused(getkey):
    with pytest.raises(ValueError, match=r"channels is 3 and heads is 4; attention expects heads that divide"):
        DWSConfig(channels=3, maps="attention")
    with pytest.raises(ValueError, match=r"unknown maps 'atention'; the valid ones are: linear, attention"):
        DWSConfig(maps="atention")
    with pytest.raises(ValueError, match=r"unknown pooling 'average'; the valid ones are: mean, sum, max"):
        DWSConfig(pooling="average")
    with pytest.raises(ValueError, match=r"heads is 3; it must divide the 8 channels that attention gives"):
        SetAttention(lambda key: jax.random.normal(key, (3, 8)), heads=3, key=getkey())
