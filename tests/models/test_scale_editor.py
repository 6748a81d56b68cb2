"""The editor under signs and scales: edits move along with the neurons, start small, and learn simple changes."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.models.scale_laws import pruned, widely_scaled
from tests.models.test_editor import losses
from tests.models.test_scale_gmn import CASES
from wsjax.models import Normaliser, ScaleEditor, ScaleGMNConfig
from wsjax.models.testing import check_equivariant, check_gradients, random_weights
from wsjax.models.testing.precise import in_float64, to_float64
from wsjax.symmetry import Symmetry, act, siren


def editor_of(symmetry: Symmetry, key, *, scale: float = 1.0, **settings) -> ScaleEditor:
    """An editor that edits as much as after long training."""
    plain = Normaliser(*(tuple(jnp.float32(v) for _ in symmetry.axes) for v in (0.0, 1.5)))
    config = ScaleGMNConfig(**{"channels": 3, "layers": 2, "direction": "bidirectional", **settings})
    editor = ScaleEditor(symmetry, plain, config, key=key)
    return eqx.tree_at(lambda e: e.scale, editor, jnp.asarray(scale))


@pytest.mark.parametrize("name", [name for name in CASES if name != "signs, outputs alone"])
def test_edits_move_along_with_all_that_the_groups_allow(name, getkey):
    symmetry, actions, settings = CASES[name]
    editor, weights = editor_of(symmetry, getkey(), **settings), random_weights(getkey(), symmetry)
    assert check_equivariant(editor, symmetry, weights, actions=actions, draws=1, key=getkey()) < 1e-10
    for before, after in zip(jax.tree.leaves(weights), jax.tree.leaves(eqx.filter_jit(editor)(weights)), strict=True):
        assert np.abs(before - after).max() > 1e-3  # no array is left alone


def test_a_scale_that_no_group_allows_is_seen(getkey):
    symmetry = CASES["scales, both ways"][0]  # the same arrays, declared with scales there and with signs here
    editor = editor_of(CASES["signs, both ways"][0], getkey())
    with pytest.raises(AssertionError, match="'rescale' on group 'h1' moves"):
        check_equivariant(editor, symmetry, actions=("rescale",), draws=1, key=getkey())


def test_zeros_among_the_weights_and_large_scales_are_no_exception(getkey):
    symmetry = CASES["mixed"][0]
    with in_float64():
        editor, dense = to_float64(editor_of(symmetry, getkey())), to_float64(random_weights(getkey(), symmetry))
        element, edit = widely_scaled(symmetry, getkey()), eqx.filter_jit(editor)
        for weights in (dense, pruned(dense, getkey())):
            found, expected = edit(act(element, weights)), act(element, edit(weights))
            for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9 * float(np.abs(b).max()))


def test_an_untrained_editor_hardly_edits_and_gradients_reach_all_of_it(getkey):
    symmetry = CASES["scales, both ways"][0]
    plain = Normaliser(*(tuple(jnp.float32(v) for _ in symmetry.axes) for v in (0.0, 1.0)))
    config = ScaleGMNConfig(channels=4, layers=2, direction="bidirectional")
    editor, weights = ScaleEditor(symmetry, plain, config, key=getkey()), random_weights(getkey(), symmetry)
    for before, after in zip(jax.tree.leaves(weights), jax.tree.leaves(eqx.filter_jit(editor)(weights)), strict=True):
        assert 0 < np.abs(before - after).max() < 0.5
    check_gradients(editor_of(symmetry, getkey(), layers=1), symmetry, key=getkey())


def test_it_learns_the_identity_and_to_negate_one_layer(getkey):
    chain = siren((2, 3, 2))
    inputs = jax.vmap(lambda key: random_weights(key, chain))(jax.random.split(getkey(), 16))
    first, last = losses(editor_of(chain, getkey(), scale=0.1, layers=1), inputs, inputs, 200)
    assert last < 1e-4
    assert last < 0.1 * first
    negated = (jax.tree.map(jnp.negative, inputs[0]), inputs[1])
    nothing, learned = losses(editor_of(chain, getkey(), scale=0.1, layers=1), inputs, negated, 300)
    assert nothing > 2
    assert learned < 0.1 * nothing
