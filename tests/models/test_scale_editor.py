"""The editor under signs and scales: edits move along with the neurons, start small, and learn simple changes."""

import functools

import equinox as eqx
import jax
import numpy as np
import pytest

from tests.models.helpers import toy
from tests.models.scale_laws import dense_pruned_and_zero, widely_scaled
from tests.models.specs import random_weights, stacked_weights
from tests.models.test_editor import losses, moves
from tests.models.test_scale_gmn import CASES
from wsjax.models import ScaleEditor
from wsjax.models.testing import check_equivariant
from wsjax.models.testing.precise import in_float64, read, to_float64
from wsjax.symmetry import Symmetry, act, siren

pytestmark = pytest.mark.usefixtures("untyped")

KEY = jax.random.key(9)
NAMES = ("mixed", "one hidden layer", "convolution", "recurrent signs", "recurrent scales")


@functools.cache
def editor_of(symmetry: Symmetry, *, scale: float = 1.0, **settings) -> ScaleEditor:
    """An editor that edits as much as after long training, or by another scale."""
    editor = toy(ScaleEditor, scale=1.5, channels=3, layers=2, direction="bidirectional")(symmetry, **settings)
    return eqx.tree_at(lambda e: e.scale, editor, jax.device_put(np.float32(scale)))


@pytest.mark.parametrize("name", NAMES)
def test_edits_move_along_with_all_that_the_groups_allow_and_leave_no_array_alone(name):
    symmetry, actions, settings = CASES[name]
    editor, weights = editor_of(symmetry, **settings), random_weights(KEY, symmetry)
    assert check_equivariant(editor, symmetry, weights, actions=actions, key=KEY) < 1e-10
    assert min(moves(editor, weights)) > 1e-3


def test_a_scale_that_no_group_allows_is_noticed():
    symmetry = CASES["one hidden layer"][0]  # the same arrays, declared with scales there and with signs here
    with pytest.raises(AssertionError, match="'rescale' on group 'h1' moves"):
        check_equivariant(editor_of(siren((2, 3, 2))), symmetry, actions=("rescale",), key=KEY)


def test_zeros_among_the_weights_and_large_scales_are_no_exception():
    symmetry = CASES["mixed"][0]
    with in_float64():
        editor = to_float64(editor_of(symmetry))
        moved = jax.jit(lambda weights: act(widely_scaled(symmetry), weights))
        for weights in dense_pruned_and_zero(symmetry)[:2]:
            found, expected = read(editor, moved(weights)), moved(read(editor, weights))
            for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9 * float(np.abs(b).max()))


def test_an_untrained_editor_hardly_edits():
    symmetry = CASES["one hidden layer"][0]
    scale = jax.jit(lambda key: ScaleEditor(symmetry, channels=3, layers=1, key=key).scale)(KEY)
    found = moves(editor_of(symmetry, scale=float(scale)), random_weights(KEY, symmetry))
    assert 0 < min(found) <= max(found) < 0.5


def test_it_learns_the_identity_and_to_negate_one_layer_by_all_of_its_parameters():
    chain = siren((2, 3, 2))
    inputs, editor = stacked_weights(KEY, chain, 16), editor_of(chain, scale=0.1, layers=1)
    first, last = losses(editor, inputs, inputs, 300)
    assert last < 1e-4
    assert last < 0.1 * first
    negated = (jax.tree.map(np.negative, inputs[0]), inputs[1])
    nothing, learned = losses(editor, inputs, negated, 300)
    assert nothing > 2
    assert learned < 0.1 * nothing
