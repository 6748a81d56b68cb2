"""The group laws, and that acting preserves the function, in every precision."""

from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers import CASES, W0, assert_identical, change, points, random_weights
from wsjax import symmetry as ws
from wsjax.symmetry import Element, Move

SEEDS = st.integers(0, 1000)
WIDTHS = st.sampled_from([(2, 5, 3, 2), (1, 3, 5, 1)])
BOUNDS = {np.float32: 5e-5, np.float64: 1e-12, jnp.bfloat16: 0.05}
"""The largest change allowed, as a share of the outputs."""

HALF_SINE = 0.3
"""In bfloat16 a shifted bias keeps 8 bits, and w0 multiplies what is lost."""

sample = jax.jit(ws.sample, static_argnums=1)
act, compose, inverse = jax.jit(ws.act), jax.jit(ws.compose), jax.jit(ws.inverse)
"""Compiled once for each Symmetry; elsewhere here the same functions run step by step."""


def moved_by(case: str, dtype: Any, seed: int, widths: tuple[int, ...] = (2, 5, 3, 2)) -> float:
    """The change of the function when a random element acts on weights of a dtype, read at high precision."""
    keys = [jax.random.fold_in(jax.random.key(seed), i) for i in range(3)]
    spec, apply = CASES[case].symmetry(widths), CASES[case].apply
    with jax.enable_x64(False):
        element = sample(keys[1], spec)
    weights = random_weights(keys[0], spec, dtype)
    moved = act(element, weights)
    chex.assert_trees_all_equal_shapes_and_dtypes(moved, weights)
    read = np.promote_types(dtype, np.float32)
    x = points(keys[2], widths[0], read)
    before, after = (apply(jax.tree.map(lambda a: a.astype(read), w), x) for w in (weights, moved))
    return change(after, before)


@pytest.mark.parametrize("case", CASES)
@given(seed=SEEDS, widths=WIDTHS)
def test_acting_preserves_the_function_in_float32(case: str, seed: int, widths: tuple[int, ...]):
    assert moved_by(case, np.float32, seed, widths) < BOUNDS[np.float32]


@pytest.mark.parametrize("case", CASES)
def test_acting_preserves_the_function_in_float64(case: str):
    with jax.enable_x64(True):
        assert max(moved_by(case, np.float64, seed) for seed in range(3)) < BOUNDS[np.float64]


@pytest.mark.parametrize("case", CASES)
def test_acting_nearly_preserves_the_function_in_bfloat16(case: str):
    bound = HALF_SINE if "siren" in case else BOUNDS[jnp.bfloat16]
    assert max(moved_by(case, jnp.bfloat16, seed) for seed in range(3)) < bound


@pytest.mark.parametrize(
    ("spec", "move"),
    [
        (ws.siren((2, 4, 1), 9.5), Move(phase=np.array([1, 0, 0, 2]) / 2)),  # half a turn too little
        (ws.siren((2, 4, 1), 6.25), Move(phase=np.array([1, 0, 0, 0]))),  # another layer's frequency
        (ws.siren((2, 4, 1), 9.5, "kernel"), Move(phase=np.array([1, 0, 0, 0]))),  # the other convention
        (ws.siren((2, 4, 1), 9.5), Move(gain=np.array([-2.0, 1.0, 1.0, 1.0]))),  # a sine is not homogeneous
    ],
)
@pytest.mark.usefixtures("untyped")
def test_a_wrong_action_changes_the_function(spec: ws.Symmetry, move: Move):
    weights = random_weights(jax.random.key(0), spec)
    read = lambda w: ws_apply(w, points(jax.random.key(1), 2))
    assert change(read(ws.act(Element(spec, {"h1": move}), weights)), read(weights)) > 0.05


def ws_apply(weights, x: jax.Array) -> jax.Array:
    hidden, last = weights
    return jnp.sin(9.5 * (x @ hidden.kernel + hidden.bias[None, :])) @ last.kernel + last.bias[None, :]


def assert_close(found, expected):
    chex.assert_trees_all_equal_shapes_and_dtypes(found, expected)
    chex.assert_trees_all_close(found, expected, rtol=1e-5, atol=1e-6)


def pair(case: str, seed: int) -> tuple[Element, Element, tuple]:
    spec = CASES[case].symmetry((2, 5, 3, 2))
    keys = [jax.random.fold_in(jax.random.key(seed), i) for i in range(3)]
    return sample(keys[0], spec), sample(keys[1], spec), random_weights(keys[2], spec)


@pytest.mark.parametrize("case", CASES)
@given(seed=SEEDS)
def test_acting_with_a_composition_is_acting_twice(case: str, seed: int):
    a, b, weights = pair(case, seed)
    assert_close(act(compose(b, a), weights), act(b, act(a, weights)))


@pytest.mark.parametrize("case", CASES)
@given(seed=SEEDS)
def test_an_inverse_undoes_on_both_sides(case: str, seed: int):
    a, _, weights = pair(case, seed)
    for whole in (compose(inverse(a), a), compose(a, inverse(a))):
        assert_close(act(whole, weights), weights)
    assert_close(act(inverse(a), act(a, weights)), weights)


SAMPLERS = {
    "permute": ws.sample_permutation,
    "sign": ws.sample_signs,
    "phase": lambda key, spec: ws.sample_phases(key, spec, max_shift=3),
    "none": lambda key, spec: ws.identity(spec),
}


@pytest.mark.parametrize("first", SAMPLERS)
@pytest.mark.parametrize("second", SAMPLERS)
def test_every_two_kinds_compose(first: str, second: str):
    spec = ws.siren((2, 5, 3, 1), W0)
    weights = random_weights(jax.random.key(2), spec)
    a, b = SAMPLERS[first](jax.random.key(0), spec), SAMPLERS[second](jax.random.key(1), spec)
    assert_close(ws.act(ws.compose(b, a), weights), ws.act(b, ws.act(a, weights)))
    assert_close(ws.act(ws.inverse(a), ws.act(a, weights)), weights)


def test_composition_is_associative_and_not_commutative():
    spec = ws.siren((2, 5, 1))
    a, b, c = (ws.sample(jax.random.key(i), spec) for i in range(3))
    left, right = ws.compose(c, ws.compose(b, a)), ws.compose(ws.compose(c, b), a)
    assert_identical(left.moves, right.moves)
    assert any(
        (x != y).any() for x, y in zip(*(jax.tree.leaves(ws.compose(*p).moves) for p in ((a, b), (b, a))), strict=True)
    )


def test_the_identity_and_exact_elements_keep_every_bit():
    spec = ws.siren((2, 5, 3, 1))
    weights = random_weights(jax.random.key(0), spec)
    assert_identical(ws.act(ws.identity(spec), weights), weights)
    g = ws.compose(ws.sample_signs(jax.random.key(1), spec), ws.sample_permutation(jax.random.key(2), spec))
    assert_identical(ws.act(ws.inverse(g), ws.act(g, weights)), weights)


def test_elements_of_two_symmetries_do_not_compose():
    with pytest.raises(ValueError, match=r"cannot compose elements of Symmetry.*tanh.* and Symmetry.*relu"):
        ws.compose(ws.identity(ws.mlp((2, 3, 1), "tanh")), ws.identity(ws.mlp((2, 3, 1), "relu")))


def test_permutations_are_uniform():
    spec = ws.mlp((2, 3, 1))
    draw = lambda key: ws.sample_permutation(key, spec).moves["h1"].permutation
    orders = np.asarray(jax.vmap(draw)(jax.random.split(jax.random.key(0), 1200)))
    kinds, counts = np.unique(orders, axis=0, return_counts=True)
    assert (np.sort(kinds, axis=1) == np.arange(3)).all()
    assert len(counts) == 6
    assert ((counts - 200) ** 2 / 200).sum() < 20.5  # chi-square with 5 degrees of freedom, 0.1 %


def test_the_samplers_draw_what_they_say():
    keys = jax.random.split(jax.random.key(0), 400)
    sine, relu = ws.siren((2, 5, 1)), ws.mlp((2, 5, 1), "relu")
    many = lambda draw: np.asarray(jax.vmap(draw)(keys))
    gains = many(lambda k: ws.sample_signs(k, sine, probability=0.2).moves["h1"].gain)
    assert set(np.unique(gains)) == {-1.0, 1.0}
    assert abs((gains < 0).mean() - 0.2) < 0.03
    phases = many(lambda k: ws.sample_phases(k, sine, max_shift=2).moves["h1"].phase)
    kinds, counts = np.unique(phases, return_counts=True)
    assert kinds.tolist() == [-2, -1, 0, 1, 2]  # both ends
    np.testing.assert_allclose(counts / phases.size, 0.2, atol=0.03)
    logs = np.log(many(lambda k: ws.sample_scales(k, relu, std=0.5).moves["h1"].gain))
    assert abs(logs.std() - 0.5) < 0.03
    assert abs(logs.mean()) < 0.03
    assert ws.sample_signs(keys[0], relu).moves["h1"] == ws.sample_scales(keys[0], sine).moves["h1"] == Move()


def test_the_groups_of_one_network_draw_apart():
    element = ws.sample_permutation(jax.random.key(0), ws.mlp((2, 16, 16, 1)))
    assert (element.moves["h1"].permutation != element.moves["h2"].permutation).any()  # type: ignore[union-attr]


def test_settings_out_of_range_are_refused():
    spec = ws.siren((2, 3, 1))
    with pytest.raises(ValueError, match=r"probability is 1.5"):
        ws.sample_signs(jax.random.key(0), spec, probability=1.5)
    with pytest.raises(ValueError, match=r"max_shift is -1"):
        ws.sample_phases(jax.random.key(0), spec, max_shift=-1)
    with pytest.raises(ValueError, match=r"std is -1"):
        ws.sample_scales(jax.random.key(0), spec, std=-1.0)


def test_one_trace_serves_every_element_and_numpy_weights_pass():
    spec = ws.siren((2, 4, 1))
    traces = []

    @jax.jit
    def act_once(g, w):
        traces.append(1)
        return ws.act(g, w)

    weights = random_weights(jax.random.key(0), spec)
    for seed in range(3):
        g = ws.sample(jax.random.key(seed), spec)
        assert_close(act_once(g, weights), ws.act(g, weights))
    assert len(traces) == 1


def test_a_batch_of_elements_acts_on_a_batch_of_weights():
    spec = ws.mlp((2, 5, 3, 1), "tanh")
    keys = jax.random.split(jax.random.key(0), 3)
    stack = jax.tree.map(lambda *x: np.stack(x), *(random_weights(key, spec) for key in keys))
    many = jax.vmap(lambda k, w: ws.act(ws.sample(k, spec), w))(keys, stack)
    for i, key in enumerate(keys):
        one = ws.act(ws.sample(key, spec), random_weights(key, spec))
        assert_identical(jax.tree.map(lambda x, i=i: x[i], many), one)
