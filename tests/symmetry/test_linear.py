"""Groups on which matrices act, and groups within other axes: their laws, alignment and canonical form."""

import functools
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.helpers import change
from tests.symmetry import linear
from wsjax import augment
from wsjax import symmetry as ws
from wsjax.symmetry import Axes, Fixed, Group, symmetry_of
from wsjax.symmetry.canonical import canonical_element
from wsjax.symmetry.element import Element, Move
from wsjax.symmetry.sample import sample_matrices, sample_permutation, sample_scales, sample_signs

pytestmark = pytest.mark.usefixtures("untyped")

KEY = jax.random.key(5)
NETWORKS = {
    "lora": (linear.LORA, linear.lora),
    "heads": (linear.HEADS, linear.heads),
    "experts": (linear.EXPERTS, linear.experts),
    "layers": (linear.LAYERS, linear.layers),
    "stacked": (linear.STACKED, linear.stacked),
    "fused": (linear.FUSED, linear.fused),
}
BOUND = {np.float32: 2e-5, np.float64: 1e-12}


def drawn(name: str, dtype: Any = np.float32) -> tuple[Any, np.ndarray]:
    spec, _ = NETWORKS[name]
    draws = np.random.default_rng(3)
    weights = spec.unflatten([draws.normal(0, 0.6, shape).astype(dtype) for shape in spec.shapes])
    return weights, draws.normal(size=(5, spec.sizes["in"])).astype(dtype)


elements = functools.cache(
    lambda name: jax.tree.map(
        np.asarray,
        jax.jit(lambda keys: [ws.sample(key, NETWORKS[name][0]) for key in keys])(jax.random.split(KEY, 2)),
    )
)
"""Two of float32, for weights of any type."""


@pytest.mark.parametrize("dtype", BOUND)
@pytest.mark.parametrize("name", NETWORKS)
def test_elements_act_as_a_group_and_preserve_the_function(name: str, dtype: Any):
    spec, apply = NETWORKS[name]

    @jax.jit
    def run(elements: list[Element], weights: Any, x: jax.Array) -> Any:
        a, b = elements
        moved, back = ws.act(a, weights), ws.inverse(a)
        same = [(ws.act(ws.compose(b, a), weights), ws.act(b, moved))]
        same += [(found, weights) for found in (ws.act(back, moved), ws.act(ws.compose(a, back), weights))]
        return moved, same, [apply(w, x) for w in (weights, moved)]

    weights, x = drawn(name, dtype)
    with jax.enable_x64(dtype == np.float64):
        moved, same, (before, after) = jax.tree.map(np.asarray, run(elements(name), weights, x))
    chex.assert_trees_all_equal_shapes_and_dtypes(moved, weights)
    assert change(after, before) < BOUND[dtype]
    for found, expected in same:
        chex.assert_trees_all_close(found, expected, atol=BOUND[dtype] if dtype == np.float32 else 2e-6)
    names = [n for n, axes in zip(spec.names, spec.axes, strict=True) if set(axes.names) & set(spec.groups)]
    leaves = zip(spec.names, jax.tree.leaves(moved), jax.tree.leaves(weights), strict=True)
    assert [n for n, a, b in leaves if change(a, b) > 0.05] == names


@pytest.mark.parametrize("name", ["lora", "fused", "layers"])
def test_a_description_is_proved_action_by_action(name: str):
    spec, apply = NETWORKS[name]
    weights, x = drawn(name)
    assert ws.check(jax.jit(apply), spec, weights, x, key=KEY, draws=2) < 1e-4


def test_a_matrix_where_something_acts_between_is_found_out():
    weights, x = drawn("lora")
    wrong = jax.jit(lambda w, x: jax.nn.relu(x @ w["down"]) @ w["up"])
    with pytest.raises(ValueError, match="'sign' on group 'rank' changes the function"):
        ws.check(wrong, linear.LORA, weights, x, key=KEY)
    with pytest.raises(ValueError, match="'linear' on group 'rank' changes the function"):
        ws.check(jax.jit(lone), linear.LORA, weights, x, key=KEY)


def lone(w: Any, x: jax.Array) -> jax.Array:
    """Signs, scales and permutations of the rank act on it, and no other matrix."""
    return jnp.sum(jnp.abs((x @ w["down"])[:, :, None] * w["up"][None]), axis=1)


def test_a_matrix_includes_permutations_signs_and_scales():
    spec, (weights, _) = linear.HEADS, drawn("heads")

    @jax.jit
    def run(key: jax.Array, weights: Any) -> Any:
        matrix = sample_matrices(key, spec)
        single = ws.compose(
            sample_scales(key, spec), ws.compose(sample_signs(key, spec), sample_permutation(key, spec))
        )
        both = ws.compose(ws.compose(single, matrix), single)
        there = ws.compose(ws.inverse(both), both)
        return ws.act(both, weights), ws.act(single, ws.act(matrix, ws.act(single, weights))), ws.act(there, weights)

    whole, in_turn, back = run(KEY, weights)
    chex.assert_trees_all_close(whole, in_turn, atol=1e-4)
    chex.assert_trees_all_close(back, weights, atol=1e-4)
    assert Group(3, "linear", actions=("linear",)).actions == ("permute", "sign", "rescale", "linear")


def test_matrices_are_drawn_with_a_bounded_condition_and_orthogonal_at_no_strength():
    spec = linear.LORA
    draw = jax.jit(jax.vmap(lambda key, std: sample_matrices(key, spec, std=std).moves["rank"], (0, None)))
    keys = jax.random.split(KEY, 500)
    move, flat = (jax.tree.map(np.asarray, draw(keys, std)) for std in (0.3, 0.0))
    conditions = np.linalg.cond(move.matrix)
    assert conditions.max() < np.exp(6 * 0.3)
    assert np.median(conditions) > 1.3
    np.testing.assert_allclose(move.matrix @ move.inverse, np.broadcast_to(np.eye(3), (500, 3, 3)), atol=2e-6)
    np.testing.assert_allclose(flat.matrix.swapaxes(1, 2), flat.inverse, atol=2e-6)
    assert abs((np.linalg.det(flat.matrix) > 0).mean() - 0.5) < 0.1
    assert abs(flat.matrix.mean(0)).max() < 0.1
    np.testing.assert_allclose((flat.matrix**2).mean(0), 1 / 3, atol=0.05)
    with pytest.raises(ValueError, match="std is -1"):
        sample_matrices(KEY, spec, std=-1.0)


def test_mix_basis_rounds_half_types_once_and_names_integers():
    weights, _ = drawn("lora")
    half = jax.tree.map(lambda w: w.astype(jnp.bfloat16), weights)
    transform = jax.jit(augment.mix_basis(linear.LORA))
    exact = transform(KEY, jax.tree.map(lambda w: w.astype(np.float32), half))
    found = transform(KEY, half)
    chex.assert_trees_all_equal(found, jax.tree.map(lambda w: w.astype(jnp.bfloat16), exact))
    with pytest.raises(ValueError, match=r"weights\['down'\] holds int32 and lies along in, rank, where signs"):
        augment.mix_basis(linear.LORA)(KEY, {**weights, "down": np.ones((7, 3), np.int32)})
    with pytest.raises(ValueError, match="mix_basis needs a group that allows 'linear'"):
        augment.mix_basis(linear.EXPERTS)(KEY, drawn("experts")[0])


def test_whole_heads_move_and_each_has_an_element_of_its_own():
    spec, (weights, _) = linear.EXPERTS, drawn("experts")
    inner = np.stack([np.roll(np.arange(5), i) for i in range(4)])
    order = np.array([2, 0, 3, 1])
    element = Element(spec, {"expert": Move(order), "h": Move(inner)})
    moved = ws.act(element, weights)
    bias = weights["up"]["bias"]
    np.testing.assert_array_equal(
        moved["up"]["bias"], np.stack([bias[e][i] for e, i in zip(order, inner, strict=True)])
    )
    np.testing.assert_array_equal(moved["gate"], weights["gate"][:, order])
    shared = ws.act(Element(spec, {"expert": Move(), "h": Move(inner[1])}), weights)
    np.testing.assert_array_equal(shared["up"]["bias"], bias[:, inner[1]])
    orders = np.asarray(jax.jit(lambda key: sample_permutation(key, spec).moves["h"].permutation)(KEY))
    assert (np.sort(orders, axis=1) == np.arange(5)).all()
    assert len(np.unique(orders, axis=0)) == 4
    numbers = ws.symmetry_of({"n": Axes("expert", "h")}, {k: d for k, d in spec.dimensions if k in ("expert", "h")})
    given = np.arange(20).reshape(4, 5) + 2**40
    np.testing.assert_array_equal(
        ws.act(Element(numbers, element.moves), {"n": given})["n"], given[order[:, None], inner]
    )


QUICK = ("lora", "experts", "fused")


@pytest.mark.parametrize(
    "name", [*QUICK, *(pytest.param(n, marks=pytest.mark.slow) for n in NETWORKS if n not in QUICK)]
)
def test_alignment_recovers_planted_elements_and_comes_near_with_noise(name: str):
    spec, _ = NETWORKS[name]
    reference, _ = drawn(name)
    noise = np.random.default_rng(1)
    noisy = jax.tree.map(lambda w: w + 0.02 * noise.normal(size=w.shape).astype(w.dtype), reference)
    floor = float(ws.squared_distance(noisy, reference))
    moved = jax.jit(lambda w: jax.vmap(lambda w: ws.act(ws.sample(KEY, spec), w))(w))
    stack = moved(jax.tree.map(lambda *w: np.stack(w), reference, noisy))
    found = jax.vmap(lambda w: ws.align(w, reference, spec))(stack)
    before = jax.vmap(lambda w: ws.squared_distance(w, reference))(stack)
    assert (np.asarray(before) > 10).all()
    exact, near = np.asarray(found.distance)
    assert exact < 1e-5
    assert near < 1.01 * floor


@pytest.mark.parametrize(
    "name", ["lora", "experts", *(pytest.param(n, marks=pytest.mark.slow) for n in ("heads", "fused"))]
)
def test_an_orbit_has_one_canonical_network(name: str):
    spec, apply = NETWORKS[name]

    @jax.jit
    def run(element: Element, weights: Any, x: jax.Array) -> Any:
        moved = ws.act(element, weights)
        both = jax.tree.map(lambda *w: jnp.stack(w), weights, moved)
        found = jax.vmap(lambda w: ws.canonicalize(w, spec))(both)
        return found, [apply(w, x) for w in (weights, jax.tree.map(lambda w: w[0], found))]

    for dtype, close in ((np.float32, 1e-4), (np.float64, 1e-10)):
        weights, x = drawn(name, dtype)
        with jax.enable_x64(dtype == np.float64):
            found, (before, after) = jax.tree.map(np.asarray, run(elements(name)[0], weights, x))
        assert change(after, before) < close
        for leaf in jax.tree.leaves(found):
            np.testing.assert_allclose(leaf[0], leaf[1], atol=close)


def test_a_canonical_pair_is_balanced_and_one_of_less_rank_is_left_as_it_is():
    canonical = jax.jit(lambda w: ws.canonicalize(w, linear.LORA))
    weights, _ = drawn("lora")
    found = jax.tree.map(np.asarray, canonical(weights))
    s = np.linalg.svd(weights["down"] @ weights["up"])[1][:3]
    np.testing.assert_allclose(found["down"].T @ found["down"], np.diag(s), atol=1e-5)
    np.testing.assert_allclose(found["up"] @ found["up"].T, np.diag(s), atol=1e-5)
    fresh = {**weights, "up": np.zeros_like(weights["up"])}  # as a LoRA begins
    np.testing.assert_allclose(np.abs(canonical(fresh)["down"]), np.abs(fresh["down"]), atol=1e-6)


RANK = Group(3, "linear", actions=("linear",))
IN_OUT = {"in": Fixed(4, "input"), "out": Fixed(4, "output")}


@pytest.mark.parametrize(
    ("axes", "dimensions", "message"),
    [
        (
            {"a": Axes("in", "r~"), "b": Axes("r"), "c": Axes("r*", "out")},
            {**IN_OUT, "r": RANK},
            r"weights\['a'\] follows group 'r' \('r~'\), on which matrices act",
        ),
        (
            {"a": Axes("in", "d"), "c": Axes("d*", "out")},
            {**IN_OUT, "d": Group(3, "linear", within="head")},
            "group 'd' lies within 'head', which no dimension is",
        ),
        (
            {"a": Axes("in", "h", "d"), "c": Axes("d*", "out")},
            {**IN_OUT, "h": Group(2, "linear", actions=("permute",)), "d": Group(3, "linear", within="h")},
            r"weights\['c'\] lies along 'd\*', a group within 'h', and along no axis 'h'",
        ),
        (
            {"a": Axes("d", "h", "h*"), "c": Axes("h*", "d*", "out")},
            {"out": IN_OUT["out"], "h": Group(2, actions=("permute",)), "d": Group(3, within="h")},
            r"weights\['a'\] lies along 'd', a group within 'h', and along more than one axis 'h'",
        ),
        (
            {"a": Axes("in", "h", "d"), "c": Axes("h*", "d*", "out")},
            {**IN_OUT, "h": Group(2, "relu"), "d": Group(3, "relu", within="h")},
            "group 'h' has others within it and allows permute, rescale; expected permutations alone",
        ),
        (
            {"a": Axes("in", "h", "d"), "c": Axes("h*", "d*", "out")},
            {**IN_OUT, "h": Group(2, "relu", within="d"), "d": Group(3, "relu", within="h")},
            "lies within itself|allows permute, rescale",
        ),
    ],
)
def test_a_description_that_cannot_be_is_refused(axes: dict, dimensions: dict, message: str):
    with pytest.raises(ValueError, match=message):
        symmetry_of(axes, dimensions)


def test_matrices_need_linear_neurons_and_within_a_name():
    with pytest.raises(ValueError, match="'linear' does not preserve the function of 'relu' neurons"):
        Group(3, "relu", actions=("linear",))
    with pytest.raises(TypeError, match="within of a group is 3; expected the name of an axis"):
        Group(3, within=3)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("axes", "dimensions", "message"),
    [
        (
            {"a": Axes("in", "r"), "b": Axes("r*", "h"), "c": Axes("h*", "out")},
            {**IN_OUT, "r": RANK, "h": Group(5)},
            r"weights\['b'\] joins 'r', on which matrices act, with 'h', whose permute, rescale no earlier",
        ),
        (
            {"a": Axes("in", "r"), "b": Axes("r*", "r"), "c": Axes("r*", "out")},
            {**IN_OUT, "r": RANK},
            r"weights\['b'\] both produces and consumes 'r'",
        ),
        (
            {"a": Axes("in", "r"), "c": Axes("r*", "out")},
            {**IN_OUT, "r": Group(6, "linear", actions=("linear",))},
            "group 'r' has 6 neurons, with 4 weights each that produce it and 4 that consume it; expected at least 6",
        ),
    ],
)
def test_a_linear_group_without_a_canonical_form_is_refused_by_name(axes: dict, dimensions: dict, message: str):
    spec = symmetry_of(axes, dimensions)
    weights = spec.unflatten([np.ones(shape, np.float32) for shape in spec.shapes])
    with pytest.raises(ValueError, match=message):
        canonical_element(weights, spec)
