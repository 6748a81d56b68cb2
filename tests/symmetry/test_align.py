"""Alignment: planted elements are found again, no step moves away, and it compiles, batches and spreads."""

import functools
import itertools
import sys

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from tests.helpers import CASES, change, dense_axes, points, random_weights
from tests.symmetry.architectures import RESIDUAL, Residual, tied
from wsjax import devices, networks
from wsjax import symmetry as ws
from wsjax.augment import mixup_aligned
from wsjax.symmetry import Axes, Fixed, Group, Symmetry, symmetry_of
from wsjax.symmetry.align import Over, growth_order
from wsjax.symmetry.assignment import SOLVERS
from wsjax.symmetry.match import pairs
from wsjax.symmetry.slices import slices
from wsjax.typing import Batch

KEY = jax.random.key(11)
COPIES = 200

acted = jax.jit(ws.act)
compiled = jax.jit(ws.align, static_argnames=("symmetry", "group", "restarts", "max_sweeps", "solver"))


def aligned(weights, reference, spec: Symmetry, *, group: Over = "full", **settings) -> ws.Alignment:
    """Compiled once for each Symmetry and setting, for all tests."""
    return compiled(weights, reference, symmetry=spec, group=group, **settings)


def signs_and_order(key, spec):
    return ws.compose(ws.sample_signs(jax.random.fold_in(key, 1), spec), ws.sample_permutation(key, spec))


def phases_too(key, spec):
    return ws.compose(ws.sample_phases(jax.random.fold_in(key, 2), spec, max_shift=3), signs_and_order(key, spec))


def scales_too(key, spec):
    return ws.compose(ws.sample_scales(jax.random.fold_in(key, 3), spec, std=0.5), ws.sample_permutation(key, spec))


PLANTED = {
    "permutation": ("siren", ws.sample_permutation, "permutation"),
    "signed permutation": ("siren", signs_and_order, "signed"),
    "signed permutation of tanh": ("tanh", signs_and_order, "full"),
    "phase shifts": ("siren", phases_too, "full"),
    "phase shifts beside the kernel": ("kernel siren", phases_too, "full"),
    "scales": ("relu", scales_too, "full"),
}


@pytest.mark.parametrize("width", [8, pytest.param(64, marks=pytest.mark.slow)])
@pytest.mark.parametrize("planted", PLANTED)
def test_what_was_planted_is_found(planted: str, width: int):
    case, draw, group = PLANTED[planted]
    spec = CASES[case].symmetry((2, width, width, 1))

    def one(key):
        leaves = [jax.random.normal(jax.random.fold_in(key, i), shape) for i, shape in enumerate(spec.shapes)]
        weights = spec.unflatten(leaves)
        found = ws.align(ws.act(draw(key, spec), weights), weights, spec, group=group)
        return found.distance / ws.squared_distance(weights, jax.tree.map(jnp.zeros_like, weights))

    left = np.asarray(jax.jit(jax.vmap(one))(jax.random.split(KEY, COPIES)))
    assert (left < 1e-6).mean() >= 0.99


def test_permutations_alone_do_not_find_planted_signs():
    """Why signs matter: the sign-flipped copy of a network stays far away."""
    spec, weights, _ = two("siren")
    moved = ws.act(signs_and_order(KEY, spec), weights)
    size = ws.squared_distance(weights, jax.tree.map(np.zeros_like, weights))
    assert float(aligned(moved, weights, spec, group="permutation").distance / size) > 0.3
    assert float(aligned(moved, weights, spec, group="signed").distance / size) < 1e-6


def two(case: str):
    spec = CASES[case].symmetry((2, 6, 5, 2))
    return spec, random_weights(jax.random.key(0), spec), random_weights(jax.random.key(1), spec)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("group", ["permutation", "full"])
def test_what_is_returned_belongs_together_and_the_function_stays(case: str, group):
    spec, weights, reference = two(case)
    found = aligned(weights, reference, spec, group=group)
    moved = acted(found.element, weights)
    chex.assert_trees_all_close(found.weights, moved, rtol=1e-5)
    chex.assert_trees_all_equal_shapes_and_dtypes(found.weights, weights)
    assert float(found.distance) == pytest.approx(float(ws.squared_distance(moved, reference)), rel=1e-4)
    assert found.distance < ws.squared_distance(weights, reference)
    x = points(KEY, 2)
    assert change(CASES[case].apply(found.weights, x), CASES[case].apply(weights, x)) < 1e-4
    if group == "permutation":
        assert all(m.gain is None and m.phase is None for m in found.element.moves.values())


@pytest.mark.parametrize("case", ["siren", "tanh", "relu"])
def test_a_wider_group_comes_nearer(case: str):
    spec, weights, reference = two(case)
    narrow = aligned(weights, reference, spec, group="permutation").distance
    assert aligned(weights, reference, spec, group="full").distance < narrow


SHALLOW = {
    "siren": ws.siren((2, 3, 1), 9.5),
    "kernel siren": ws.siren((2, 3, 1), 9.5, "kernel"),
    **{activation: ws.mlp((2, 3, 1), activation) for activation in ("tanh", "relu", "linear", "gelu")},
}


@pytest.mark.parametrize("case", SHALLOW)
def test_each_step_is_the_least_over_its_group(case: str):
    """For one group the pairs' costs and the assignment are compared with every permutation, sign, phase and scale."""
    spec = SHALLOW[case]
    weights, reference = (random_weights(jax.random.key(i), spec) for i in (0, 1))
    group = spec.groups["h1"]
    choices = {
        "sign": [-1.0, 1.0] if group.allows("sign") else [1.0],
        "phase": range(-12, 13) if group.allows("phase") else [0],
        "scale": np.exp(np.linspace(-3, 3, 601)).tolist() if group.allows("rescale") else [1.0],
    }
    layer, after = weights[0], weights[1]
    tau = np.pi / (group.w0 if group.w0_convention == "affine" else 1.0)
    least = np.full((3, 3), np.inf)
    for sign, phase, scale in itertools.product(*choices.values()):
        gain = sign * scale
        made = np.square(reference[0].kernel[:, :, None] - gain * layer.kernel[:, None, :]).sum(0)
        bias = np.square(reference[0].bias[:, None] - gain * layer.bias[None, :] - phase * tau)
        read = np.square(reference[1].kernel[:, None] - (-1) ** phase / gain * after.kernel[None]).sum(-1)
        least = np.minimum(least, made + bias + read)
    own = [slices(spec, spec.leaves(w), "h1") for w in (weights, reference)]
    found = jax.jit(pairs, static_argnums=(0, 3))(group, own[0], own[1], ("sign", "phase", "rescale"))
    best, expected = (linear_sum_assignment(cost) for cost in (np.asarray(found.cost), least))
    assert least[best].sum() == pytest.approx(least[expected].sum(), rel=1e-5)
    np.testing.assert_allclose(
        aligned(weights, reference, spec).distance - np.square(reference[1].bias - after.bias).sum(),
        least[linear_sum_assignment(least)].sum(),
        rtol=2e-3,
    )


def test_the_distance_never_rises_with_the_sweeps():
    spec, weights, reference = two("tanh")
    distances = [float(aligned(weights, reference, spec, max_sweeps=n).distance) for n in (1, 2, 50)]
    assert distances == sorted(distances, reverse=True)
    assert distances[0] < float(ws.squared_distance(weights, reference))


def test_an_aligned_network_stays():
    spec, weights, reference = two("siren")
    once = aligned(weights, reference, spec)
    again = aligned(once.weights, reference, spec)
    chex.assert_trees_all_equal(again.weights, once.weights)
    same = aligned(reference, reference, spec)
    assert float(same.distance) == 0.0
    chex.assert_trees_all_equal(same.weights, jax.tree.map(jnp.asarray, reference))


def test_restarts_never_lose_and_a_key_decides_them():
    spec, weights, reference = two("tanh")
    plain = aligned(weights, reference, spec)
    tries = [aligned(weights, reference, spec, restarts=6, key=KEY) for _ in range(2)]
    assert tries[0].distance <= plain.distance
    chex.assert_trees_all_equal(tries[0].weights, tries[1].weights)


def test_the_solvers_and_jit_and_vmap_agree():
    spec, weights, reference = two("siren")
    distance = aligned(weights, reference, spec).distance
    for solver in SOLVERS[1:]:
        assert float(aligned(weights, reference, spec, solver=solver).distance) == pytest.approx(float(distance), 1e-5)
    stack = jax.tree.map(lambda a, b: np.stack([a, b]), weights, reference)
    many = jax.jit(jax.vmap(lambda a, b: ws.align(a, b, spec)))(stack, jax.tree.map(lambda x: x[::-1], stack))
    assert float(many.distance[0]) == pytest.approx(float(distance), rel=1e-5)
    shallow = SHALLOW["siren"]
    pair = [random_weights(jax.random.key(i), shallow) for i in (0, 1)]
    plain, found = ws.align(pair[0], pair[1], shallow), aligned(pair[0], pair[1], shallow)
    chex.assert_trees_all_close(plain.weights, found.weights, rtol=1e-5)
    assert float(plain.distance) == pytest.approx(float(found.distance), rel=1e-5)


def test_half_types_stay_and_whole_numbers_pass():
    spec = symmetry_of(
        {"hidden": dense_axes("in", "h"), "out": dense_axes("h*", "out"), "step": Axes()},
        {"in": Fixed(2, "input"), "h": Group(5, "tanh"), "out": Fixed(1, "output")},
    )
    draw = lambda i: {**random_weights(jax.random.key(i), spec, jnp.bfloat16), "step": np.int32(i)}
    found = aligned(draw(7), draw(8), spec)
    chex.assert_trees_all_equal_shapes_and_dtypes(found.weights, draw(7))
    assert int(found.weights["step"]) == 7


def test_float64_is_aligned_in_float64():
    with jax.enable_x64(True):
        spec = SHALLOW["siren"]
        weights = random_weights(KEY, spec, np.float64)
        found = aligned(ws.act(phases_too(KEY, spec), weights), weights, spec)
        assert found.distance.dtype == jnp.float64
        assert float(found.distance) < 1e-24


@pytest.mark.parametrize("width", [6, 12], ids=["on the devices", "on the host"])
def test_a_batch_spread_over_devices_is_aligned(width: int):
    spec = ws.siren((2, width, 1))
    networks_of = lambda seed: [random_weights(k, spec) for k in jax.random.split(jax.random.key(seed), 8)]
    stack = lambda seed: jax.tree.map(lambda *x: np.stack(x), *networks_of(seed))
    mine, theirs = stack(0), stack(1)
    run = jax.jit(jax.vmap(lambda a, b: ws.align(a, b, spec).distance))
    sharding = jax.NamedSharding(devices.data_mesh(), jax.P("batch"))
    spread = run(*jax.device_put((mine, theirs), sharding))
    np.testing.assert_allclose(np.asarray(spread), np.asarray(run(mine, theirs)), rtol=1e-5)


def test_a_batch_spread_over_devices_is_mixed_after_alignment():
    spec = ws.siren((2, 12, 1))
    stack = jax.tree.map(lambda *x: np.stack(x), *[random_weights(k, spec) for k in jax.random.split(KEY, 8)])
    batch = Batch(stack, np.eye(8, dtype=np.float32))
    run = jax.jit(lambda batch: mixup_aligned(KEY, batch, symmetry=spec))
    spread = run(jax.device_put(batch, jax.NamedSharding(devices.data_mesh(), jax.P("batch"))))
    chex.assert_trees_all_close(spread, run(batch), atol=1e-5)


DEEP = {
    "relu": (CASES["relu"].symmetry((2, 8, 7, 2)), 0),
    "siren": (CASES["siren"].symmetry((2, 6, 5, 2)), 0),
    "tanh": (CASES["tanh"].symmetry((2, 6, 5, 2)), 0),
    "residual": (RESIDUAL, 8),
}
"""Networks whose descent takes two sweeps and more, and the seed of their weights."""


@pytest.mark.parametrize("case", DEEP)
def test_every_step_of_a_deep_descent_is_scipys_optimum_and_none_raises_the_distance(case: str, monkeypatch):
    """The cost matrices, their solutions and the distances on the way are taken out of the compiled search."""
    spec, seed = DEEP[case]
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
    static = ("symmetry", "actions", "restarts", "max_sweeps", "solver")
    monkeypatch.setattr(module, "_search", jax.jit(own, static_argnames=static))
    found = ws.align(weights, reference, spec)
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


@pytest.mark.parametrize("spec", [RESIDUAL, tied()], ids=["residual convolutions", "recurrent"])
def test_any_symmetry_is_aligned(spec: Symmetry):
    weights, other = (random_weights(jax.random.key(i), spec) for i in (0, 1))
    moved = ws.act(signs_and_order(KEY, spec), weights)
    assert float(aligned(moved, weights, spec).distance) < 1e-10
    found = aligned(other, weights, spec)
    assert found.distance < ws.squared_distance(other, weights)
    assert float(found.distance) == pytest.approx(float(ws.squared_distance(found.weights, weights)), rel=1e-4)


def test_the_residual_networks_function_stays():
    x = jax.random.normal(KEY, (2, 6, 6, 1))
    weights, other = (jax.tree.map(np.asarray, Residual().init(jax.random.key(i), x)) for i in (0, 1))
    found = aligned(other, weights, RESIDUAL)
    assert change(Residual().apply(found.weights, x), Residual().apply(other, x)) < 1e-4


def test_neurons_that_may_not_be_reordered_keep_their_places():
    fixed = Group(5, "tanh", actions=("sign",))
    spec = symmetry_of([dense_axes("in", "h"), dense_axes("h*", "out")], {"in": Fixed(2), "h": fixed, "out": Fixed(1)})
    reference = random_weights(KEY, spec)
    flipped = ws.act(ws.sample_signs(KEY, spec), reference)
    found = aligned(flipped, reference, spec)
    assert float(found.distance) < 1e-10
    other = aligned(random_weights(jax.random.key(1), spec), reference, spec)
    for one in (found, other):
        np.testing.assert_array_equal(one.element.moves["h"].permutation, np.arange(5))


def test_a_distance_is_of_like_networks_and_of_wide_numbers(untyped):
    half = {"w": jnp.full(1000, 1.0, jnp.bfloat16)}
    assert float(ws.squared_distance(half, jax.tree.map(jnp.zeros_like, half))) == 1000
    with pytest.raises(ValueError, match=r"\['w'\] has shape \(1000,\); the other network expects \(1,\)"):
        ws.squared_distance(half, {"w": jnp.ones(1, jnp.bfloat16)})


def test_groups_are_grown_from_what_is_fixed():
    tree = [dense_axes("b*", "out"), dense_axes("a*", "b"), dense_axes("in", "a")]
    dims = {"in": Fixed(2, "input"), "b": Group(3), "a": Group(4), "out": Fixed(1, "output")}
    assert growth_order(symmetry_of(tree, dims)) == ["b", "a"]  # b touches the outputs
    deep = [dense_axes("c*", "d"), dense_axes("b*", "c"), dense_axes("a*", "b"), dense_axes("in", "a")]
    assert growth_order(symmetry_of(deep, {"in": Fixed(2), **{n: Group(3) for n in "dcba"}})) == ["a", "b", "c", "d"]


def test_refusals_name_the_way_out(untyped):
    spec, weights, reference = two("relu")
    with pytest.raises(ValueError, match=r"allows no signs; align over 'permutation', or over 'full'"):
        ws.align(weights, reference, spec, group="signed")
    with pytest.raises(ValueError, match=r"unknown group 'sign'.*permutation, signed, full.*mean 'signed'"):
        ws.align(weights, reference, spec, group="sign")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match=r"restarts is 2 and there is no key; pass key"):
        ws.align(weights, reference, spec, restarts=2)
    with pytest.raises(ValueError, match=r"weights\[0\].kernel has shape \(2, 7\).*expects \(2, 6\)"):
        ws.align(random_weights(KEY, ws.mlp((2, 7, 5, 2))), reference, spec)


def test_networks_align_inside_a_compiled_step_with_gradients_around_it():
    """The element is drawn from data that carries no gradient; what follows differentiates."""
    spec, weights, reference = two("siren")
    x = points(KEY, 2)

    @jax.jit
    def loss(scale):
        near = ws.align(jax.lax.stop_gradient(weights), reference, spec).weights
        return jnp.sum(jnp.square(networks.siren_apply(jax.tree.map(lambda x: scale * x, near), x)))

    assert np.isfinite(jax.grad(loss)(1.0))
