"""A transform compiled alone: the same arrays, and those that it leaves as they are not even copied."""

import jax
import numpy as np
from jax.tree_util import Partial

from tests.augment.test_laws import KEY, TOUCHES, assert_close, strong, thing
from tests.helpers import compiled as jitted
from wsjax import augment as wa


def test_it_gives_what_jit_gives_and_passes_on_the_rest():
    names = ("rotate", "contrast", "permute", "noise", "mixup", "label_smoothing")
    each = lambda steps, key, x: {name: step(key, x[name]) for name, step in steps.items()}
    all_of_them = Partial(each, {name: strong(name) for name in names})
    given = {name: jax.tree.map(np.asarray, thing(name)) for name in names}
    found, expected = wa.compiled(all_of_them)(KEY, given), jitted(all_of_them, KEY, given)
    for name in names:
        assert_close(found[name], expected[name])
        pairs = zip(jax.tree_util.tree_leaves_with_path(found[name]), jax.tree.leaves(given[name]), strict=True)
        assert {jax.tree_util.keystr(path) for (path, a), b in pairs if a is not b} == TOUCHES[name], name


def test_other_settings_compile_nothing_anew():
    traced = []

    def moved(key, x, *, by):
        traced.append(by)
        return x[0] + by, x[1]

    pair = np.ones(3), np.zeros(2)
    for by in (1.0, 2.0):
        first, second = wa.compiled(Partial(moved, by=by))(KEY, pair)
        np.testing.assert_array_equal(first, 1 + by)
        assert second is pair[1]
    assert len(traced) == 1


def test_arrays_that_change_places_are_passed_on_to_their_new_ones():
    one, other = np.ones(3), np.zeros(2)
    found = wa.compiled(lambda key, x: (x[1], x[0]))(KEY, (one, other))
    assert found[0] is other
    assert found[1] is one
