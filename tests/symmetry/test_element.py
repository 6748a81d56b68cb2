"""The group laws, and that acting preserves the function, in every precision."""

import functools
import itertools
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.helpers import CASES, W0, assert_identical, change, points, random_weights
from wsjax import networks
from wsjax import symmetry as ws
from wsjax.symmetry.element import Element, Move, identity
from wsjax.symmetry.sample import sample_permutation, sample_phases, sample_scales, sample_scales_uniform, sample_signs

pytestmark = pytest.mark.usefixtures("untyped")

BOUNDS = {np.float32: 5e-5, np.float64: 1e-12, jnp.bfloat16: 0.05}
"""The largest change allowed, as a fraction of the outputs."""

HALF_SINE = 0.3
"""In bfloat16 a shifted bias keeps 8 bits, and w0 multiplies what is lost."""

KEYS = jax.random.split(jax.random.key(0), (2, 12))
sample = jax.jit(lambda keys, spec: jax.vmap(lambda key: ws.sample(key, spec))(keys), static_argnums=1)


@functools.cache
def pair(case: str, widths: tuple[int, ...] = (2, 5, 3, 2)) -> tuple[Element, Element, Any, np.ndarray]:
    """Random elements of a kind of network, as many again, networks for them and points to compute them at."""
    spec = CASES[case].symmetry(widths)
    draws = np.random.default_rng(0)
    weights = spec.unflatten([draws.normal(0, 0.5, (len(KEYS[0]), *shape)) for shape in spec.shapes])
    return sample(KEYS[0], spec), sample(KEYS[1], spec), weights, draws.uniform(-1, 1, (16, widths[0]))


def moved_by(case: str, dtype: Any, widths: tuple[int, ...] = (2, 5, 3, 2)) -> float:
    """The change of the function when random elements act on weights of a dtype, read at high precision."""
    element, _, weights, x = pair(case, widths)
    read = np.promote_types(dtype, np.float32)

    @jax.jit
    def run(element: Element, weights: Any, x: jax.Array) -> Any:
        def one(element: Element, weights: Any) -> Any:
            moved = ws.act(element, weights)
            return moved, [CASES[case].apply(jax.tree.map(lambda a: a.astype(read), w), x) for w in (weights, moved)]

        return jax.vmap(one)(element, weights)

    with jax.enable_x64(dtype == np.float64):
        weights = jax.tree.map(lambda a: a.astype(dtype), weights)
        moved, outputs = run(element, weights, x.astype(read))
    chex.assert_trees_all_equal_shapes_and_dtypes(moved, weights)
    return max(change(after, before) for before, after in zip(*map(np.asarray, outputs), strict=True))


@pytest.mark.parametrize("case", CASES)
def test_acting_preserves_the_function_in_every_precision(case: str):
    assert moved_by(case, np.float32) < BOUNDS[np.float32]
    assert moved_by(case, np.float64) < BOUNDS[np.float64]
    assert moved_by(case, jnp.bfloat16) < (HALF_SINE if "siren" in case else BOUNDS[jnp.bfloat16])


@pytest.mark.parametrize("case", ["siren", "relu"])
def test_acting_preserves_the_function_of_one_input_and_output(case: str):
    assert moved_by(case, np.float32, (1, 3, 5, 1)) < BOUNDS[np.float32]


@pytest.mark.parametrize(
    ("spec", "move"),
    [
        (ws.siren((2, 4, 1), 9.5), Move(phase=np.array([1, 0, 0, 2]) / 2)),  # half a turn too little
        (ws.siren((2, 4, 1), 6.25), Move(phase=np.array([1, 0, 0, 0]))),  # another layer's frequency
        (ws.siren((2, 4, 1), 9.5, "kernel"), Move(phase=np.array([1, 0, 0, 0]))),  # the other convention
        (ws.siren((2, 4, 1), 9.5), Move(gain=np.array([-2.0, 1.0, 1.0, 1.0]))),  # a sine is not homogeneous
    ],
)
def test_a_wrong_action_changes_the_function(spec: ws.Symmetry, move: Move):
    weights = random_weights(jax.random.key(0), spec)
    read = lambda w: networks.siren_apply(w, points(jax.random.key(1), 2), w0=9.5)
    assert change(read(ws.act(Element(spec, {"h1": move}), weights)), read(weights)) > 0.05


def assert_close(found, expected):
    chex.assert_trees_all_equal_shapes_and_dtypes(found, expected)
    chex.assert_trees_all_close(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("case", CASES)
def test_a_composition_acts_as_its_parts_in_turn_and_an_inverse_undoes_on_both_sides(case: str):
    def one(a: Element, b: Element, weights: Any) -> Any:
        back, moved = ws.inverse(a), ws.act(a, weights)
        wholes = [ws.act(ws.compose(*parts), weights) for parts in ((b, a), (back, a), (a, back))]
        return wholes, ws.act(b, moved), ws.act(back, moved)

    a, b, weights, _ = pair(case)
    weights = jax.tree.map(lambda leaf: leaf.astype(np.float32), weights)
    (whole, *undone), in_turn, back = jax.jit(jax.vmap(one))(a, b, weights)
    assert_close(whole, in_turn)
    for same in (*undone, back):
        assert_close(same, weights)


SAMPLERS = {
    "permute": sample_permutation,
    "sign": sample_signs,
    "phase": lambda key, spec: sample_phases(key, spec, max_shift=3),
    "none": lambda key, spec: identity(spec),
}


def test_every_two_kinds_compose():
    spec = ws.siren((2, 5, 3, 1), W0)
    weights = random_weights(jax.random.key(2), spec)

    @jax.jit
    def run(keys: jax.Array, weights: Any) -> tuple[dict, dict]:
        first, second = ({name: draw(key, spec) for name, draw in SAMPLERS.items()} for key in keys)
        moved = {name: ws.act(a, weights) for name, a in first.items()}
        back = {name: ws.act(ws.inverse(a), moved[name]) for name, a in first.items()}
        pairs = itertools.product(SAMPLERS, SAMPLERS)
        return back, {
            f"{i}, {j}": (ws.act(ws.compose(second[j], first[i]), weights), ws.act(second[j], moved[i]))
            for i, j in pairs
        }

    back, composed = run(KEYS[0, :2], weights)
    assert_close(back, dict.fromkeys(back, weights))
    assert_close(*({names: both[i] for names, both in composed.items()} for i in (0, 1)))


def test_composition_is_associative_and_not_commutative():
    spec = ws.siren((2, 5, 1))
    draw = jax.jit(lambda key: ws.sample(key, spec))
    a, b, c = (draw(jax.random.key(i)) for i in range(3))
    left, right = ws.compose(c, ws.compose(b, a)), ws.compose(ws.compose(c, b), a)
    assert_identical(left.moves, right.moves)
    assert any(
        (x != y).any() for x, y in zip(*(jax.tree.leaves(ws.compose(*p).moves) for p in ((a, b), (b, a))), strict=True)
    )


def test_the_identity_and_exact_elements_keep_every_bit():
    spec = ws.siren((2, 5, 3, 1))
    weights = random_weights(jax.random.key(0), spec)
    assert_identical(ws.act(identity(spec), weights), weights)

    @jax.jit
    def there_and_back(weights: Any) -> Any:
        g = ws.compose(sample_signs(jax.random.key(1), spec), sample_permutation(jax.random.key(2), spec))
        return ws.act(g, weights), ws.act(ws.inverse(g), ws.act(g, weights))

    moved, back = there_and_back(weights)
    assert_identical(back, weights)
    assert change(moved[1].kernel, weights[1].kernel) > 0.1


def test_elements_of_two_symmetries_do_not_compose():
    with pytest.raises(ValueError, match=r"cannot compose elements of Symmetry.*tanh.* and Symmetry.*relu"):
        ws.compose(identity(ws.mlp((2, 3, 1), "tanh")), identity(ws.mlp((2, 3, 1), "relu")))


def test_the_samplers_draw_what_they_say():
    keys = jax.random.split(jax.random.key(0), 400)
    sine, relu = ws.siren((2, 5, 1)), ws.mlp((2, 5, 1), "relu")
    many = lambda draw: np.asarray(jax.jit(jax.vmap(draw))(keys))
    gains = many(lambda k: sample_signs(k, sine, probability=0.2).moves["h1"].gain)
    assert set(np.unique(gains)) == {-1.0, 1.0}
    assert abs((gains < 0).mean() - 0.2) < 0.03
    phases = many(lambda k: sample_phases(k, sine, max_shift=2).moves["h1"].phase)
    kinds, counts = np.unique(phases, return_counts=True)
    assert kinds.tolist() == [-2, -1, 0, 1, 2]  # both ends
    np.testing.assert_allclose(counts / phases.size, 0.2, atol=0.03)
    logs = np.log(many(lambda k: sample_scales(k, relu, std=0.5).moves["h1"].gain))
    assert abs(logs.std() - 0.5) < 0.03
    assert abs(logs.mean()) < 0.03
    logs = np.log(many(lambda k: sample_scales_uniform(k, relu, max_log=0.5).moves["h1"].gain))
    np.testing.assert_allclose([logs.min(), logs.max(), logs.std()], [-0.5, 0.5, 0.5 / 3**0.5], atol=0.02)
    assert sample_signs(keys[0], relu).moves["h1"] == sample_scales(keys[0], sine).moves["h1"] == Move()
    orders = many(lambda k: [move.permutation for move in sample_permutation(k, ws.mlp((2, 3, 3, 1))).moves.values()])
    assert len(np.unique(np.concatenate(orders, axis=1), axis=0)) == 36  # two groups, each by a draw of its own


def test_settings_out_of_range_are_refused():
    spec, key = ws.siren((2, 3, 1)), jax.random.key(0)
    refused: list[tuple[Any, dict[str, Any], str]] = [
        (sample_signs, {"probability": 1.5}, "probability is 1.5"),
        (sample_phases, {"max_shift": -1}, "max_shift is -1"),
        (sample_phases, {"max_shift": "2"}, "max_shift is '2'; it must be one integer"),
        (sample_scales, {"std": -1.0}, "std is -1"),
        (sample_scales_uniform, {"max_log": -1.0}, "max_log is -1"),
    ]
    for draw, settings, message in refused:
        with pytest.raises(ValueError, match=message):
            draw(key, spec, **settings)


def test_one_trace_serves_every_element_and_numpy_weights_pass():
    spec = ws.siren((2, 4, 1))
    traces = []

    @jax.jit
    def act_once(g, w):
        traces.append(1)
        return ws.act(g, w)

    weights, draw = random_weights(jax.random.key(0), spec), jax.jit(lambda key: ws.sample(key, spec))
    for seed in range(3):
        g = draw(jax.random.key(seed))
        assert_close(act_once(g, weights), ws.act(g, weights))
    assert len(traces) == 1


@pytest.mark.parametrize("kind", [np.float32, np.int32])
def test_numpy_weights_may_be_written_to_after_an_element_acted_on_them(kind):
    spec = ws.symmetry_of({"w": ws.Axes("h", "in")}, {"h": ws.Group(64, actions=("permute",)), "in": ws.Fixed(2)})
    room = np.zeros(64 * 2 * 4 + 64, np.uint8)
    weights = room[-room.ctypes.data % 64 :][: 64 * 2 * 4].view(kind).reshape(64, 2)  # which a CPU device would share
    moved = ws.act(identity(spec), {"w": weights})["w"]
    weights[:] = 1
    assert not np.asarray(moved).any()


@pytest.mark.parametrize("run", [lambda f: f, jax.jit], ids=["eager", "compiled"])
def test_integers_of_64_bits_that_a_sign_would_meet_are_named(run):
    tree = {"in": ws.Axes("in", "h"), "number": ws.Axes("h"), "out": ws.Axes("h*", "out")}
    sizes = {"in": ws.Fixed(1, "input"), "h": ws.Group(3, "tanh"), "out": ws.Fixed(1, "output")}
    weights = {"in": np.ones((1, 3)), "number": np.arange(3), "out": np.ones((3, 1))}
    spec = ws.symmetry_of(tree, sizes)
    with pytest.raises(ValueError, match=r"weights\['number'\] holds int64 and lies along h, where signs"):
        run(lambda key: ws.act(ws.sample(key, spec), weights))(jax.random.key(0))
