"""Editors: they commute with what acts on neurons, are near the identity at first, and learn simple edits."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tests.models.helpers import toy
from tests.models.scale_laws import dense_pruned_and_zero, widely_scaled
from tests.models.specs import ADAPTED, CONVOLUTION, HEADS, RECURRENT, SKIP, random_weights, stacked_weights
from tests.models.test_dws import SETTINGS
from tests.models.test_scale_gmn import CASES, Actions
from wsjax.models import ScaleEditor
from wsjax.models.layers.normalizer import Constant
from wsjax.models.readers.editor import Editor
from wsjax.models.testing import check_equivariant
from wsjax.models.testing.precise import in_float64, read, to_float64
from wsjax.symmetry import Axes, Fixed, Group, Symmetry, act, siren, symmetry_of

pytestmark = pytest.mark.usefixtures("untyped")

CHAIN = siren((2, 4, 3, 2))
KEY = jax.random.key(3)
edit = eqx.filter_jit(lambda editor, weights, **settings: editor(weights, **settings))


editor_of = toy(Editor, channels=2, layers=2)


@pytest.fixture(scope="module")
def untrained() -> Editor:
    scale = jax.jit(lambda key: Editor(CHAIN, channels=2, layers=2, key=key).scale)(KEY)
    return eqx.tree_at(lambda e: e.scale, editor_of(CHAIN), scale)


@pytest.mark.parametrize(
    ("symmetry", "name"),
    [(CHAIN, "published"), (CONVOLUTION, "linear"), (RECURRENT, "sum"), (SKIP, "attention"), (HEADS, "attention")],
    ids=["chain", "convolution", "recurrent", "skip", "heads"],
)
def test_it_commutes_with_every_permutation_and_edits_every_array(symmetry, name):
    editor = editor_of(symmetry, **SETTINGS[name])
    assert check_equivariant(editor, symmetry, key=KEY) < 1e-10
    assert min(moves(editor, random_weights(KEY, symmetry))) > 1e-3


def moves(editor, weights) -> list[float]:
    """By how much an edit in float64 moves each array at most."""
    with in_float64():
        weights = to_float64(weights)
        pairs = zip(*map(jax.tree.leaves, (weights, read(to_float64(editor), weights))), strict=True)
        return [float(np.abs(before - after).max()) for before, after in pairs]


def test_it_is_near_the_identity_and_moves_in_units_of_an_arrays_deviation_and_drops_only_with_a_key(untrained):
    weights, editor = random_weights(KEY, CHAIN), untrained
    rate, weights = np.float32(0.0), jax.tree.map(np.asarray, weights)
    small = eqx.tree_at(lambda e: e.scale, editor, jax.device_put(np.asarray(editor.scale) / 2))
    still, halved = (jax.tree.map(np.asarray, edit(e, weights, dropout_rate=rate)) for e in (editor, small))
    for w, whole, half in zip(*map(jax.tree.leaves, (weights, still, halved)), strict=True):
        assert 0 < np.abs(whole - w).max() < 0.1
        np.testing.assert_allclose(whole - w, 2 * (half - w), atol=1e-6)
    three = Constant(3 * np.asarray(editor.normalizer.scale.value))
    in_thirds = eqx.tree_at(lambda e: e.normalizer.scale, editor, three)
    wide = edit(in_thirds, jax.tree.map(lambda w: 3 * w, weights), dropout_rate=rate)
    for a, b in zip(*map(jax.tree.leaves, (wide, still)), strict=True):
        np.testing.assert_allclose(a, 3 * np.asarray(b), rtol=1e-4, atol=1e-5)
    for settings, same in (({}, True), ({"key": KEY}, False)):
        found = jax.tree.leaves(edit(editor, weights, dropout_rate=np.float32(0.5), **settings))
        assert all(np.array_equal(a, b) for a, b in zip(found, jax.tree.leaves(still), strict=True)) == same


def test_dtypes_stay_and_integers_pass():
    symmetry = symmetry_of(
        {"kernel": Axes("in", "h"), "seen": Axes("h"), "last": Axes("h*", "out")},
        {"in": Fixed(2, "input"), "h": Group(3, "tanh"), "out": Fixed(1, "output")},
    )
    weights = random_weights(KEY, symmetry)
    weights = {**weights, "seen": np.arange(3, dtype=np.int32), "last": weights["last"].astype(jnp.bfloat16)}
    edited = edit(editor_of(symmetry), weights)
    assert {name: x.dtype for name, x in edited.items()} == {name: x.dtype for name, x in weights.items()}
    np.testing.assert_array_equal(edited["seen"], weights["seen"])
    assert np.abs(edited["kernel"] - weights["kernel"]).max() > 0


def losses(editor: Editor | ScaleEditor, inputs, targets, steps: int) -> list[float]:
    """The mean squared error before and after some steps of Adam, in which every parameter gets a gradient."""
    parameters, rest = eqx.partition(editor, eqx.is_inexact_array)
    first, last, gradients = _losses(parameters, rest, inputs, targets, steps)
    assert all((np.asarray(gradient) != 0).all() for gradient in jax.tree.leaves(gradients))
    return [float(first), float(last)]


@eqx.filter_jit
def _losses(parameters, rest, inputs, targets, steps):
    rule = optax.adam(0.03)

    def loss(parameters):
        made = jax.vmap(eqx.combine(parameters, rest))(inputs)
        return sum(jnp.mean((a - b) ** 2) for a, b in zip(*map(jax.tree.leaves, (made, targets)), strict=True))

    def step(state, _):
        value, gradient = jax.value_and_grad(loss)(state[0])
        with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
            update, moments = rule.update(gradient, state[1])
            return (optax.apply_updates(state[0], update), moments, jax.tree.map(jnp.add, state[2], gradient)), value

    start = parameters, rule.init(parameters), jax.tree.map(jnp.zeros_like, parameters)
    state, values = jax.lax.scan(step, start, length=steps + 1)
    return values[0], values[-1], state[2]


def test_it_learns_the_identity_and_to_negate_one_layer(untrained):
    inputs = stacked_weights(KEY, CHAIN, 32)
    first, last = losses(untrained, inputs, inputs, 200)
    assert last < 1e-5
    assert last < 0.1 * first
    negated = (inputs[0], jax.tree.map(jnp.negative, inputs[1]), inputs[2])
    nothing, learned = losses(untrained, inputs, negated, 200)
    assert nothing > 4  # two arrays, each of them twice its own size away
    assert learned < 0.1 * nothing


# --- the editor under signs and scales -------------------------------------------------------------------------------

OWN_KEY = jax.random.key(9)
STACKED_ACTIONS: Actions = ("permute", "sign", "phase", "rescale")
NAMES = ("phases", "phases, gated", "mixed", "one hidden layer", "convolution", "recurrent signs", "recurrent scales")


@functools.cache
def scale_editor(symmetry: Symmetry, *, scale: float = 1.0, **settings) -> ScaleEditor:
    """An editor that edits as much as after long training, or by another scale."""
    editor = toy(ScaleEditor, scale=1.5, channels=3, layers=2, direction="bidirectional")(symmetry, **settings)
    return eqx.tree_at(lambda e: e.scale, editor, jax.device_put(np.float32(scale)))


EDITED = {**{name: CASES[name] for name in NAMES}, "stacked": (ADAPTED, STACKED_ACTIONS, {})}


@pytest.mark.parametrize("name", EDITED)
def test_edits_move_along_with_all_that_the_groups_allow_and_leave_no_array_alone(name):
    symmetry, actions, settings = EDITED[name]
    editor, weights = scale_editor(symmetry, **settings), random_weights(OWN_KEY, symmetry)
    assert check_equivariant(editor, symmetry, weights, actions=actions, key=OWN_KEY) < 1e-10
    assert min(moves(editor, weights)) > 1e-3


def test_a_scale_that_no_group_allows_is_noticed():
    symmetry = CASES["one hidden layer"][0]  # the same arrays, declared with scales there and with signs here
    with pytest.raises(AssertionError, match="'rescale' on group 'h1' moves"):
        check_equivariant(scale_editor(siren((2, 3, 2))), symmetry, actions=("rescale",), key=OWN_KEY)


def test_zeros_among_the_weights_and_large_scales_are_no_exception():
    symmetry = CASES["mixed"][0]
    with in_float64():
        editor = to_float64(scale_editor(symmetry))
        moved = jax.jit(lambda weights: act(widely_scaled(symmetry), weights))
        for weights in dense_pruned_and_zero(symmetry)[:2]:
            found, expected = read(editor, moved(weights)), moved(read(editor, weights))
            for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9 * float(np.abs(b).max()))


def test_an_untrained_editor_hardly_edits():
    symmetry = CASES["one hidden layer"][0]
    scale = jax.jit(lambda key: ScaleEditor(symmetry, channels=3, layers=1, key=key).scale)(OWN_KEY)
    found = moves(scale_editor(symmetry, scale=float(scale)), random_weights(OWN_KEY, symmetry))
    assert 0 < min(found) <= max(found) < 0.5


def test_a_scale_editor_learns_the_identity_and_to_negate_one_layer_by_all_of_its_parameters():
    chain = siren((2, 3, 2))
    inputs, editor = stacked_weights(OWN_KEY, chain, 16), scale_editor(chain, scale=0.1, layers=1)
    first, last = losses(editor, inputs, inputs, 300)
    assert last < 1e-4
    assert last < 0.1 * first
    # The kernel alone: to negate a bias does not commute with phase shifts.
    negated = (inputs[0]._replace(kernel=np.negative(inputs[0].kernel)), inputs[1])
    nothing, learned = losses(editor, inputs, negated, 300)
    assert nothing > 2
    assert learned < 0.1 * nothing
