"""Perturbations: how much, and where."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.helpers import assert_identical, dense_axes, random_weights
from wsjax import augment as wa
from wsjax import symmetry
from wsjax.symmetry import Axes, Fixed, Group, Sum, symmetry_of
from wsjax.symmetry.axes import vector_along

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
    assert abs(float(np.corrcoef(*(s.reshape(-1) for s in shifts.values()))[0, 1])) < 0.05


def test_noise_leaves_arrays_without_a_deviation():
    moved = noise(KEY, WEIGHTS, std=1.0)
    for name in ("flat", "one", "step"):
        assert_identical(np.asarray(moved[name]), WEIGHTS[name])


def test_noise_is_normal():
    draw = (np.asarray(noise(KEY, WEIGHTS, std=1.0)["wild"]) - WEIGHTS["wild"]).ravel() / WEIGHTS["wild"].std()
    quantiles = np.quantile(draw, [0.023, 0.159, 0.5, 0.841, 0.977])
    np.testing.assert_allclose(quantiles, [-2, -1, 0, 1, 2], atol=0.12)


def test_noise_of_a_half_type_keeps_its_size():
    half = jax.tree.map(lambda x: x.astype(jnp.bfloat16), {"wild": WEIGHTS["wild"]})
    shift = np.asarray(noise(KEY, half, std=0.5)["wild"], np.float32) - np.asarray(half["wild"], np.float32)
    assert shift.std() / WEIGHTS["wild"].std() == pytest.approx(0.5, rel=0.05)


def test_noise_has_finite_gradients_where_an_array_has_no_deviation():
    floats = {name: leaf for name, leaf in WEIGHTS.items() if name != "step"}
    moved = lambda w: sum(jnp.sum(leaf) for leaf in jax.tree.leaves(wa.noise(std=0.3)(KEY, w)))
    for leaf in jax.tree.leaves(jax.jit(jax.grad(moved))(floats)):
        assert np.isfinite(leaf).all()


STACK = {
    "kernel": (5 + 2 * RNG.normal(size=(200, 8, 8)) * np.linspace(0, 2, 8)).astype(np.float32),
    "one": RNG.normal(0, 0.5, (200, 1)).astype(np.float32),
    "step": np.arange(200, dtype=np.int32),
}
STATISTICS = wa.statistics_of(STACK)
NETWORK = jax.tree.map(lambda x: x[3], STACK)


def test_statistics_are_the_mean_network_and_one_deviation_for_each_array():
    for name in ("kernel", "one"):
        np.testing.assert_allclose(STATISTICS.mean[name], STACK[name].mean(axis=0, dtype=np.float64), rtol=1e-5)
        assert STATISTICS.deviation[name].shape == ()
        assert float(STATISTICS.deviation[name]) == pytest.approx(STACK[name].std(dtype=np.float64), rel=1e-5)
    half = wa.statistics_of({"one": jnp.asarray(STACK["one"], jnp.bfloat16)})
    assert half.mean["one"].dtype == half.deviation["one"].dtype == jnp.float32


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


def test_dropout_keeps_the_mean_where_its_survivors_make_up_for_the_rest():
    before = {"wide": WEIGHTS["wide"]}
    plain, kept = (dropout(KEY, before, rate=0.2, survivors=survivors) for survivors in (1.0, 1.25))
    np.testing.assert_allclose(kept["wide"], 1.25 * np.asarray(plain["wide"]), rtol=1e-6)
    ones = dropout(KEY, {"wide": np.ones((64, 64), np.float32)}, rate=0.2, survivors=1.25)["wide"]
    assert np.asarray(ones).mean() == pytest.approx(1, abs=0.04)


def test_dropout_zeroes_its_fraction_and_leaves_the_survivors_as_they_are():
    before = {"wide": WEIGHTS["wide"], "wild": WEIGHTS["wild"]}
    masks = []
    for name, after in dropout(KEY, before, rate=0.3).items():
        masks.append(np.asarray(after) == 0)
        np.testing.assert_array_equal(after, np.where(masks[-1], 0, before[name]))
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


def test_a_dropped_channel_goes_with_every_position_and_a_concatenated_one_leaves_its_neighbors():
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
    ones = spec.unflatten([np.ones(shape, np.float32) for shape in spec.shapes])
    moved = jax.jit(lambda key: wa.drop_neurons(spec, rate=0.5)(key, ones))(jax.random.key(1))
    channels, hidden = np.asarray(moved["conv"]["bias"]), np.asarray(moved["dense"]["bias"])
    assert 0 < channels.sum() < 5
    assert 0 < hidden.sum() < 6
    np.testing.assert_array_equal(moved["conv"]["kernel"], np.broadcast_to(channels, (3, 3, 2, 5)))
    np.testing.assert_array_equal(moved["dense"]["kernel"], np.outer(np.tile(channels, 4), hidden))
    np.testing.assert_array_equal(moved["skip"]["kernel"], np.outer([1, 1, *hidden], [1, 1]))


def test_vectors_are_spread_along_products_and_sums_at_any_depth():
    sizes = {"a": 2, "b": 3, "c": 1}
    vectors = {"a": jnp.array([2.0, 3.0]), "b": jnp.array([1.0, 5.0, 7.0])}
    assert vector_along(("a", "b*"), sizes, vectors).tolist() == [2, 10, 14, 3, 15, 21]
    assert vector_along(Sum("c", ("b", "a*"), "a"), sizes, vectors).tolist() == [1, 2, 3, 10, 15, 14, 21, 2, 3]


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


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("noise", {"std": -0.1}, r"std is -0.1; it must be one number in \[0, inf\]"),
        ("noise_shared", {"std": -0.1}, r"std is -0.1"),
        ("dropout", {"survivors": -1.0}, r"survivors is -1.0"),
        ("dropout", {"rate": 1.5}, r"rate is 1.5; it must be one number in \[0, 1\]"),
        ("drop_neurons", {"rate": -1.0}, r"rate is -1.0"),
        ("prune", {"max_quantile": 1.1}, r"max_quantile is 1.1"),
        ("prune_global", {"max_quantile": -0.1}, r"max_quantile is -0.1"),
        ("towards_mean", {"max_fraction": 2.0}, r"max_fraction is 2.0"),
    ],
)
def test_a_setting_out_of_range_is_refused(name: str, settings: dict[str, float], message: str):
    spec = symmetry_of({"kernel": Axes("in", "h"), "one": Axes("one"), "step": Axes()}, SIZES)
    needs = wa.CATALOGUE[name].needs
    given = {n: v for n, v in (("symmetry", spec), ("statistics", STATISTICS)) if n in needs}
    with pytest.raises(ValueError, match=message):
        wa.CATALOGUE[name].function(KEY, NETWORK, **given, **settings)


SIZES = {"in": Fixed(8, "input"), "h": Group(8), "one": Fixed(1)}


def test_a_network_without_neurons_loses_none():
    spec = symmetry_of({"k": Axes("in", "out")}, {"in": Fixed(2), "out": Fixed(3)})
    weights = random_weights(KEY, spec)
    np.testing.assert_array_equal(wa.drop_neurons(spec, rate=1.0)(KEY, weights)["k"], weights["k"])
