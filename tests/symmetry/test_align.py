"""Alignment: planted elements are found again, no step moves away, and it compiles, batches and spreads."""

import functools
import itertools
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from tests.helpers import CASES, W0, change, dense_axes, points, random_weights
from tests.symmetry.architectures import NORMED, RESIDUAL, Residual, tied
from wsjax import devices, networks
from wsjax import symmetry as ws
from wsjax.augment import mixup_aligned
from wsjax.symmetry import Fixed, Group, Symmetry, symmetry_of
from wsjax.symmetry.align import Alignment, Over, growth_order
from wsjax.symmetry.assignment import Solver
from wsjax.symmetry.element import Element, Move
from wsjax.symmetry.match import pairs, slices
from wsjax.typing import Batch

pytestmark = pytest.mark.usefixtures("untyped")

KEY = jax.random.key(11)
aligned = jax.jit(ws.align, static_argnames=("symmetry", "group", "restarts", "max_sweeps", "solver"))
moved = jax.jit(lambda key, weights, spec, draw: ws.act(draw(key, spec), weights), static_argnums=(2, 3))


@functools.partial(jax.jit, static_argnames=("symmetry", "group", "solver"))
def aligned_each(weights, reference, symmetry: Symmetry, group: Over = "full", solver: Solver = "auto") -> Alignment:
    """Many pairs at once, compiled once for each Symmetry, group and number of pairs."""
    return jax.vmap(lambda a, b: ws.align(a, b, symmetry, group=group, solver=solver))(weights, reference)


def squared(a: Any, b: Any) -> np.ndarray:
    """The squared distances of many pairs."""
    parts = [
        np.square(np.asarray(x, np.float64) - y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    ]
    return sum((part.reshape(len(part), -1).sum(axis=1) for part in parts), start=np.zeros(()))


def row(tree: Any, index: Any) -> Any:
    return jax.tree.map(lambda x: np.asarray(x)[index], tree)


signs_and_order = functools.partial(ws.sample, actions=("permute", "sign"))

DEEP, SHALLOW = (2, 12, 12, 1), (2, 12, 1)
PLANTED: dict[str, tuple[str, tuple[int, ...], tuple[str, ...], Over]] = {
    "permutation": ("siren", SHALLOW, ("permute",), "permutation"),
    "signed permutation": ("siren", SHALLOW, ("permute", "sign"), "signed"),
    "signed permutation of tanh": ("tanh", SHALLOW, ("permute", "sign"), "full"),
    "phase shifts": ("siren", DEEP, ("permute", "sign", "phase"), "full"),
    "phase shifts beside the kernel": ("kernel siren", SHALLOW, ("permute", "sign", "phase"), "full"),
    "scales": ("relu", DEEP, ("permute", "rescale"), "full"),
    "scales of leaky_relu": ("leaky_relu", SHALLOW, ("permute", "rescale"), "full"),
}
COPIES, OTHERS = 100, 8
PAIRS = COPIES + OTHERS
X = np.random.default_rng(2).uniform(-1, 1, (16, 2)).astype(np.float32)


def kind(case: str, widths: tuple[int, ...]) -> tuple[Symmetry, Callable[[Any, jax.Array], jax.Array]]:
    """The Symmetry and the function of a kind of network, of any depth."""
    if "siren" not in case:
        return ws.mlp(widths, case), functools.partial(networks.mlp_apply, activation=case)
    w0, convention = W0[: len(widths) - 2], "kernel" if "kernel" in case else "affine"
    return ws.siren(widths, w0, convention), functools.partial(networks.siren_apply, w0=w0, convention=convention)


class Found(NamedTuple):
    """Pairs of networks: the one that was aligned, what alignment made of it, the element applied anew, and outputs."""

    weights: Any
    made: Alignment
    acted: Any
    before: Any
    after: Any


@functools.partial(jax.jit, static_argnames=("planted", "width"))
def planted_and_found(element: Element, weights: Any, reference: Any, planted: str, width: int = 12) -> Found:
    """The one program of each case: it plants an element, aligns, and runs the networks."""
    case, widths, _, group = PLANTED[planted]
    spec, apply = kind(case, widened(widths, width))

    def one(element: Element, weights: Any, reference: Any) -> Found:
        copy, points = ws.act(element, weights), jnp.asarray(X)
        made = ws.align(copy, reference, spec, group=group)
        return Found(copy, made, ws.act(made.element, copy), apply(copy, points), apply(made.weights, points))

    return jax.vmap(one)(element, weights, reference)


def widened(widths: tuple[int, ...], width: int) -> tuple[int, ...]:
    return (2, width, width, 1) if width > 12 else widths


def elements(spec: Symmetry, actions: tuple[str, ...], seed: int = 3) -> Element:
    """A random element for each copy, and for the pairs of others the identity."""
    rng, copy = np.random.default_rng(seed), (np.arange(PAIRS) < COPIES)[:, None]

    def move(group: Group) -> Move:
        shape, gained = (PAIRS, group.size), {"sign", "rescale"} & {*actions}
        order = np.where(copy, np.argsort(rng.random(shape), axis=1), np.arange(group.size)).astype(np.int32)
        gain = rng.choice([-1.0, 1.0], shape) if "sign" in actions else np.exp(0.5 * rng.normal(size=shape))
        phase = np.where(copy, rng.integers(-3, 4, shape), 0).astype(np.int32) if "phase" in actions else None
        return Move(order, np.where(copy, gain, 1).astype(np.float32) if gained else None, phase)

    return Element(spec, {name: move(group) for name, group in spec.groups.items()})


def drawn(spec: Symmetry, seed: int, count: int = PAIRS) -> Any:
    rng = np.random.default_rng(seed)
    return spec.unflatten([rng.normal(0, 0.5, (count, *shape)).astype(np.float32) for shape in spec.shapes])


@functools.cache
def made(planted: str, width: int = 12) -> tuple[Symmetry, Any, Found]:
    """The references, of which the first are networks whose moved copy is aligned, and what was found."""
    case, widths, actions, _ = PLANTED[planted]
    spec, _ = kind(case, widened(widths, width))
    reference = drawn(spec, 0)
    weights = jax.tree.map(lambda a, b: np.concatenate([a[:COPIES], b[COPIES:]]), reference, drawn(spec, 1))
    found = planted_and_found(elements(spec, actions), weights, reference, planted, width)
    return spec, reference, jax.tree.map(np.asarray, found)


@pytest.mark.parametrize("width", [12, pytest.param(64, marks=pytest.mark.slow)])
@pytest.mark.parametrize("planted", PLANTED)
def test_what_was_planted_is_found(planted: str, width: int):
    _, reference, found = made(planted, width)
    left = found.made.distance / squared(reference, jax.tree.map(np.zeros_like, reference))
    assert (left[:COPIES] < 1e-6).mean() >= 0.99
    assert (left[COPIES:] > 1e-3).all()


@pytest.mark.parametrize("planted", PLANTED)
def test_what_is_returned_belongs_together_and_the_function_stays(planted: str):
    _, reference, found = made(planted)
    others = slice(COPIES, None)
    chex.assert_trees_all_close(found.made.weights, found.acted, rtol=1e-5, atol=1e-6)
    chex.assert_trees_all_equal_shapes_and_dtypes(found.made.weights, found.weights)
    near, before = squared(found.acted, reference), squared(found.weights, reference)
    np.testing.assert_allclose(found.made.distance[others], near[others], rtol=1e-4)
    assert (found.made.distance <= before * (1 + 1e-6)).all()
    assert (found.made.distance < before)[others].all()
    assert change(found.after[others], found.before[others]) < 1e-4
    if PLANTED[planted][-1] == "permutation":
        assert all(m.gain is None and m.phase is None for m in found.made.element.moves.values())


@pytest.mark.parametrize("planted", PLANTED)
def test_an_aligned_network_stays(planted: str):
    spec, reference, found = made(planted)
    nothing = jax.tree.map(lambda x: np.repeat(x[-1:], PAIRS, axis=0), elements(spec, PLANTED[planted][2]))
    last = slice(COPIES - OTHERS, None)  # some copies and the others; before these every reference to itself
    again = jax.tree.map(lambda a, b: np.concatenate([a[: last.start], b[last]]), reference, found.made.weights)
    both = jax.tree.map(np.asarray, planted_and_found(nothing, again, reference, planted).made)
    if "scales" in planted:  # the best scales are found but for a part in a thousand
        chex.assert_trees_all_close(row(both.weights, last), row(again, last), rtol=2e-3)
    else:
        chex.assert_trees_all_equal(row(both.weights, last), row(again, last))
    assert (both.distance[: last.start] == 0).all()
    chex.assert_trees_all_equal(row(both.weights, slice(last.start)), row(reference, slice(last.start)))


def test_permutations_alone_do_not_find_planted_signs():
    """Why signs matter: the sign-flipped copy of a network stays far away."""
    spec, reference, found = made("signed permutation")
    size = squared(reference, jax.tree.map(np.zeros_like, reference))
    nothing = jax.tree.map(lambda x: np.repeat(x[-1:], PAIRS, axis=0), elements(spec, ("permute",)))
    orders = planted_and_found(nothing, found.weights, reference, "permutation").made.distance
    assert (np.asarray(orders) / size).mean() > 0.3
    assert (found.made.distance / size)[:COPIES].mean() < 1e-6


@pytest.mark.parametrize("wide", [name for name, (_, widths, *_) in PLANTED.items() if widths == SHALLOW][1:])
def test_a_wider_group_comes_nearer(wide: str):
    """Of the same unrelated networks; which order is the best does not depend on the activation."""
    assert (made(wide)[2].made.distance < made("permutation")[2].made.distance)[COPIES:].all()


SMALL = {
    "siren": ws.siren((2, 3, 1), 9.5),
    "kernel siren": ws.siren((2, 3, 1), 9.5, "kernel"),
    **{activation: ws.mlp((2, 3, 1), activation) for activation in ("tanh", "relu", "linear", "gelu")},
}


def least_costs(spec: Symmetry, weights: Any, reference: Any) -> np.ndarray:
    """For each pair of neurons the least over every sign, phase and scale."""
    group = spec.groups["h1"]
    choices = {
        "sign": [-1.0, 1.0] if group.allows("sign") else [1.0],
        "phase": range(-16, 17) if group.allows("phase") else [0],
        "scale": np.exp(np.linspace(-3, 3, 601)).tolist() if group.allows("rescale") else [1.0],
    }
    layer, after = weights
    tau = np.pi / (group.w0 if group.w0_convention == "affine" else 1.0)
    least = np.full((group.size, group.size), np.inf)
    for sign, phase, scale in itertools.product(*choices.values()):
        gain = sign * scale
        read = np.square(reference[0].kernel[:, :, None] - gain * layer.kernel[:, None, :]).sum(0)
        bias = np.square(reference[0].bias[:, None] - gain * layer.bias[None, :] - phase * tau)
        used = np.square(reference[1].kernel[:, None] - (-1) ** phase / gain * after.kernel[None]).sum(-1)
        least = np.minimum(least, read + bias + used)
    return least


@pytest.mark.parametrize("case", SMALL)
def test_each_pair_of_neurons_costs_the_least_over_its_group(case: str):
    spec = SMALL[case]
    weights, reference = (random_weights(jax.random.key(i), spec) for i in (0, 1))
    own = lambda w: slices(spec, spec.leaves(w), "h1")
    match = jax.jit(lambda a, b: pairs(spec.groups["h1"], own(a), own(b), ("sign", "phase", "rescale")))
    found = match(weights, reference)
    least = least_costs(spec, weights, reference)
    best, expected = (linear_sum_assignment(cost) for cost in (np.asarray(found.cost), least))
    assert least[best].sum() == pytest.approx(least[expected].sum(), rel=1e-5)


@pytest.mark.parametrize(
    "planted", [name for name, (_, widths, _, group) in PLANTED.items() if widths == SHALLOW and group == "full"]
)
def test_a_group_alone_is_aligned_as_near_as_any_element_brings_it(planted: str):
    spec, reference, found = made(planted)
    for i in range(COPIES, COPIES + 3):
        mine, goal = row(found.weights, i), row(reference, i)
        least = least_costs(spec, mine, goal)
        rest = np.square(goal[1].bias - mine[1].bias).sum()
        np.testing.assert_allclose(found.made.distance[i] - rest, least[linear_sum_assignment(least)].sum(), rtol=2e-3)


def test_restarts_and_sweeps_never_lose_and_a_key_decides_restarts():
    """Of a network whose one group meets itself in one array, so that its steps are not exact."""
    weights, reference = (random_weights(jax.random.key(i), tied()) for i in (1, 0))
    near = functools.partial(aligned, weights, reference, tied(), solver="host")
    one, many = float(near(max_sweeps=1).distance), float(near(max_sweeps=50).distance)
    assert many <= one < float(ws.squared_distance(weights, reference))
    tries = [near(restarts=6, key=KEY) for _ in range(2)]
    assert tries[0].distance <= many
    chex.assert_trees_all_equal(tries[0].weights, tries[1].weights)


SIX = ws.siren((2, 6, 1), 9.5)
EIGHT = drawn(SIX, 0, 8), drawn(SIX, 1, 8)


def test_the_solvers_and_jit_and_vmap_agree():
    many = aligned_each(*EIGHT, SIX, solver="device")
    for i in range(3):
        mine, goal = row(EIGHT, i)
        plain = ws.align(mine, goal, SIX, solver="host")
        chex.assert_trees_all_close(plain.weights, row(many.weights, i), rtol=1e-5)
        assert float(plain.distance) == pytest.approx(float(many.distance[i]), rel=1e-5)


def test_float64_is_aligned_in_float64():
    with jax.enable_x64(True):
        weights = random_weights(KEY, SIX, np.float64)
        found = aligned(moved(KEY, weights, SIX, ws.sample), weights, SIX, solver="host")
        assert found.distance.dtype == np.float64
        assert float(found.distance) < 1e-24


def test_a_batch_spread_over_devices_is_aligned_on_them_and_mixed_after_alignment_on_the_host():
    spread = lambda tree: jax.device_put(tree, jax.NamedSharding(devices.data_mesh(), jax.P("batch")))
    found = aligned_each(*spread(EIGHT), SIX, solver="device")
    np.testing.assert_allclose(found.distance, aligned_each(*EIGHT, SIX, solver="device").distance, rtol=1e-5)
    batch = Batch(EIGHT[0], np.eye(8, dtype=np.float32))
    run = jax.jit(lambda batch: mixup_aligned(SIX, group="permutation")(KEY, batch))
    chex.assert_trees_all_close(run(spread(batch)), run(batch), atol=1e-5)


def test_alignment_traces_inside_shard_map():
    """Under its default check, where both networks vary over the mesh and where one does."""
    each = jax.P("batch")
    one, relu = row(EIGHT[1], 0), ws.mlp((2, 4, 1))
    both = lambda a, b: ws.align(a, b, relu).distance
    to_one = lambda a: ws.align(a, one, SIX, group="signed", restarts=2, key=KEY).distance
    for run, given in ((both, (drawn(relu, 0, 8), drawn(relu, 1, 8))), (to_one, EIGHT[:1])):
        spread = jax.shard_map(jax.vmap(run), mesh=devices.data_mesh(), in_specs=each, out_specs=each)
        assert jax.eval_shape(spread, *given).shape == (8,)


DESCENTS = {
    "relu": (CASES["relu"].symmetry((2, 8, 7, 2)), 0),
    "siren": (CASES["siren"].symmetry((2, 6, 5, 2)), 0),
    "residual, tanh": (RESIDUAL, 8),
}
"""Networks whose descent takes two sweeps and more, and the seed of their weights."""


@pytest.mark.parametrize("case", DESCENTS)
def test_every_step_of_a_deep_descent_is_scipys_optimum_and_none_raises_the_distance(case: str, monkeypatch):
    """The cost matrices, their solutions and the distances on the way are taken out of the compiled search."""
    spec, seed = DESCENTS[case]
    weights, reference = (random_weights(jax.random.key(i), spec) for i in (seed, seed + 1))
    module, solved, kept = sys.modules["wsjax.symmetry.align"], [], []
    plain, nearer, search = module.assign, module._nearer, module._search.__wrapped__

    def watched(cost, wanted=True, *, solver):
        order = plain(cost, wanted, solver=solver)
        jax.debug.callback(lambda *step: solved.append(step), cost, wanted, order, ordered=True)
        return order

    def noted(a, b):
        best = nearer(a, b)
        true = sum(jnp.sum(jnp.square(x - y)) for x, y in zip(best.leaves, spec.leaves(reference), strict=True))
        jax.debug.callback(lambda distance: kept.append(float(distance)), true, ordered=True)
        return best

    monkeypatch.setattr(module, "assign", watched)
    monkeypatch.setattr(module, "_nearer", noted)
    # A function of its own: programs are kept by function, and another test may have compiled the search without these.
    own = functools.wraps(search)(lambda *given, **settings: search(*given, **settings))
    monkeypatch.setattr(module, "_search", jax.jit(own, static_argnames=("settings", "restarts")))
    found = jax.jit(lambda a, b: ws.align(a, b, spec))(weights, reference)
    jax.effects_barrier()
    sizes = set()
    for cost, wanted, order in solved:
        matrix, rows = np.asarray(cost, np.float64), np.arange(len(cost))
        if wanted:
            least = matrix[linear_sum_assignment(matrix)].sum()
            assert matrix[rows, order].sum() == pytest.approx(least, abs=1e-5 * np.abs(matrix).max())
            sizes.add(len(matrix))
    assert sizes == {group.size for group in spec.groups.values()}
    assert len(kept) >= 1 + 2 * len(spec.groups)  # the first pass, and two sweeps of every group at least
    assert all(after <= before * (1 + 1e-6) for before, after in itertools.pairwise(kept))
    assert kept[-1] < kept[0]
    assert float(found.distance) == pytest.approx(kept[-1], rel=1e-5)


@pytest.mark.parametrize("spec", [RESIDUAL, tied(), NORMED], ids=["residual convolutions", "recurrent", "normed"])
def test_any_symmetry_is_aligned(spec: Symmetry):
    weights, other = (random_weights(jax.random.key(i), spec) for i in (0, 1))
    find = functools.partial(aligned, reference=weights, symmetry=spec, max_sweeps=50, solver="host")
    assert float(find(moved(KEY, weights, spec, signs_and_order)).distance) < 1e-10
    found = find(other)
    assert found.distance < ws.squared_distance(other, weights)
    assert float(found.distance) == pytest.approx(float(ws.squared_distance(found.weights, weights)), rel=1e-4)
    if spec is RESIDUAL:
        x = points(KEY, 3).reshape(1, 6, 8, 1)
        run = jax.jit(lambda weights: Residual().apply(weights, x))
        assert change(run(found.weights), run(other)) < 1e-4


def test_neurons_that_may_not_be_reordered_keep_their_places():
    fixed = Group(5, "tanh", actions=("sign",))
    spec = symmetry_of([dense_axes("in", "h"), dense_axes("h*", "out")], {"in": Fixed(2), "h": fixed, "out": Fixed(1)})
    reference = random_weights(KEY, spec)
    flipped = moved(KEY, reference, spec, functools.partial(ws.sample, actions=("sign",)))
    found = aligned(flipped, reference, spec)
    assert float(found.distance) < 1e-10
    other = aligned(random_weights(jax.random.key(1), spec), reference, spec)
    for one in (found, other):
        np.testing.assert_array_equal(one.element.moves["h"].permutation, np.arange(5))


def test_a_distance_is_of_like_networks_and_of_wide_numbers(untyped):
    half = {"w": jnp.full(1000, 1.0, jnp.bfloat16)}
    assert float(ws.squared_distance(half, jax.tree.map(jnp.zeros_like, half))) == 1000
    assert float(ws.squared_distance({"a": np.complex64(3 + 4j), "b": 1}, {"a": np.complex64(0), "b": 1.5})) == 25.25
    for a, b, message in (
        (half, {"w": jnp.ones(1, jnp.bfloat16)}, r"\['w'\] has shape \(1000,\); the other network expects \(1,\)"),
        ({"step": 1}, {"step": 2}, "hold no floating-point array"),
    ):
        with pytest.raises(ValueError, match=message):
            ws.squared_distance(a, b)


def test_groups_are_grown_from_what_is_fixed():
    tree = [dense_axes("b*", "out"), dense_axes("a*", "b"), dense_axes("in", "a")]
    dims = {"in": Fixed(2, "input"), "b": Group(3), "a": Group(4), "out": Fixed(1, "output")}
    assert growth_order(symmetry_of(tree, dims)) == ["b", "a"]  # b touches the outputs
    deep = [dense_axes("c*", "d"), dense_axes("b*", "c"), dense_axes("a*", "b"), dense_axes("in", "a")]
    assert growth_order(symmetry_of(deep, {"in": Fixed(2), **{n: Group(3) for n in "dcba"}})) == ["a", "b", "c", "d"]


def test_what_cannot_be_aligned_is_named(untyped):
    spec = CASES["relu"].symmetry((2, 6, 5, 2))
    mine, goal = (random_weights(jax.random.key(i), spec) for i in (0, 1))
    complex_bias = (*mine[:2], mine[2]._replace(bias=mine[2].bias.astype(np.complex64)))
    refused: list[tuple[Any, dict[str, Any], str]] = [
        (mine, {"group": "signed"}, "allows no signs; align over 'permutation', or over 'full'"),
        (mine, {"group": "sign"}, "unknown group 'sign'.*permutation, signed, full.*mean 'signed'"),
        (mine, {"restarts": 2}, "restarts is 2 and there is no key; pass key"),
        (mine, {"restarts": 1.5, "key": KEY}, "restarts is 1.5; it must be one integer"),
        (mine, {"max_sweeps": 2.5}, "max_sweeps is 2.5; it must be one integer"),
        (random_weights(KEY, ws.mlp((2, 7, 5, 2))), {}, r"weights\[0\].kernel has shape \(2, 7\).*expects \(2, 6\)"),
        (complex_bias, {}, r"weights\[2\].bias holds complex64; expected real numbers"),
    ]
    for weights, settings, message in refused:
        with pytest.raises(ValueError, match=message):
            ws.align(weights, goal, spec, **settings)
    with pytest.raises(ValueError, match="holds complex64"):
        ws.canonicalize(complex_bias, spec)


def test_networks_align_inside_a_compiled_step_with_gradients_around_it():
    """The element is drawn from data that carries no gradient; what follows differentiates."""
    weights, reference = row(EIGHT, 0)

    @jax.jit
    def loss(scale):
        near = ws.align(jax.lax.stop_gradient(weights), reference, SIX, group="permutation").weights
        return jnp.sum(jnp.square(networks.siren_apply(jax.tree.map(lambda x: scale * x, near), X)))

    assert np.isfinite(jax.grad(loss)(1.0))


@pytest.mark.parametrize("width", [4, 9])  # solved by the program, and by the host
def test_networks_that_have_no_distance_are_named(width):
    spec = ws.siren((2, width, 1))
    weights = random_weights(jax.random.key(0), spec)
    broken = (weights[0]._replace(bias=np.full(width, np.nan, np.float32)), *weights[1:])
    for mine, goal, what in ((broken, weights, "the weights"), (weights, broken, "the reference")):
        with pytest.raises(ValueError, match=rf"weights\[0\]\.bias of {what} is not finite"):
            ws.align(mine, goal, spec)
    huge = jax.tree.map(lambda w: 1e25 * w, weights)
    with pytest.raises(ValueError, match=r"overflows float32, as weights are as large as .*e\+2"):
        ws.align(huge, weights, spec)
