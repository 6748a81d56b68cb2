"""The combinators: keys, order, chance, traced settings, and batches spread over devices."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.core import Tracer
from jax.tree_util import Partial

from tests.augment.helpers import linear_layers
from tests.augment.test_laws import TOUCHES, assert_close, strong, thing
from tests.helpers import assert_identical, change, normed_spec, random_weights, touched
from tests.helpers import compiled as jitted
from wsjax import augment as wa
from wsjax import devices, symmetry
from wsjax.augment import compose
from wsjax.augment.statistics import statistics_of
from wsjax.typing import Batch

pytestmark = pytest.mark.usefixtures("untyped")

KEY = jax.random.key(0)
SPEC = symmetry.siren((2, 4, 1))
WEIGHTS = random_weights(KEY, SPEC)
BATCH = Batch(jax.tree.map(lambda x: np.stack([x, 2 * x, x + 1, -x]), WEIGHTS), jnp.eye(4))


@jax.jit
def draw(key, x):
    return x + jax.random.normal(key, x.shape)


run = jax.jit(lambda transform, key, x: transform(key, x))
add, double = (lambda key, x: x + 1.0), (lambda key, x: 2.0 * x)
ZERO = np.zeros(3, np.float32)


def test_a_chain_applies_in_order_and_an_empty_one_is_the_identity():
    assert float(wa.chain(add, double)(KEY, jnp.float32(1))) == 4.0
    assert float(wa.chain(double, add)(KEY, jnp.float32(1))) == 3.0
    assert wa.chain()(KEY, ZERO) is ZERO


def test_grouping_a_chain_changes_no_draw():
    flat = wa.chain(draw, draw, draw)(KEY, ZERO)
    for grouped in (wa.chain(wa.chain(draw, draw), draw), wa.chain(draw, wa.chain(wa.chain(draw), draw), wa.chain())):
        assert (grouped(KEY, ZERO) == flat).all()
    flattened_after_a_round_trip = jax.tree.map(lambda x: x, wa.chain(draw, draw))
    assert (wa.chain(flattened_after_a_round_trip, draw)(KEY, ZERO) == flat).all()


def test_a_step_added_at_the_end_changes_none_before():
    before = []
    keep = lambda key, x: before.append(x) or x
    wa.chain(draw, keep)(KEY, ZERO)
    wa.chain(draw, keep, draw, double)(KEY, ZERO)
    assert (before[0] == before[1]).all()


def test_every_step_has_a_key_of_its_own():
    first = wa.chain(draw)(KEY, ZERO)
    second = wa.chain(draw, draw)(KEY, ZERO) - first
    assert (jnp.abs(first - second) > 1e-3).all()


KEYS = jax.random.split(KEY, 3000)


def test_a_chance_is_met_and_a_branch_does_not_draw_with_the_key_that_chose_it():
    transform = lambda probability: wa.with_probability(probability, lambda key, x: x + 1 + jax.random.uniform(key))
    draws = jax.jit(jax.vmap(lambda key, probability: transform(probability)(key, 0.0), (0, None)))
    for probability in (0.0, 1.0, 0.3):
        taken = np.asarray(draws(KEYS, probability))
        taken = taken[taken > 0] - 1
        assert len(taken) / len(KEYS) == pytest.approx(probability, abs=0.03 * (0 < probability < 1))
    assert taken.max() > 0.95  # the uniform that decided was below 0.3
    assert taken.mean() == pytest.approx(0.5, abs=0.05)


def test_one_of_takes_each_in_proportion_to_its_weight():
    steps = [lambda key, x, n=n: x + n for n in range(3)]
    even = [wa.one_of(*steps), wa.one_of(*steps, weights=jnp.ones(3))]
    assert_identical(*(jax.tree.leaves(transform) for transform in even))
    draws = jax.jit(jax.vmap(lambda key, weights: wa.one_of(*steps, weights=weights)(key, 0.0), (0, None)))
    for weights in ([1.0, 1.0, 1.0], [2.0, 0.0, 6.0]):
        values = np.asarray(draws(KEYS, np.array(weights, np.float32)))
        found = [float((values == n).mean()) for n in range(3)]
        assert found == pytest.approx(np.array(weights) / sum(weights), abs=0.03)
        assert (found[1] == 0) == (weights[1] == 0)


def test_an_eager_choice_is_the_compiled_one_and_traces_nothing():
    """A switch outside of compiled code would compile its branches at every call."""
    traced = []

    def plus(key, x, *, n):
        traced.append(isinstance(x, Tracer))
        return x + n

    steps = [Partial(plus, n=n) for n in (1.0, 2.0)]
    for transform in (wa.one_of(*steps), wa.with_probability(0.5, steps[0])):
        keys = [jax.random.key(i) for i in range(8)]
        compiled = [float(run(transform, key, np.float32(0))) for key in keys]
        traced.clear()
        assert [float(transform(key, np.float32(0))) for key in keys] == compiled
        assert len(set(compiled)) == 2
        assert traced
        assert not any(traced)


def test_combinators_refuse_what_they_cannot_do():
    with pytest.raises(ValueError, match=r"number of transforms in one_of is 0"):
        wa.one_of()
    with pytest.raises(ValueError, match=r"one_of has 2 transforms but weights of shape \(3,\); give one each"):
        wa.one_of(add, double, weights=jnp.ones(3))
    for wrong in ([0.5, -0.1], [0.0, 0.0], [np.nan, 1.0], [np.inf, 1.0]):
        with pytest.raises(ValueError, match=r"one_of has weights .*expected numbers of 0 or more that are not all 0"):
            wa.one_of(add, double, weights=jnp.array(wrong))
    with pytest.raises(ValueError, match=r"probability is 1.5; it must be one number in \[0, 1\]"):
        wa.with_probability(1.5, add)
    with pytest.raises(ValueError, match=r"no field 'weight' in Batch; .*'weights', 'label'"):
        wa.on("weight", add)(KEY, BATCH)


def test_a_choice_keeps_integers_that_jax_would_cut():
    counting = {"step": np.array([2**40]), "w": ZERO}
    for transform in (wa.one_of(wa.noise(), wa.with_probability(0.5, wa.dropout())), wa.with_probability(0.0, add)):
        assert_identical(transform(KEY, counting)["step"], counting["step"])


def test_batched_gives_each_its_own_key_and_refuses_what_is_no_stack():
    rows = wa.batched(draw)(KEY, np.zeros((5, 3), np.float32))
    assert len(np.unique(np.asarray(rows).round(5))) == 15
    assert_identical(np.asarray(rows), np.stack([draw(k, ZERO) for k in jax.random.split(KEY, 5)]))
    for wrong, message in (
        ({"b": np.ones(3), "k": np.ones((2, 3))}, r"x\['k'\] has shape \(2, 3\); expected 3 rows, .* as x\['b'\] has"),
        ({"k": np.float32(1)}, r"x\['k'\] has shape \(\); expected a row for each network"),
    ):
        with pytest.raises(ValueError, match=message):
            wa.batched(draw)(KEY, wrong)


def test_order_says_whether_a_choice_is_made_for_each_or_once():
    subtract = lambda key, x: x - 1.0
    orders = [wa.batched(wa.one_of(add, subtract)), wa.one_of(wa.batched(add), wa.batched(subtract))]
    draws = jax.jit(jax.vmap(lambda key: [transform(key, jnp.zeros(8)) for transform in orders]))
    each, together = map(np.asarray, draws(KEYS[:8]))
    assert (each[:3].std(axis=1) > 0).all()
    assert (together.std(axis=1) == 0).all()
    assert set(np.unique(together)) == {-1.0, 1.0}


def test_on_reaches_one_field_and_leaves_the_rest():
    moved = wa.on("weights", wa.batched(wa.permute(SPEC)))(KEY, BATCH)
    assert moved.label is BATCH.label
    assert touched(moved.weights, BATCH.weights)


def pipeline(log=0.1, chance=0.5, alpha=0.4, degrees=30.0):
    one = wa.chain(
        wa.permute(SPEC),
        wa.one_of(wa.scale(SPEC, max_log=log), wa.rotate(SPEC, max_degrees=degrees)),
        wa.with_probability(chance, wa.flip_signs(SPEC)),
    )
    return wa.chain(wa.on("weights", wa.batched(one)), wa.mixup(alpha=alpha))


def test_a_pipeline_is_a_pytree_of_its_settings():
    leaves = jax.tree.leaves(pipeline())
    assert [leaf for leaf in leaves if isinstance(leaf, float)] == [0.1, 30.0, 0.5, 0.4]
    assert [leaf.tolist() for leaf in leaves if not isinstance(leaf, float)] == [[1.0, 1.0]]


def test_compiled_pipelines_agree_with_the_plain_one_and_changed_settings_do_not_compile_again():
    traces = []

    @jax.jit
    def run(transform, key, batch):
        traces.append(1)
        return transform(key, batch)

    plain = jax.jit(pipeline())(KEY, BATCH)  # its settings are constants there
    found = run(pipeline(), KEY, BATCH)
    chex.assert_trees_all_equal_shapes_and_dtypes(found, plain, BATCH)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(plain), strict=True):
        assert change(a, b) < 1e-5
    for settings in ((0.2, 0.1, 1.0, 5.0), (0.0, 1.0, 0.2, 0.0)):
        assert touched(run(pipeline(*settings), KEY, BATCH), plain)
    assert len(traces) == 1


def test_gradients_flow_to_the_settings():
    labeled = Batch(np.eye(4, dtype=np.float32), np.eye(4, dtype=np.float32))

    @jax.jit
    @functools.partial(jax.value_and_grad, argnums=(0, 1))
    def total(std, alpha):
        transform = wa.chain(wa.on("weights", wa.noise(std=std)), wa.mixup(alpha=alpha))
        mixed = transform(KEY, labeled)
        return jnp.square(mixed.weights).sum() + jnp.square(mixed.label).sum()

    _, (by_std, by_alpha) = total(0.3, 0.5)
    difference = (total(0.31, 0.5)[0] - total(0.29, 0.5)[0]) / 0.02
    assert float(by_std) == pytest.approx(float(difference), rel=0.05)
    assert np.isfinite(by_alpha)
    assert abs(by_alpha) > 1e-3


def test_a_batch_spread_over_devices_is_augmented_where_it_lies():
    stack = jax.tree.map(lambda x: np.stack([x * (i + 1) for i in range(8)]), WEIGHTS)
    one = wa.chain(wa.permute(SPEC), wa.noise(std=0.1))
    mesh = devices.data_mesh()
    assert mesh.size == 4
    sharding = jax.NamedSharding(mesh, jax.P("batch"))
    spread = jax.device_put(stack, sharding)
    run = jax.jit(lambda key, x: wa.batched(one)(key, x))
    program = run.lower(KEY, spread).compile().as_text() or ""
    assert "num_partitions=4" in program
    collectives = ("all-reduce", "all-gather", "all-to-all", "collective-permute", "reduce-scatter")
    assert [name for name in collectives if name in program] == []
    moved = run(KEY, spread)
    assert moved[0].kernel.sharding.is_equivalent_to(sharding, 3)
    for a, b in zip(jax.tree.leaves(moved), jax.tree.leaves(run(KEY, stack)), strict=True):
        assert change(a, b) < 1e-6


LEFT_OUT = {
    ("bias",): {"[0].bias", "[1].bias"},
    ("kernel",): {"[0].kernel", "[1].kernel"},
    ("input",): {"[0].kernel"},
    ("output",): {"[1].kernel", "[1].bias"},
    ("weights[0].bias",): {"[0].bias"},
    ("input", "weights[1].bias"): {"[0].kernel", "[1].bias"},
}


def test_what_is_left_out_stays_and_the_rest_is_as_without():
    other = lambda key, weights: jax.tree.map(lambda leaf: leaf + jax.random.uniform(key, leaf.shape), weights)
    whole = other(KEY, WEIGHTS)
    assert len(touched(whole, WEIGHTS)) == 4
    for arrays, left in LEFT_OUT.items():
        moved = compose.leave_out(other, symmetry=SPEC, arrays=arrays)(KEY, WEIGHTS)
        assert touched(moved, WEIGHTS) == touched(whole, WEIGHTS) - left, arrays
        assert touched(moved, whole) == left, arrays


def test_roles_and_kernels_are_read_from_the_axes_of_any_network():
    spec = normed_spec("permute")
    variables, other = random_weights(KEY, spec), lambda key, weights: jax.tree.map(lambda leaf: leaf + 1, weights)
    for name, count in (("kernel", 2), ("bias", 3), ("input", 1), ("output", 2)):
        moved = compose.leave_out(other, symmetry=spec, arrays=(name,))(KEY, variables)
        assert len(touched(moved, variables)) == len(spec.axes) - count, name


def test_leaving_out_what_is_not_there_is_refused_with_what_is(untyped):
    with pytest.raises(
        ValueError, match=r"array to leave out 'outputs'; .*bias, kernel, input, output, weights\[0\].ker"
    ):
        compose.leave_out(wa.noise(), symmetry=SPEC, arrays=("outputs",))
    with pytest.raises(ValueError, match=r"number of arrays to leave out is 0"):
        compose.leave_out(wa.noise(), symmetry=SPEC, arrays=())
    with pytest.raises(ValueError, match=r"weights\[0\].kernel has shape \(4, 2, 4\).*augment.batched"):
        compose.leave_out(wa.noise(), symmetry=SPEC, arrays=("bias",))(KEY, BATCH.weights)


def test_static_settings_made_again_do_not_compile_again_and_others_do():
    traces = []

    def turned(key, x, *, way: str, factor: float):
        return factor * (x if way == "up" else -x)

    @jax.jit
    def run(transform, x):
        traces.append(1)
        return transform(KEY, x)

    step = lambda way, factor: Partial(compose.static(turned, way=way), factor=factor)
    assert [float(run(step("up", s), jnp.float32(2))) for s in (1.0, 3.0)] == [2.0, 6.0]
    assert len(traces) == 1
    assert float(run(step("down", 3.0), jnp.float32(2))) == -6.0
    assert len(traces) == 2
    given = Partial(turned, way="up", factor=3.0)  # whose text the combinators bind
    assert [float(run(wa.chain(step), jnp.float32(2))) for step in (given, given)] == [6.0, 6.0]
    assert len(traces) == 3
    for again in (
        compose.leave_out(wa.translate(SPEC, max_shift=s), symmetry=SPEC, arrays=("bias",)) for s in (0.1, 0.2)
    ):
        run(again, WEIGHTS)
    assert len(traces) == 4


def test_every_augmentation_runs_inside_shard_map():
    mesh = jax.make_mesh((2,), ("batch",), axis_types=(jax.sharding.AxisType.Auto,))
    spec, relu, linear = symmetry.siren((2, 4, 3)), symmetry.mlp((2, 4, 3)), linear_layers((2, 4, 3))
    stack = jax.tree.map(lambda x: np.stack([x] * 4), random_weights(jax.random.key(0), spec))
    batch = Batch(stack, np.eye(4, dtype=np.float32), np.arange(4, dtype=np.int32) % 2)
    known = {"statistics": statistics_of(stack), "pool": batch}
    keys = jax.random.split(jax.random.key(0), 4)
    for name, entry in wa.CATALOGUE.items():
        own = {"symmetry": relu if "rescale" in name else linear if name == "mix_basis" else spec, **known}
        needs = {need: own[need] for need in entry.needs if need in own}
        run = functools.partial(entry.function, **needs)
        one = jax.vmap(run) if entry.level == "network" else lambda key, x, run=run: run(key[0], x)
        sharded = jax.shard_map(one, mesh=mesh, in_specs=jax.P("batch"), out_specs=jax.P("batch"))
        jax.eval_shape(sharded, keys, stack if entry.level == "network" else batch)


def test_compiled_gives_what_jit_gives_and_passes_on_the_rest():
    names = ("rotate", "contrast", "permute", "noise", "mixup", "label_smoothing")
    each = lambda steps, key, x: {name: step(key, x[name]) for name, step in steps.items()}
    all_of_them = Partial(each, {name: strong(name) for name in names})
    given = {name: jax.tree.map(np.asarray, thing(name)) for name in names}
    found, expected = compose.compiled(all_of_them)(KEY, given), jitted(all_of_them, KEY, given)
    for name in names:
        assert_close(found[name], expected[name])
        pairs = zip(jax.tree_util.tree_leaves_with_path(found[name]), jax.tree.leaves(given[name]), strict=True)
        assert {jax.tree_util.keystr(path) for (path, a), b in pairs if a is not b} == TOUCHES[name], name


def test_compiled_with_other_settings_compiles_nothing_anew():
    traced = []

    def moved(key, x, *, by):
        traced.append(by)
        return x[0] + by, x[1]

    pair = np.ones(3), np.zeros(2)
    for by in (1.0, 2.0):
        first, second = compose.compiled(Partial(moved, by=by))(KEY, pair)
        np.testing.assert_array_equal(first, 1 + by)
        assert second is pair[1]
    assert len(traced) == 1


def test_arrays_that_change_places_are_passed_on_to_their_new_ones():
    one, other = np.ones(3), np.zeros(2)
    found = compose.compiled(lambda key, x: (x[1], x[0]))(KEY, (one, other))
    assert found[0] is other
    assert found[1] is one
