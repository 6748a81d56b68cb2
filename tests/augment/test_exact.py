"""What is particular to each augmentation that preserves the function; that it does, test_declarations.py shows."""

import functools

import jax
import numpy as np
import pytest
from scipy import stats

from tests.helpers import assert_identical, change, points, random_weights, touched
from wsjax import augment as wa
from wsjax import networks, symmetry
from wsjax.symmetry import Axes, Fixed, Group, symmetry_of

KEY = jax.random.key(0)


@functools.partial(jax.jit, static_argnames=("name", "symmetry"))
def moved_by(name: str, key: jax.Array, weights, symmetry, **settings):
    return getattr(wa, name)(symmetry, **settings)(key, weights)


def test_permute_reorders_columns_and_rows_together_and_no_input_or_output():
    spec = symmetry.mlp((2, 5, 3))
    weights = random_weights(KEY, spec)
    moved = jax.tree.map(np.asarray, wa.permute(spec)(KEY, weights))
    order = [int(np.flatnonzero(weights[0].bias == b)[0]) for b in moved[0].bias]
    assert sorted(order) == list(range(5)) != order
    for found, expected in (
        (moved[0].kernel, weights[0].kernel[:, order]),
        (moved[1].kernel, weights[1].kernel[order]),
        (moved[1].bias, weights[1].bias),
    ):
        assert_identical(found, expected)


def test_permutations_that_are_not_coupled_change_the_function():
    """The law can fail: rows in another order than the columns."""
    spec = symmetry.mlp((2, 5, 3))
    weights, x = random_weights(KEY, spec), points(KEY, 2)
    a, b = (wa.permute(spec)(jax.random.key(i), weights) for i in range(2))
    apply = jax.jit(networks.mlp_apply)
    assert change(apply((a[0], b[1]), x), apply(weights, x)) > 0.1


def test_flip_signs_flips_each_neuron_with_its_probability():
    spec = symmetry.siren((2, 64, 64, 1))
    weights = spec.unflatten([np.ones(shape, np.float32) for shape in spec.shapes])
    moved = jax.tree.map(np.asarray, moved_by("flip_signs", KEY, weights, spec, probability=0.25))
    signs = np.concatenate([moved[0].bias, moved[1].bias])
    assert float((signs < 0).mean()) == pytest.approx(0.25, abs=0.12)
    assert_identical(moved[1].kernel, np.outer(moved[0].bias, moved[1].bias))
    assert_identical(moved[2].bias, weights[2].bias)


def test_groups_that_do_not_allow_an_action_stay():
    spec = symmetry_of(
        [{"kernel": Axes("in", "h1")}, {"kernel": Axes("h1*", "h2")}, {"kernel": Axes("h2*", "out")}],
        {"in": Fixed(2, "input"), "h1": Group(4, "tanh"), "h2": Group(3), "out": Fixed(1, "output")},
    )
    weights = random_weights(KEY, spec)
    flipped = moved_by("flip_signs", KEY, weights, spec, probability=1.0)
    assert touched(flipped, weights) == {"[0]['kernel']", "[1]['kernel']"}
    np.testing.assert_array_equal(flipped[1]["kernel"], -weights[1]["kernel"])
    assert touched(moved_by("rescale", KEY, weights, spec), weights) == {"[1]['kernel']", "[2]['kernel']"}


def test_weights_of_another_network_are_refused_by_the_leaf():
    spec = symmetry.mlp((2, 4, 1))
    with pytest.raises(ValueError, match=r"weights\[0\].kernel has shape \(2, 5\); this Symmetry expects \(2, 4\)"):
        wa.permute(spec)(KEY, random_weights(KEY, symmetry.mlp((2, 5, 1))))
    with pytest.raises(ValueError, match=r"structure of this Symmetry: unexpected weights\[2\].kernel"):
        wa.permute(spec)(KEY, random_weights(KEY, symmetry.mlp((2, 4, 4, 1))))


@pytest.mark.parametrize(
    ("name", "setting", "half_turns", "moves"),
    [
        ("shift_phase", "max_shift", 1, {"[0].bias", "[1].bias", "[1].kernel", "[2].kernel"}),
        ("shift_turns", "max_turns", 2, {"[0].bias", "[1].bias"}),
    ],
)
def test_shifts_are_whole_turns_drawn_symmetrically_with_each_groups_own_w0(
    name: str, setting: str, half_turns: int, moves: set[str]
):
    spec = symmetry.siren((2, 20, 16, 1), w0=(10.0, 25.0))
    weights = random_weights(KEY, spec)
    keys = jax.random.split(KEY, 30)
    moved = jax.jit(jax.vmap(lambda key: getattr(wa, name)(spec, **{setting: 2})(key, weights)))(keys)
    for layer, w0 in ((0, 10.0), (1, 25.0)):
        turns = np.asarray(moved[layer].bias - weights[layer].bias[None], np.float64) * w0 / (half_turns * np.pi)
        np.testing.assert_allclose(turns, np.round(turns), atol=1e-4)
        assert set(np.round(turns).reshape(-1)) == {-2, -1, 0, 1, 2}
        assert abs(np.mean(turns)) < 0.3
    assert touched(jax.tree.map(lambda x: x[0], moved), weights) == moves


def test_the_logarithms_of_scales_are_normal_or_uniform_as_asked():
    spec = symmetry.mlp((2, 64, 64, 1))
    ones = spec.unflatten([np.ones(shape, np.float32) for shape in spec.shapes])

    def draw(name: str, **settings: float) -> np.ndarray:
        first, second, _ = moved_by(name, KEY, ones, spec, **settings)
        return np.log(np.concatenate([first.bias, second.bias]))

    normal, uniform = draw("rescale", std=0.5), draw("rescale_uniform", max_log=0.5)
    assert stats.kstest(normal, stats.norm(0, 0.5).cdf).pvalue > 1e-3
    assert stats.kstest(uniform, stats.uniform(-0.5, 1.0).cdf).pvalue > 1e-3
    assert float(np.abs(uniform).max()) <= 0.5 < float(np.abs(normal).max())
