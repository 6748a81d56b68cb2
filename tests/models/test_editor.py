"""The editor: it commutes with reordering, starts near the identity, and learns simple edits."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tests.models.specs import CONVOLUTION, RECURRENT, SKIP, double, random_weights
from tests.models.test_dws import SETTINGS, plain
from wsjax.models import DWSConfig, ScaleEditor, trainable
from wsjax.models.editor import Editor
from wsjax.symmetry import Axes, Fixed, Group, Symmetry, act, sample_permutation, siren, symmetry_of

CHAIN = siren((2, 4, 3, 2))
edit = eqx.filter_jit(lambda editor, weights, **settings: editor(weights, **settings))


def editor_of(symmetry: Symmetry, key, **settings) -> Editor:
    return Editor(symmetry, plain(symmetry), DWSConfig(channels=2, layers=2, **settings), key=key)


@pytest.mark.parametrize(
    ("symmetry", "name"),
    [(CHAIN, "linear"), (CHAIN, "published"), (CONVOLUTION, "linear"), (RECURRENT, "sum"), (SKIP, "attention")],
    ids=["linear", "published", "convolution", "recurrent", "skip"],
)
def test_it_commutes_with_every_permutation(symmetry, name, getkey):
    with jax.enable_x64(True):
        editor = double(editor_of(symmetry, getkey(), **SETTINGS[name]))
        editor = eqx.tree_at(lambda e: e.scale, editor, jnp.asarray(1.0))  # as after much training
        weights, element = random_weights(getkey(), symmetry), double(sample_permutation(getkey(), symmetry))
        before, after = edit(editor, act(element, weights)), act(element, edit(editor, weights))
        for a, b, w in zip(*map(jax.tree.leaves, (before, after, weights)), strict=True):
            assert a.dtype == jnp.float64
            np.testing.assert_allclose(a, b, atol=1e-10)
            assert np.abs(a - w).max() > 1e-3


def test_it_starts_near_the_identity_and_moves_in_units_of_an_arrays_deviation(getkey):
    weights, editor = random_weights(getkey(), CHAIN), editor_of(CHAIN, getkey())
    small = eqx.tree_at(lambda e: e.scale, editor, editor.scale / 2)
    for w, whole, half in zip(
        *map(jax.tree.leaves, (weights, edit(editor, weights), edit(small, weights))), strict=True
    ):
        assert 0 < np.abs(whole - w).max() < 0.1
        np.testing.assert_allclose(whole - w, 2 * (half - w), atol=1e-6)
    wide = eqx.tree_at(lambda e: e.normaliser.scale, editor, tuple(3 * s for s in editor.normaliser.scale))
    tripled = jax.tree.map(lambda w: 3 * w, weights)
    for a, b in zip(*map(jax.tree.leaves, (edit(wide, tripled), edit(editor, weights))), strict=True):
        np.testing.assert_allclose(a, 3 * b, rtol=1e-4, atol=1e-5)


def test_dtypes_stay_and_whole_numbers_pass(getkey):
    symmetry = symmetry_of(
        {"kernel": Axes("in", "h"), "seen": Axes("h"), "last": Axes("h*", "out")},
        {"in": Fixed(2, "input"), "h": Group(3, "tanh"), "out": Fixed(1, "output")},
    )
    weights = random_weights(getkey(), symmetry)
    weights = {**weights, "seen": jnp.arange(3), "last": weights["last"].astype(jnp.bfloat16)}
    edited = edit(editor_of(symmetry, getkey()), weights)
    assert {name: x.dtype for name, x in edited.items()} == {name: x.dtype for name, x in weights.items()}
    np.testing.assert_array_equal(edited["seen"], weights["seen"])
    assert float(jnp.abs(edited["kernel"] - weights["kernel"]).max()) > 0


def test_dropout_needs_a_key(getkey):
    editor, weights = editor_of(CHAIN, getkey()), random_weights(getkey(), CHAIN)
    still = jax.tree.leaves(edit(editor, weights))
    for settings, same in (({"rate": 0.5}, True), ({"key": getkey(), "rate": 0.5}, False)):
        found = jax.tree.leaves(edit(editor, weights, **settings))
        assert all(np.array_equal(a, b) for a, b in zip(found, still, strict=True)) == same


def losses(editor: Editor | ScaleEditor, inputs, targets, steps: int) -> list[float]:
    """The mean squared error before and after some steps of Adam."""
    parameters, rest = eqx.partition(editor, trainable(editor))
    rule = optax.adam(0.03)

    def loss(parameters):
        made = jax.vmap(eqx.combine(parameters, rest))(inputs)
        return sum(jnp.mean((a - b) ** 2) for a, b in zip(*map(jax.tree.leaves, (made, targets)), strict=True))

    def step(state, _):
        value, slope = jax.value_and_grad(loss)(state[0])
        with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
            update, moments = rule.update(slope, state[1])
            return (optax.apply_updates(state[0], update), moments), value

    trained, values = jax.jit(lambda s: jax.lax.scan(step, s, None, length=steps))((parameters, rule.init(parameters)))
    return [float(values[0]), float(loss(trained[0]))]


def test_it_learns_the_identity_and_to_negate_one_layer(getkey):
    inputs = jax.vmap(lambda key: random_weights(key, CHAIN))(jax.random.split(getkey(), 32))
    editor = editor_of(CHAIN, getkey())
    first, last = losses(editor, inputs, inputs, 200)
    assert last < 1e-5
    assert last < 0.1 * first
    negated = (inputs[0], jax.tree.map(jnp.negative, inputs[1]), inputs[2])
    nothing, learned = losses(editor, inputs, negated, 200)
    assert nothing > 4  # two arrays, each of them twice its own size away
    assert learned < 0.1 * nothing
