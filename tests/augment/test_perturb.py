"""Perturbations: how much, and where."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from tests.helpers import assert_identical, dense_axes, random_weights
from wsjax import augment as wa
from wsjax import symmetry
from wsjax.augment.draws import dropped, for_each, normals
from wsjax.augment.statistics import Statistics, statistics_of
from wsjax.symmetry import Axes, Fixed, Group, Sum, symmetry_of

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
WEIGHTS = {
    "wide": RNG.normal(7, 0.01, (64, 64)).astype(np.float32),
    "wild": RNG.uniform(0, 20, (64, 64)).astype(np.float32),
    "flat": np.full((8,), 3, np.float32),
    "one": np.ones((1,), np.float32),
    "step": np.int32(4),
}
noise, dropout = (jax.jit(wa.CATALOGUE[name].function) for name in ("noise", "dropout"))


@pytest.mark.parametrize("std", [0.1, 1.0])
def test_noise_has_its_deviation_in_units_of_each_array_s_own(std: float):
    moved = jax.tree.map(np.asarray, noise(KEY, WEIGHTS, std=std))
    shifts = {name: (moved[name] - WEIGHTS[name]) / WEIGHTS[name].std() for name in ("wide", "wild")}
    for shift in shifts.values():
        assert float(shift.std()) == pytest.approx(std, rel=0.05)  # not a constant, which has none
        assert abs(float(shift.mean())) < 0.05 * std
        quantiles = np.quantile(shift, [0.023, 0.159, 0.5, 0.841, 0.977])
        np.testing.assert_allclose(quantiles, np.array([-2, -1, 0, 1, 2]) * std, atol=0.12 * std)
    assert abs(float(np.corrcoef(*(s.reshape(-1) for s in shifts.values()))[0, 1])) < 0.05
    for name in ("flat", "one", "step"):  # which have no deviation
        assert_identical(moved[name], WEIGHTS[name])


def test_noise_of_a_half_type_keeps_its_size():
    half = jax.tree.map(lambda x: x.astype(jnp.bfloat16), {"wild": WEIGHTS["wild"]})
    shift = np.asarray(noise(KEY, half, std=0.5)["wild"], np.float32) - np.asarray(half["wild"], np.float32)
    assert shift.std() / WEIGHTS["wild"].std() == pytest.approx(0.5, rel=0.05)


STACK = {
    "kernel": (5 + 2 * RNG.normal(size=(200, 8, 8)) * np.linspace(0, 2, 8)).astype(np.float32),
    "one": RNG.normal(0, 0.5, (200, 1)).astype(np.float32),
    "step": np.arange(200, dtype=np.int32),
}
STATISTICS = statistics_of(STACK)
NETWORK = jax.tree.map(lambda x: x[3], STACK)


def test_statistics_are_the_mean_network_and_one_deviation_for_each_array():
    for name in ("kernel", "one"):
        np.testing.assert_allclose(STATISTICS.mean[name], STACK[name].mean(axis=0, dtype=np.float64), rtol=1e-5)
        assert STATISTICS.deviation[name].shape == ()
        assert float(STATISTICS.deviation[name]) == pytest.approx(STACK[name].std(dtype=np.float64), rel=1e-5)
    half = statistics_of({"one": jnp.asarray(STACK["one"], jnp.bfloat16)})
    assert half.mean["one"].dtype == half.deviation["one"].dtype == jnp.float32
    for stack, message in (
        (NETWORK, r"\['step'\] has shape \(\); expected|expected 8 rows"),
        (jax.tree.map(lambda x: x[:0], STACK), "weights holds no network; expected one at least"),
    ):
        with pytest.raises(ValueError, match=message):
            statistics_of(stack)


def test_shared_noise_is_in_units_of_the_data_set_and_reaches_arrays_of_one_entry():
    flat = {**NETWORK, "kernel": np.full((8, 8), 9, np.float32)}  # its own deviation is 0
    keys = jax.random.split(KEY, 300)
    moved = jax.jit(jax.vmap(lambda k: wa.noise_shared(statistics=STATISTICS, std=0.4)(k, flat)))(keys)
    moved = jax.tree.map(np.asarray, moved)
    for name in ("kernel", "one"):
        shift = np.asarray(moved[name] - flat[name], np.float64)
        assert shift.std() == pytest.approx(0.4 * STACK[name].std(), rel=0.1)
        assert abs(shift.mean()) < 4.5 * shift.std() / np.sqrt(shift.size)


def test_towards_mean_goes_straight_and_no_further_than_it_may():
    keys = jax.random.split(KEY, 300)
    moved = jax.jit(jax.vmap(lambda k: wa.towards_mean(statistics=STATISTICS, max_fraction=0.6)(k, NETWORK)))(keys)
    moved, mean = jax.tree.map(np.asarray, (moved, STATISTICS.mean))
    way = mean["kernel"] - NETWORK["kernel"]
    steps = moved["kernel"] - NETWORK["kernel"]
    fractions = (steps * way).sum(axis=(1, 2)) / (way**2).sum()
    np.testing.assert_allclose(steps, fractions[:, None, None] * way, atol=1e-5)
    np.testing.assert_allclose(
        (moved["one"] - NETWORK["one"])[:, 0] / (mean["one"] - NETWORK["one"]), fractions, atol=1e-5
    )
    np.testing.assert_allclose(np.quantile(fractions, [0, 0.25, 0.5, 0.75, 1]), [0, 0.15, 0.3, 0.45, 0.6], atol=0.05)


@pytest.mark.parametrize("transform", [wa.noise_shared, wa.towards_mean])
def test_weights_of_other_networks_than_the_statistics_are_named(transform):
    stack = {name: np.stack([leaf, leaf]) for name, leaf in NETWORK.items()}
    with pytest.raises(ValueError, match=r"weights\['kernel'\] has shape \(2, 8, 8\); the data set's .*leading axis"):
        transform(STATISTICS)(KEY, stack)
    with pytest.raises(ValueError, match=r"structure of the data set's statistics: missing weights\['step'\]"):
        transform(STATISTICS)(KEY, {"kernel": NETWORK["kernel"], "one": NETWORK["one"]})


def test_dropout_zeroes_its_fraction_and_multiplies_the_survivors_where_asked():
    before = {"wide": WEIGHTS["wide"], "wild": WEIGHTS["wild"]}
    plain, more = (dropout(KEY, before, rate=0.3, **settings) for settings in ({}, {"survivors": 1.25}))
    masks = []
    for name, after in plain.items():
        masks.append(np.asarray(after) == 0)
        np.testing.assert_array_equal(after, np.where(masks[-1], 0, before[name]))
        np.testing.assert_array_equal(more[name], np.where(masks[-1], 0, np.float32(1.25) * before[name]))
        assert masks[-1].mean() == pytest.approx(0.3, abs=0.03)
    assert abs(np.corrcoef(*(m.ravel() for m in masks))[0, 1]) < 0.05
    assert not any(np.any(leaf) for leaf in dropout(KEY, before, rate=1.0).values())


def test_dropped_neurons_are_neither_made_nor_read():
    spec = symmetry.mlp((3, 4, 5, 2))
    ones = spec.unflatten([np.ones(shape, np.float32) for shape in spec.shapes])
    drop = jax.jit(jax.vmap(wa.drop_neurons(spec, rate=0.3), in_axes=(0, None)))
    first, second, last = jax.tree.map(np.asarray, drop(jax.random.split(KEY, 400), ones))
    inputs, outputs = np.ones((400, 3)), np.ones((400, 2))
    for layer, read, made in (
        (first, inputs, first.bias),
        (second, first.bias, second.bias),
        (last, second.bias, outputs),
    ):
        np.testing.assert_array_equal(layer.kernel, read[:, :, None] * made[:, None, :])
    assert (last.bias == 1).all()
    kept = np.concatenate([first.bias, second.bias], axis=1)
    np.testing.assert_allclose(1 - kept.mean(axis=0), 0.3, atol=0.08)
    assert np.abs(np.corrcoef(kept, rowvar=False) - np.eye(9)).max() < 0.2


def test_a_dropped_channel_goes_with_every_position_a_concatenated_one_alone_and_a_head_as_a_whole():
    spec = symmetry_of(
        {
            "conv": {"kernel": Axes("row", "column", "in", "c"), "bias": Axes("c", bias=True)},
            "dense": dense_axes(("pixel", "c*"), "h"),
            "skip": dense_axes(Sum("in", "h*"), "out"),
        },
        {
            **{
                "in": Fixed(2, "input"),
                "row": Fixed(3),
                "column": Fixed(3),
                "pixel": Fixed(4),
                "out": Fixed(2, "output"),
            },
            **{"c": Group(5, "relu"), "h": Group(6, "relu")},
        },
    )
    heads = symmetry_of(
        {"made": Axes("in", ("head", "key")), "read": Axes("key*", "out", "head*")},
        {
            "in": Fixed(1, "input"),
            "head": Group(6, "linear", actions=("permute",)),
            "key": Group(4, "linear", within="head"),
            "out": Fixed(1, "output"),
        },
    )
    ones, others = (s.unflatten([np.ones(shape, np.float32) for shape in s.shapes]) for s in (spec, heads))
    drop = lambda key: (wa.drop_neurons(spec, rate=0.5)(key, ones), wa.drop_neurons(heads, rate=0.3)(key, others))
    moved, of_heads = jax.jit(drop)(jax.random.key(1))
    made = np.asarray(of_heads["made"]).reshape(6, 4)
    np.testing.assert_array_equal(of_heads["read"], made.T[:, None, :])
    assert len(np.unique(made[made.any(axis=1)], axis=0)) > 1  # not the same dimensions in every head
    assert not made.any(axis=1).all()
    channels, hidden = np.asarray(moved["conv"]["bias"]), np.asarray(moved["dense"]["bias"])
    assert 0 < channels.sum() < 5
    assert 0 < hidden.sum() < 6
    np.testing.assert_array_equal(moved["conv"]["kernel"], np.broadcast_to(channels, (3, 3, 2, 5)))
    np.testing.assert_array_equal(moved["dense"]["kernel"], np.outer(np.tile(channels, 4), hidden))
    np.testing.assert_array_equal(moved["skip"]["kernel"], np.outer([1, 1, *hidden], [1, 1]))


def smallest(x: np.ndarray, count: int) -> np.ndarray:
    return np.abs(x) < np.sort(np.abs(x).ravel())[count]


@pytest.mark.parametrize("dtype", [np.float32, np.float64, jnp.bfloat16], ids=["float32", "float64", "bfloat16"])
def test_pruning_removes_the_same_fraction_of_the_smallest_of_every_array(dtype):
    wide = RNG.normal(size=(40, 25)).astype(dtype)
    before = {"large": 100 * wide, "small": wide[:10], "none": np.zeros(7, dtype), "one": np.ones(1, dtype)}
    with jax.enable_x64(dtype == np.float64):
        prune = jax.jit(jax.vmap(lambda key: wa.prune(max_quantile=0.4)(key, before)))
        after = jax.tree.map(np.asarray, prune(jax.random.split(KEY, 6)))
    counts = {name: (after[name].reshape(6, -1) == 0).sum(axis=1) for name in before}
    np.testing.assert_allclose(counts["small"], counts["large"] / 4, atol=1 + 2 * (dtype == jnp.bfloat16))
    assert (counts["none"] == 7).all()
    assert (counts["one"] == 0).all()
    for name in ("large", "small"):
        for found, count in zip(after[name], counts[name], strict=True):
            np.testing.assert_array_equal(found, np.where(smallest(before[name], count), 0, before[name]))
    assert len(set(counts["large"].tolist())) > 3
    assert 0 < max(counts["large"]) <= 400


def test_global_pruning_has_one_threshold_for_all_arrays():
    wide = RNG.normal(size=(40, 25)).astype(np.float32)
    before = {"large": 100 * wide, "small": wide, "step": np.int32(0)}
    after = jax.jit(lambda key: wa.prune_global(max_quantile=0.6)(key, before))(jax.random.key(2))
    together = np.concatenate([before["large"].ravel(), before["small"].ravel()])
    count = int(sum((np.asarray(after[name]) == 0).sum() for name in ("large", "small")))
    assert 0 < count <= 1200
    for name, found in zip(
        ("large", "small"), np.split(np.where(smallest(together, count), 0, together), 2), strict=True
    ):
        np.testing.assert_array_equal(np.asarray(after[name]).ravel(), found)
    assert (np.asarray(after["small"]) == 0).sum() > 20 * (np.asarray(after["large"]) == 0).sum()


def test_pruning_everything_keeps_the_largest():
    almost_all = jax.jit(jax.vmap(wa.prune(max_quantile=1.0), in_axes=(0, None)))
    left = np.asarray(almost_all(jax.random.split(KEY, 500), np.arange(4, dtype=np.float32)))
    assert sorted(set((left != 0).sum(axis=1))) == [1, 2, 3]
    assert (left[:, 3] == 3).all()


@pytest.mark.parametrize("name", ["noise", "noise_shared", "dropout", "towards_mean", "prune", "prune_global"])
def test_what_is_not_floating_point_stays_also_where_nothing_is(name: str):
    """Integers that JAX would cut to 32 bits among them."""
    weights = {"count": np.array([2**40, 3]), "wave": np.array([1 + 2j, 3], np.complex64), "mask": np.array([True])}
    zero = jax.tree.map(lambda x: 0 * x.real.astype(np.float32), weights)
    given = {"statistics": Statistics(zero, zero)} if "statistics" in wa.CATALOGUE[name].needs else {}
    for floats in ({}, {"kernel": np.ones((8, 8), np.float32)}):
        network = weights | floats
        bound = given and {"statistics": Statistics(zero | floats, zero | jax.tree.map(lambda x: x[0, 0], floats))}
        moved = getattr(wa, name)(**bound)(KEY, network)
        assert_identical({n: np.asarray(moved[n]) for n in weights}, weights)


def test_complex_neurons_are_dropped_and_masks_beside_them_stay():
    spec = symmetry_of(
        {"k": Axes("in", "h"), "mask": Axes("in", "h"), "v": Axes("h*", "out")},
        {"in": Fixed(2, "input"), "h": Group(3), "out": Fixed(1, "output")},
    )
    weights = {name: leaf * np.complex64(1 + 2j) for name, leaf in random_weights(KEY, spec).items()}
    weights["mask"] = np.ones((2, 3), np.int32)
    dropped = wa.drop_neurons(spec, rate=1.0)(KEY, weights)
    assert_identical(jax.tree.map(np.asarray, dropped), {**weights, "k": 0 * weights["k"], "v": 0 * weights["v"]})


def test_a_network_without_neurons_loses_none():
    spec = symmetry_of({"k": Axes("in", "out")}, {"in": Fixed(2), "out": Fixed(3)})
    weights = random_weights(KEY, spec)
    np.testing.assert_array_equal(wa.drop_neurons(spec, rate=1.0)(KEY, weights)["k"], weights["k"])


# --- the draws that noise and dropout are made of ------------------------------------------------------------------

MANY = jax.random.split(jax.random.key(0), 6000)


def test_every_entry_is_dropped_at_exactly_the_rate():
    draws = jax.jit(jax.vmap(lambda key, rate: dropped(key, (6,), rate), (0, None)))
    for rate in (0.001, 0.1, 0.5, 0.997):
        found = np.asarray(draws(MANY, rate))
        error = np.sqrt(rate * (1 - rate) / len(MANY))
        np.testing.assert_allclose(found.mean(axis=0), rate, atol=4.5 * error)
        together = np.corrcoef(found.T.astype(float))[~np.eye(6, dtype=bool)]
        assert np.abs(together).max() < 0.08


def test_normals_are_normal_and_independent():
    found = np.asarray(jax.jit(jax.vmap(lambda k: normals(k, (7,))))(MANY))
    assert stats.kstest(found.ravel(), "norm").pvalue > 1e-4
    together = np.corrcoef(np.concatenate([found, found**2], axis=1).T)[~np.tile(np.eye(7, dtype=bool), (2, 2))]
    assert np.abs(together).max() < 0.06  # 4.5 standard errors


def test_each_array_has_its_own_part_of_one_draw():
    arrays = [jnp.zeros((2, 3)), jnp.zeros(()), jnp.zeros(4)]
    draws = (
        lambda shape, start=0: normals(MANY[0], shape, start),
        lambda shape, start=0: dropped(MANY[0], shape, 0.5, start),
    )
    for whole, parts in jax.jit(lambda: [(draw((11,)), for_each(draw, arrays)) for draw in draws])():
        assert [part.shape for part in parts] == [(2, 3), (), (4,)]
        np.testing.assert_array_equal(np.concatenate([np.reshape(part, -1) for part in parts]), whole)
