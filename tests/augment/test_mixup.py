"""MixUp and label smoothing: which networks are mixed, by how much, and with which label."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tests.helpers import CASES, assert_identical, change, dense_axes, points, random_weights
from tests.symmetry import linear
from wsjax import augment as wa
from wsjax import symmetry
from wsjax.augment.mixup import mix
from wsjax.augment.mixup import partners as partners_of
from wsjax.typing import Batch

pytestmark = pytest.mark.usefixtures("untyped")

SIZE = 4
EYE = np.eye(SIZE, dtype=np.float32)
KEY = jax.random.key(3)
KEYS = jax.random.split(jax.random.key(0), 700)
ROWS = Batch({"kernel": EYE, "step": np.arange(SIZE, dtype=np.int32)}, EYE, np.array([8, 5, 8, 5], np.int32))
"""Network i is the i-th unit vector, and so is its label: a mixed row shows the networks in it and their parts."""

POOLED = {"mixup_with": wa.mixup_with, "mixup_views_of_a_pool": wa.mixup_views}
FORMS = {
    "mixup": wa.mixup,
    "mixup_hard": wa.mixup_hard,
    "mixup_views": wa.mixup_views,
    "mixup_within_class": wa.mixup_within_class,
    "mixup_self": functools.partial(wa.mixup_self, transform=wa.noise(std=0.1)),
    **{name: functools.partial(form, pool=ROWS) for name, form in POOLED.items()},
}
BLENDING = {name: FORMS[name] for name in ("mixup", "mixup_views", *POOLED)}
LOWS = np.array([0.0, 0.5, 1.0], np.float32)


@functools.cache
def made(labels: bool = True) -> dict[str, list[Batch]]:
    """What every form makes of the rows, with their labels or without, at each of the low bounds: one program."""
    rows = ROWS if labels else ROWS._replace(label=None)
    forms = FORMS | {name: functools.partial(form, pool=rows) for name, form in POOLED.items()}
    forms = forms if labels else {name: form for name, form in forms.items() if name != "mixup_within_class"}
    run = lambda low, key: {name: form(low=low)(key, rows) for name, form in forms.items()}
    many = jax.vmap(run, (0, None))
    found = jax.tree.map(np.asarray, jax.jit(many)(LOWS, KEY))
    return {name: [jax.tree.map(lambda x, i=i: x[i], one) for i in range(len(LOWS))] for name, one in found.items()}


partners = jax.jit(partners_of, static_argnums=1)


@given(st.lists(st.integers(-2, 2), min_size=9, max_size=9), st.integers(0, 2**31 - 1))
def test_partners_run_along_one_cycle_through_each_pool(pool: list[int], seed: int):
    numbers = np.array(pool, np.int32)
    partner = np.asarray(partners(jax.random.key(seed), len(pool), numbers))
    np.testing.assert_array_equal(numbers[partner], numbers)
    steps, place = np.zeros(len(pool), int), np.arange(len(pool))
    for i in range(1, len(pool) + 1):
        place = partner[place]
        steps = np.where((place == np.arange(len(pool))) & (steps == 0), i, steps)
    # Back home after a visit to all of its pool, and no sooner.
    np.testing.assert_array_equal(steps, (numbers[:, None] == numbers[None, :]).sum(axis=1))


def test_the_whole_batch_is_one_pool():
    for key in KEYS[:5]:
        assert_identical(partners(key, 9), partners(key, 9, np.full(9, -3, np.int32)))


@pytest.mark.parametrize("pool", [None, jnp.array([3, 1, 1, 3, 1, 3, 3, 9])], ids=["batch", "pools"])
def test_every_other_network_of_the_pool_is_equally_likely_and_oneself_never(pool):
    size = 8
    keys = jax.random.split(KEY, 4000)
    found = np.asarray(jax.jit(jax.vmap(lambda k: partners(k, size, pool)))(keys))
    numbers = np.zeros(size) if pool is None else np.asarray(pool)
    for i in range(size):
        counts = np.bincount(found[:, i], minlength=size)
        others = (numbers == numbers[i]) & (np.arange(size) != i)
        allowed = others if others.any() else np.arange(size) == i
        assert (counts[~allowed] == 0).all()
        assert allowed.sum() == 1 or stats.chisquare(counts[allowed]).pvalue > 1e-4


def test_cycles_are_uniform_and_not_only_partners():
    """Each of the six cycles through four networks is drawn as often as any other."""
    found = np.asarray(jax.jit(jax.vmap(lambda k: partners(k, SIZE)))(jax.random.split(KEY, 3000)))
    cycles, counts = np.unique(found, axis=0, return_counts=True)
    assert len(cycles) == 6
    assert stats.chisquare(counts).pvalue > 1e-4


@pytest.mark.parametrize("name", BLENDING)
def test_weights_and_labels_mix_two_networks_by_one_coefficient(name: str):
    mixed = made()[name][0]
    assert_identical(mixed.weights["kernel"], mixed.label)
    assert_identical(mixed.weights["step"], ROWS.weights["step"])
    assert_identical(mixed.object, ROWS.object)
    np.testing.assert_allclose(mixed.label.sum(axis=1), 1, atol=1e-6)
    assert ((mixed.label > 0).sum(axis=1) <= 2).all()
    own = np.diag(mixed.label).round(5)
    met = own[own < 1]  # a pool that holds the batch lets a network meet itself
    assert len(np.unique(met)) == len(met) >= 2  # a coefficient for each


@jax.jit
def coefficients(settings: dict) -> jax.Array:
    """What each network contributes to its own mixture, over many draws."""
    draw = lambda key: jnp.diag(wa.mixup(**settings)(key, ROWS).label)
    return jax.vmap(draw)(jax.random.split(jax.random.key(1), 1500)).reshape(-1)


@pytest.mark.parametrize(
    ("alpha", "beta", "low", "high"),
    [
        (0.3, None, 0.0, 1.0),
        (0.5, None, 0.0, 1.0),
        (1.0, None, 0.0, 1.0),
        (4.0, None, 0.0, 1.0),
        (1.0, None, 0.2, 0.6),
        (60.0, None, 0.5, 1.0),
        (2.0, 2.0, 0.0, 1.0),
        (0.7, 3.0, 0.25, 1.0),
    ],
)
def test_the_coefficient_is_beta_distributed_between_its_bounds(
    alpha: float, beta: float | None, low: float, high: float
):
    found = np.asarray(coefficients({"alpha": alpha, "beta": beta, "low": low, "high": high}), np.float64)
    coefficient = lambda alpha: stats.beta(alpha, alpha if beta is None else beta, loc=low, scale=high - low)
    assert stats.kstest(found, coefficient(alpha).cdf).pvalue > 1e-4
    assert stats.kstest(found, coefficient(1.3 * alpha).cdf).pvalue < 1e-4


def test_any_alpha_gives_coefficients_and_gradients_that_are_numbers():
    alphas = jnp.array([1e-3, 0.05, 1.0, 1e4, 1e38])
    coefficient = lambda alpha: coefficients({"alpha": alpha})
    found, gradient = jax.jit(jax.vmap(lambda a: jax.jvp(coefficient, (a,), (jnp.ones_like(a),))))(alphas)
    assert ((found >= 0) & (found <= 1)).all()
    assert np.isfinite(gradient).all()
    from_middle = np.abs(found - 0.5)
    assert np.quantile(from_middle[0], 0.02) > 0.499  # one network takes all
    assert from_middle[3:].max() < 0.02  # both the same


def test_coefficients_and_partners_are_drawn_apart():
    """Over many draws, a coefficient is independent of the partner, and of the coefficients of others."""
    label = jax.jit(jax.vmap(lambda k: wa.mixup(alpha=1.0)(k, ROWS).label))(KEYS)
    coefficient = np.asarray(jnp.diagonal(label, axis1=1, axis2=2))
    partner = np.asarray((label - jax.vmap(jnp.diag)(coefficient)).argmax(axis=2))
    by_partner = [coefficient[partner[:, 0] == i, 0] for i in (1, 2, 3)]
    assert stats.kruskal(*by_partner).pvalue > 1e-4
    correlation = np.corrcoef(coefficient.T) - np.eye(SIZE)
    assert np.abs(correlation).max() < 0.15


@pytest.mark.parametrize("name", FORMS)
def test_a_coefficient_of_1_is_the_identity(name: str):
    assert_identical(made()[name][-1], ROWS)
    assert not np.array_equal(made()[name][0].weights["kernel"], EYE) or name == "mixup_within_class"


def test_a_network_without_a_partner_stays():
    alone = Batch(np.full((1, 3), 2.0, np.float32), EYE[:1], np.array([0], np.int32))
    same = functools.partial(wa.mixup_self, transform=lambda key, w: w)
    pooled = {name: functools.partial(form, pool=alone) for name, form in POOLED.items()}
    forms = FORMS | pooled | {"mixup_self": same}
    found = jax.jit(lambda key: {name: form()(key, alone) for name, form in forms.items()})(KEY)
    for name, mixed in found.items():
        assert change(mixed.weights, alone.weights) < 1e-6, name


def test_the_hard_label_is_that_of_the_larger_part():
    names = ROWS._replace(label={"class": jnp.arange(SIZE), "target": EYE})
    both = lambda k: (wa.mixup(alpha=1.0)(k, ROWS), wa.mixup_hard(alpha=1.0)(k, names))
    soft, hard = jax.tree.map(np.asarray, jax.jit(jax.vmap(both))(KEYS[:20]))
    assert_identical(hard.weights, soft.weights)
    np.testing.assert_array_equal(hard.label["class"], soft.label.argmax(axis=2))
    np.testing.assert_array_equal(hard.label["target"], EYE[soft.label.argmax(axis=2)])
    assert len(np.unique(hard.label["class"] == np.arange(SIZE))) == 2
    assert_identical(jax.jit(wa.mixup_hard(low=0.5, high=0.5))(KEY, ROWS).label, EYE)  # a tie keeps its own


def test_an_augmented_copy_keeps_the_label_and_draws_for_each_network():
    batch = Batch(jnp.zeros((SIZE, 50)), jnp.arange(SIZE), None)
    mixed = wa.mixup_self(transform=lambda k, w: w + jax.random.normal(k, w.shape), low=0.75, high=0.75)(KEY, batch)
    assert_identical(mixed.label, batch.label)
    np.testing.assert_allclose(mixed.weights.std(axis=1), 0.25, rtol=0.4)
    assert np.abs(np.corrcoef(mixed.weights) - np.eye(SIZE)).max() < 0.5


def test_no_other_network_takes_part_in_a_mixture_with_oneself():
    turned = wa.mixup_self(transform=lambda k, w: jax.tree.map(lambda x: 3 * x, w), alpha=1.0)(KEY, ROWS)
    assert_identical(turned.weights["kernel"], jnp.diag(jnp.diag(turned.weights["kernel"])))
    assert_identical(turned.weights["step"], ROWS.weights["step"])
    assert ((jnp.diag(turned.weights["kernel"]) > 1) & (jnp.diag(turned.weights["kernel"]) < 3)).all()


PLACES = np.array([0, 1, 0, 2, 1, 0])


def test_only_networks_of_one_object_or_class_meet_and_all_of_them_do():
    """Who contributes to whom, over many draws; the networks are unit vectors."""
    batch = Batch(jnp.eye(6), (0.9 * np.eye(3)[PLACES] + 0.03).astype(np.float32), (7 * PLACES - 3).astype(np.int32))
    forms = (wa.mixup_views(), wa.mixup_within_class(), wa.mixup())
    many = jax.jit(jax.vmap(lambda k: [form(k, batch)[:2] for form in forms]))(KEYS[:60])
    views, classes, all_of_them = (np.asarray(weights > 0).any(axis=0) for weights, _ in many)
    np.testing.assert_allclose(many[1][1], np.stack([batch.label] * 60), atol=1e-6)  # labels stay within a class
    np.testing.assert_array_equal(views, PLACES[:, None] == PLACES[None, :])
    np.testing.assert_array_equal(classes, PLACES[:, None] == PLACES[None, :])
    assert all_of_them.all()


def test_partners_come_from_the_pool_given_and_all_of_it():
    batch, pool = Batch(jnp.zeros((2, 5)), jnp.zeros((2, 5))), Batch(np.eye(5), np.eye(5, dtype=np.float32))
    many = jax.jit(jax.vmap(lambda k, p: wa.mixup_with(pool=p, alpha=1.0)(k, batch), in_axes=(0, None)))(KEYS, pool)
    assert ((many.weights > 0).sum(axis=2) == 1).all()
    assert_identical(many.weights, many.label)
    for i in range(2):
        assert stats.chisquare(np.bincount(many.weights[:, i].argmax(axis=1), minlength=5)).pvalue > 1e-4


def test_views_of_a_pool_are_those_of_the_same_object_each_equally_likely():
    """Objects in no order, with negative numbers; of the last the pool holds none, so that its network stays."""
    shown = np.array([4, -2, 9, 4, 4, -2, 0], np.int32)
    pool = Batch(np.eye(7, dtype=np.float32), np.eye(7, dtype=np.float32), shown)
    batch = Batch(jnp.full((4, 7), -1.0), jnp.full((4, 7), -1.0), jnp.array([-2, 9, 4, 5]))
    mix_one = lambda key, others: wa.mixup_views(pool=others, low=0.5, high=0.5)(key, batch)
    many = jax.jit(jax.vmap(mix_one, in_axes=(0, None)))(KEYS, pool)
    assert_identical(many.weights, many.label)
    assert_identical(many.object[0], batch.object)
    assert_identical(many.weights[:, 3], jnp.full((len(KEYS), 7), -1.0))
    for i in range(3):
        counts = np.bincount(many.weights[:, i].argmax(axis=1), minlength=7)
        of_the_object = shown == np.asarray(batch.object)[i]
        assert (counts[~of_the_object] == 0).all()
        assert of_the_object.sum() == 1 or stats.chisquare(counts[of_the_object]).pvalue > 1e-4


def test_a_permuted_partner_computes_the_same_function_but_its_mixture_another():
    spec, apply, x = CASES["siren"].symmetry((2, 5, 3, 2)), CASES["siren"].apply, points(KEY, 2)
    nets = jax.tree.map(lambda *w: np.stack(w), *[random_weights(key, spec) for key in KEYS[:SIZE]])
    decode = jax.jit(jax.vmap(apply, in_axes=(0, None)))

    @jax.jit
    def mixed(coefficient):
        batch, bounds = Batch(nets, EYE), {"low": coefficient, "high": coefficient}
        return wa.mixup(**bounds)(KEY, batch), wa.mixup_permuted(spec, **bounds)(KEY, batch)

    whole, reordered = mixed(0.0)
    assert_identical(reordered.label, whole.label)  # the same partners
    assert change(decode(reordered.weights, x), decode(whole.weights, x)) < 1e-5
    pairs = zip(np.asarray(whole.weights[0].bias), np.asarray(reordered.weights[0].bias), strict=True)
    assert len({tuple(np.flatnonzero(a[:, None] == b[None, :])) for a, b in pairs}) == SIZE  # an order for each
    plain, moved = mixed(0.5)
    assert change(decode(moved.weights, x), decode(plain.weights, x)) > 0.01


def test_a_batch_without_labels_mixes_as_one_with():
    for name, bounds in made(labels=False).items():
        for bare, mixed in zip(bounds, made()[name], strict=True):
            assert bare.label is None, name
            assert_identical(bare.weights, mixed.weights)


SPEC = symmetry.symmetry_of(
    {"hidden": dense_axes("in", "h"), "out": dense_axes("h*", "out"), "step": symmetry.Axes()},
    {"in": symmetry.Fixed(2, "input"), "h": symmetry.Group(3, "tanh"), "out": symmetry.Fixed(2, "output")},
)
MOVED = {"mixup_permuted": wa.mixup_permuted, "mixup_aligned": wa.mixup_aligned}
PLAIN_TOO = {"mixup": lambda spec, low: wa.mixup(low=low), **MOVED}


@pytest.mark.parametrize("name", PLAIN_TOO)
def test_any_labels_mix_and_integers_stay_also_where_partners_move(name: str):
    """Targets of any shape beside classes, no label at all, a leaf that counts, and objects."""
    move = lambda batch, low: PLAIN_TOO[name](SPEC, low=low)(KEY, batch)
    run = jax.jit(move)
    nets = jax.tree.map(lambda *x: np.stack(x), *[random_weights(key, SPEC) for key in KEYS[:SIZE]])
    nets["step"] = np.arange(SIZE, dtype=np.int32)
    label = {"class": EYE, "score": np.arange(SIZE, dtype=np.float32), "map": np.ones((SIZE, 2, 2), np.float32)}
    batch = Batch(nets, label, ROWS.object)
    mixed = run(batch, 0.0)
    assert jax.eval_shape(move, batch._replace(label=None), 0.0).label is None
    assert_identical((mixed.weights["step"], mixed.object), (nets["step"], ROWS.object))
    coefficient = np.asarray(mixed.label["class"])
    assert_identical(coefficient, made()["mixup"][0].label)  # with which partner, and by how much
    np.testing.assert_allclose(mixed.label["score"], coefficient @ label["score"], atol=1e-5)
    np.testing.assert_allclose(mixed.label["map"], 1, atol=1e-6)
    assert change(mixed.weights["out"]["bias"], coefficient @ nets["out"]["bias"]) < 1e-5
    assert change(mixed.weights["hidden"]["kernel"], nets["hidden"]["kernel"]) > 0.1
    assert_identical(run(batch, 1.0), batch)
    with pytest.raises(TypeError, match=r"label has .*jax.nn.one_hot"):
        jax.eval_shape(move, batch._replace(label=np.arange(SIZE)), 0.0)


def test_half_types_are_computed_in_float32():
    values = np.array([[1.0, 3.0], [5.0, 7.0]], jnp.bfloat16)
    found = mix(Batch(values, None), Batch(values[::-1], None), jnp.array([0.3, 0.3])).weights
    exact = 0.3 * values.astype(np.float32) + 0.7 * values[::-1].astype(np.float32)
    assert_identical(np.asarray(found), exact.astype(jnp.bfloat16))


def test_label_smoothing_gives_every_class_the_same_fraction():
    labels = np.array([[1.0, 0.0, 0.0, 0.0], [0.25, 0.75, 0.0, 0.0]], np.float32)
    smooth = wa.label_smoothing(rate=0.2)(jax.random.key(0), Batch(EYE[:2], labels))
    np.testing.assert_allclose(smooth.label, [[0.85, 0.05, 0.05, 0.05], [0.25, 0.65, 0.05, 0.05]], atol=1e-6)
    assert_identical(smooth.weights, EYE[:2])
    whole = wa.label_smoothing(rate=1.0)(jax.random.key(0), Batch(EYE[:2], labels))
    np.testing.assert_allclose(whole.label, 0.25)


@pytest.mark.parametrize("transform", [*BLENDING.values(), wa.mixup_within_class, wa.label_smoothing])
def test_labels_that_are_integers_are_refused(transform):
    for labels in (np.arange(SIZE), np.eye(SIZE, dtype=np.int32)):
        with pytest.raises((TypeError, ValueError), match=r"label has .*jax.nn.one_hot"):
            jax.eval_shape(transform(), KEY, ROWS._replace(label=labels))


@pytest.mark.parametrize("label", [None, {"class": EYE}, EYE[0]])
@pytest.mark.parametrize("transform", [wa.mixup_within_class, wa.label_smoothing])
def test_what_needs_classes_says_so(transform, label):
    with pytest.raises(ValueError, match=r"label has (shape \(4,\)|type \w+); .* needs \(batch, classes\)"):
        transform()(KEY, Batch(EYE, label))


def test_views_without_objects_and_pools_that_do_not_fit_are_named():
    narrow = ROWS._replace(weights={**ROWS.weights, "kernel": EYE[:, :3]})
    for pool, batch, message in (
        (None, Batch(EYE, EYE), r"object is None; .*Batch\(weights, label, object=numbers\)"),
        (ROWS._replace(object=None), ROWS, r"pool.object is None; .*Batch\(weights, label, object=numbers\)"),
        (None, ROWS._replace(object=EYE), r"object has shape \(4, 4\) and dtype float32; expected one integer for"),
        (ROWS._replace(object=EYE[0]), ROWS, r"pool\.object has shape \(4,\) and dtype float32; expected one integer"),
        (jax.tree.map(lambda x: x[:0], ROWS), ROWS, "pool holds no network; expected one at least"),
        (narrow, ROWS, r"each row of pool.weights.* has shape \(3,\); .*\(4,\)"),
    ):
        with pytest.raises(ValueError, match=message):
            wa.mixup_views(pool=pool)(KEY, batch)
    with pytest.raises(ValueError, match=r"pool has shape \(3,\); expected one number for each of 4 networks"):
        partners(KEY, 4, jnp.arange(3))


def test_aligned_mixing_moves_the_partner_to_the_network_first():
    """Moved copies of one network: mixed after alignment over all that was planted, they are that network.

    Where more was planted than permutations, alignment over these finds nothing.
    """
    spec = symmetry.siren((2, 12, 1))
    base, heads = random_weights(KEY, spec), random_weights(KEY, linear.FUSED)

    @jax.jit
    def run(keys):
        of_heads = jax.vmap(lambda k: symmetry.act(symmetry.sample(k, linear.FUSED), heads))(keys)
        planted = [
            jax.vmap(lambda k, plant=plant: symmetry.act(plant(k, spec), base))(keys)
            for plant in (functools.partial(symmetry.sample, actions=("permute",)), symmetry.sample)
        ]
        both = jax.tree.map(lambda *x: jnp.stack(x), *planted)
        half = {"low": 0.5, "high": 0.5}
        over = lambda group, copies: wa.mixup_aligned(spec, group=group, **half)(KEY, Batch(copies, EYE))
        plain = jax.vmap(lambda copies: wa.mixup(**half)(KEY, Batch(copies, EYE)))(both)
        mixed_heads = wa.mixup_aligned(linear.FUSED, group="full", **half)(KEY, Batch(of_heads, None)).weights
        over_permutations = jax.vmap(functools.partial(over, "permutation"))(both)
        return planted, plain, over_permutations, over("full", planted[1]), (mixed_heads, of_heads)

    planted, plain, over_permutations, over_all, of_heads = jax.tree.map(np.asarray, run(KEYS[:SIZE]))
    chex.assert_trees_all_close(*of_heads, atol=1e-4)
    ordered, less = (jax.tree.map(lambda x, i=i: x[i], over_permutations) for i in range(2))
    np.testing.assert_array_equal(over_permutations.label, plain.label)
    for mixed, copies in ((ordered, planted[0]), (over_all, planted[1])):
        for a, b in zip(jax.tree.leaves(mixed.weights), jax.tree.leaves(copies), strict=True):
            assert change(a, b) < 1e-5
    for i, other in enumerate((plain.weights[0].kernel[0], plain.weights[0].kernel[1], less.weights[0].kernel)):
        assert change(other, planted[min(i, 1)][0].kernel) > 0.1


def test_aligned_mixing_refuses_a_group_that_the_networks_lack(untyped):
    spec = symmetry.mlp((2, 4, 1))
    batch = Batch(jax.tree.map(lambda x: np.stack([x, x]), random_weights(KEY, spec)), None)
    with pytest.raises(ValueError, match="allows no signs; align over 'permutation'"):
        jax.eval_shape(lambda batch: wa.mixup_aligned(spec, group="signed")(KEY, batch), batch)


def test_what_is_no_batch_is_refused_by_every_function_that_takes_one(untyped):
    """And so is a batch whose arrays differ in length: rows beyond an end would be the last one in silence."""
    pair, short = (ROWS.weights, ROWS.label), ROWS._replace(label=EYE[:3])
    calls = [
        *(functools.partial(form(), KEY) for form in (*FORMS.values(), wa.label_smoothing)),
        *(functools.partial(form(SPEC), KEY) for form in MOVED.values()),
        lambda batch: mix(batch, ROWS, jnp.ones(SIZE)),
        lambda batch: mix(ROWS, batch, jnp.ones(SIZE)),
        *(lambda batch, form=form: form(pool=batch)(KEY, ROWS) for form in POOLED.values()),
    ]
    for call in calls:
        with pytest.raises(TypeError, match=r"is a tuple; expected a Batch of stacked .*Batch\(weights, label\)"):
            call(pair)
        with pytest.raises(ValueError, match=r"\.label has shape \(3, 4\); expected 4 rows, one for each network"):
            call(short)
    with pytest.raises(ValueError, match=r"no field 'weights' in tuple.*Batch\(weights, label\)"):
        wa.on("weights", wa.noise())(KEY, pair)


def test_networks_of_other_shapes_do_not_mix():
    batch = lambda n: Batch(np.ones((4, 2, n), np.float32), None)
    with pytest.raises(ValueError, match=r"partner\.weights has shape \(4, 2, 1\); the batch expects \(4, 2, 8\)"):
        mix(batch(8), batch(1), jnp.ones(4))
    with pytest.raises(ValueError, match=r"coefficient has shape \(3,\); the batch expects \(4,\)"):
        mix(batch(8), batch(8), jnp.ones(3))
