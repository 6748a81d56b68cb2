"""The combinators: keys, order, chance, traced settings, and batches spread over devices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.core import Tracer
from jax.tree_util import Partial

from tests.helpers import Normed, assert_identical, change, normed_spec, points, random_weights, touched
from wsjax import augment as wa
from wsjax import devices, symmetry
from wsjax.typing import Batch

KEY = jax.random.key(0)
SPEC = symmetry.siren((2, 4, 1))
WEIGHTS = random_weights(KEY, SPEC)
BATCH = Batch(jax.tree.map(lambda x: np.stack([x, 2 * x, x + 1, -x]), WEIGHTS), jnp.eye(4))


def draw(key, x):
    return x + jax.random.normal(key, x.shape)


add, double = (lambda key, x: x + 1.0), (lambda key, x: 2.0 * x)
ZERO = jnp.zeros(3)


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


@pytest.mark.parametrize(("probability", "share"), [(0.0, 0.0), (1.0, 1.0), (0.3, 0.3)])
def test_a_chance_is_met(probability: float, share: float):
    transform = wa.with_probability(probability, add)
    values = jax.vmap(lambda k: transform(k, jnp.float32(0)))(jax.random.split(KEY, 1000))
    assert set(np.unique(values)) <= {0.0, 1.0}
    assert float(values.mean()) == pytest.approx(share, abs=0.04 * (0 < share < 1))


def test_a_branch_does_not_draw_with_the_key_that_chose_it():
    transform = wa.with_probability(0.5, lambda key, x: x + jax.random.uniform(key))
    values = jax.vmap(lambda k: transform(k, jnp.float32(0)))(jax.random.split(KEY, 1000))
    taken = values[values > 0]
    assert float(taken.max()) > 0.95  # the uniform that decided was below 0.5
    assert float(taken.mean()) == pytest.approx(0.5, abs=0.05)


def test_one_of_takes_each_in_proportion_to_its_weight():
    steps = [lambda key, x, n=n: x + n for n in range(3)]
    keys = jax.random.split(KEY, 3000)
    for weights, shares in ((None, [1 / 3] * 3), ([2.0, 0.0, 6.0], [0.25, 0.0, 0.75])):
        transform = wa.one_of(*steps, weights=None if weights is None else jnp.asarray(weights))
        values = jax.vmap(lambda k, t=transform: t(k, jnp.float32(0)))(keys)
        found = [float((values == n).mean()) for n in range(3)]
        assert found == pytest.approx(shares, abs=0.03)
        assert (found[1] == 0) == (shares[1] == 0)


def test_an_eager_choice_is_the_compiled_one_and_traces_nothing():
    """A switch outside of compiled code would compile its branches at every call."""
    traced = []

    def plus(key, x, *, n):
        traced.append(isinstance(x, Tracer))
        return x + n

    steps = [Partial(plus, n=n) for n in (1.0, 2.0)]
    for transform in (wa.one_of(*steps), wa.with_probability(0.5, steps[0])):
        keys = [jax.random.key(i) for i in range(8)]
        compiled = [float(jax.jit(transform)(key, jnp.float32(0))) for key in keys]
        traced.clear()
        assert [float(transform(key, jnp.float32(0))) for key in keys] == compiled
        assert len(set(compiled)) == 2
        assert traced
        assert not any(traced)


def test_combinators_refuse_what_they_cannot_do():
    with pytest.raises(ValueError, match=r"number of transforms in one_of is 0"):
        wa.one_of()
    with pytest.raises(ValueError, match=r"one_of has 2 transforms but weights of shape \(3,\); give one each"):
        wa.one_of(add, double, weights=jnp.ones(3))
    for wrong in ([0.5, -0.1], [0.0, 0.0]):
        with pytest.raises(ValueError, match=r"one_of has weights .*expected numbers of 0 or more that are not all 0"):
            wa.one_of(add, double, weights=jnp.array(wrong))
    with pytest.raises(ValueError, match=r"probability is 1.5; it must be one number in \[0, 1\]"):
        wa.with_probability(1.5, add)
    with pytest.raises(ValueError, match=r"no field 'weight' in Batch; .*'weights', 'label'"):
        wa.on("weight", add)(KEY, BATCH)


def test_batched_gives_each_its_own_key():
    rows = wa.batched(draw)(KEY, jnp.zeros((5, 3)))
    assert len(np.unique(np.asarray(rows).round(5))) == 15
    keys = jax.random.split(KEY, 5)
    assert_identical(rows, jnp.stack([draw(k, ZERO) for k in keys]))


def test_order_says_whether_a_choice_is_made_for_each_or_once():
    choice = wa.one_of(lambda key, x: x + 1.0, lambda key, x: x - 1.0)
    each = np.stack([wa.batched(choice)(jax.random.key(i), jnp.zeros(8)) for i in range(3)])
    assert (each.std(axis=1) > 0).all()
    once = wa.one_of(wa.batched(add), wa.batched(lambda key, x: x - 1.0))
    together = np.stack([once(jax.random.key(i), jnp.zeros(8)) for i in range(8)])
    assert (together.std(axis=1) == 0).all()
    assert set(np.unique(together)) == {-1.0, 1.0}


def test_on_reaches_one_field_and_leaves_the_rest():
    moved = wa.on("weights", wa.batched(Partial(wa.permute, symmetry=SPEC)))(KEY, BATCH)
    assert moved.label is BATCH.label
    assert touched(moved.weights, BATCH.weights)


def pipeline(std=0.1, chance=0.5, alpha=0.4, degrees=30.0):
    one = wa.chain(
        Partial(wa.permute, symmetry=SPEC),
        wa.one_of(Partial(wa.noise, std=std), Partial(wa.rotate, symmetry=SPEC, max_degrees=degrees)),
        wa.with_probability(chance, Partial(wa.flip_signs, symmetry=SPEC)),
    )
    return wa.chain(wa.on("weights", wa.batched(one)), Partial(wa.mixup, alpha=alpha))


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

    plain = pipeline()(KEY, BATCH)
    assert jax.tree.map(jnp.shape, plain) == jax.tree.map(jnp.shape, BATCH)
    for a, b in zip(jax.tree.leaves(run(pipeline(), KEY, BATCH)), jax.tree.leaves(plain), strict=True):
        assert a.dtype == b.dtype
        assert change(a, b) < 1e-5
    for settings in ((0.2, 0.1, 1.0, 5.0), (0.0, 1.0, 0.2, 0.0)):
        assert touched(run(pipeline(*settings), KEY, BATCH), plain)
    assert len(traces) == 1


def test_gradients_flow_to_the_settings():
    labelled = Batch(jnp.eye(4), jnp.eye(4))

    def total(std, alpha):
        transform = wa.chain(wa.on("weights", Partial(wa.noise, std=std)), Partial(wa.mixup, alpha=alpha))
        mixed = transform(KEY, labelled)
        return jnp.square(mixed.weights).sum() + jnp.square(mixed.label).sum()

    by_std, by_alpha = jax.jit(jax.grad(total, argnums=(0, 1)))(0.3, 0.5)
    difference = (total(0.31, 0.5) - total(0.29, 0.5)) / 0.02
    assert float(by_std) == pytest.approx(float(difference), rel=0.05)
    assert np.isfinite(by_alpha)
    assert abs(by_alpha) > 1e-3


def test_a_population_of_settings_runs_by_vmap():
    stds = jnp.array([0.0, 0.1, 1.0])
    many = jax.vmap(lambda s: Partial(wa.noise, std=s)(KEY, WEIGHTS))(stds)
    for i, std in enumerate(stds):
        one = wa.noise(KEY, WEIGHTS, std=std)
        assert change(many[0].kernel[i], one[0].kernel) < 1e-6
    assert_identical(jax.tree.map(lambda x: x[0], many), WEIGHTS)


def test_numpy_leaves_pass_every_combinator():
    transform = wa.one_of(lambda key, x: x, wa.with_probability(0.5, Partial(wa.noise, std=0.1)))
    moved = transform(KEY, WEIGHTS)
    assert jax.tree.map(jnp.shape, moved) == jax.tree.map(jnp.shape, WEIGHTS)


def test_a_batch_spread_over_devices_is_augmented_where_it_lies():
    spec = symmetry.siren((2, 4, 1))
    weights = random_weights(KEY, spec)
    stack = jax.tree.map(lambda x: np.stack([x * (i + 1) for i in range(8)]), weights)
    one = wa.chain(
        Partial(wa.permute, symmetry=spec),
        Partial(wa.flip_signs, symmetry=spec),
        Partial(wa.rotate, symmetry=spec),
        Partial(wa.noise, std=0.1),
    )
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


@pytest.mark.parametrize("arrays", LEFT_OUT)
def test_what_is_left_out_stays_and_the_rest_is_as_without(arrays: tuple[str, ...]):
    other = lambda key, weights: jax.tree.map(lambda leaf: leaf + jax.random.uniform(key, leaf.shape), weights)
    moved, whole = wa.leave_out(other, symmetry=SPEC, arrays=arrays)(KEY, WEIGHTS), other(KEY, WEIGHTS)
    assert len(touched(whole, WEIGHTS)) == 4
    assert touched(moved, WEIGHTS) == touched(whole, WEIGHTS) - LEFT_OUT[arrays]
    assert touched(moved, whole) == LEFT_OUT[arrays]


def test_roles_and_kernels_are_read_from_the_axes_of_any_network():
    spec = normed_spec("permute")
    variables = jax.tree.map(np.asarray, Normed().init(KEY, points(KEY, 3)))
    variables = jax.tree.map(lambda leaf: leaf + np.arange(leaf.size, dtype=np.float32).reshape(leaf.shape), variables)
    for name, count in (("kernel", 2), ("bias", 3), ("input", 1), ("output", 2)):
        moved = wa.leave_out(Partial(wa.noise, std=0.5), symmetry=spec, arrays=(name,))(KEY, variables)
        assert len(touched(moved, variables)) == len(spec.axes) - count, name


def test_leaving_out_what_is_not_there_is_refused_with_what_is(untyped):
    with pytest.raises(
        ValueError, match=r"array to leave out 'outputs'; .*bias, kernel, input, output, weights\[0\].ker"
    ):
        wa.leave_out(Partial(wa.noise), symmetry=SPEC, arrays=("outputs",))
    with pytest.raises(ValueError, match=r"number of arrays to leave out is 0"):
        wa.leave_out(Partial(wa.noise), symmetry=SPEC, arrays=())
    with pytest.raises(ValueError, match=r"weights\[0\].kernel has shape \(4, 2, 4\).*augment.batched"):
        wa.leave_out(Partial(wa.noise), symmetry=SPEC, arrays=("bias",))(KEY, BATCH.weights)


def test_static_settings_made_again_do_not_compile_again_and_others_do():
    traces = []

    def turned(key, x, *, way: str, share: float):
        return share * (x if way == "up" else -x)

    @jax.jit
    def run(transform, x):
        traces.append(1)
        return transform(KEY, x)

    step = lambda way, share: Partial(wa.static(turned, way=way), share=share)
    assert [float(run(step("up", s), jnp.float32(2))) for s in (1.0, 3.0)] == [2.0, 6.0]
    assert len(traces) == 1
    assert float(run(step("down", 3.0), jnp.float32(2))) == -6.0
    assert len(traces) == 2
    for again in (wa.leave_out(Partial(wa.noise, std=s), symmetry=SPEC, arrays=("bias",)) for s in (0.1, 0.2)):
        run(again, WEIGHTS)
    assert len(traces) == 3


def test_flax_variables_pass_a_whole_pipeline():
    spec = normed_spec("permute")
    x = points(KEY, 3)
    variables = jax.tree.map(jnp.asarray, Normed().init(KEY, x))
    exact = wa.chain(Partial(wa.permute, symmetry=spec), Partial(wa.translate, symmetry=spec, max_shift=0.0))
    assert change(Normed().apply(exact(KEY, variables), x), Normed().apply(variables, x)) < 1e-5
    whole = wa.chain(
        exact,
        wa.one_of(Partial(wa.noise, std=0.05), Partial(wa.scale, symmetry=spec)),
        wa.with_probability(0.5, Partial(wa.translate, symmetry=spec)),
    )
    pair = jax.jit(wa.batched(whole))(KEY, jax.tree.map(lambda v: jnp.stack([v, v]), variables))
    for i in range(2):
        moved = jax.tree.map(lambda v, i=i: v[i], pair)
        assert jax.tree.map(jnp.shape, moved) == jax.tree.map(jnp.shape, variables)
        assert 0 < change(Normed().apply(moved, x), Normed().apply(variables, x)) < 1
    assert touched(*(jax.tree.map(lambda v, i=i: v[i], pair) for i in range(2)))
