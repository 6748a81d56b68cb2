"""Known transformations of the output, against the decoded values, and what the random ones draw."""

from typing import Any

import jax
import numpy as np
import pytest

from tests.augment.helpers import assert_uniform, skipping
from tests.helpers import CASES, CNN, assert_identical, change, points, random_weights, touched
from wsjax import augment as wa
from wsjax import networks, symmetry
from wsjax.augment.outputs import output_affine as output_map
from wsjax.symmetry import Axes, Fixed, Sum, symmetry_of
from wsjax.typing import Layer

KEY = jax.random.key(4)
SEEDS = jax.random.split(KEY, 400)


@pytest.mark.parametrize("case", ["siren", "relu", "cnn"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-4), (np.float64, 1e-12)], ids=["float32", "float64"])
def test_output_affine_maps_the_decoded_values(case: str, dtype: Any, tolerance: float):
    symmetry_for, apply = CASES.get(case, CNN)
    spec = symmetry_for((2, 5, 3, 2))
    weights = random_weights(KEY, spec, dtype)
    x: Any = np.asarray(points(KEY, 2), dtype)
    rng = np.random.default_rng(0).normal(size=(3, 2)).astype(dtype)
    m, d, g = rng[:2], rng[2], rng[0, 0]
    maps = [(m, d), (m, None), (g, d), (g, d[0]), (-2.0, None), (None, d), (None, 3.0)]

    @jax.jit
    def run(weights, maps):
        moved = [output_map(weights, symmetry=spec, matrix=a, shift=b, offset=0.7) for a, b in maps]
        return moved, [apply(w, x) + 0.7 for w in (weights, *moved)]

    with jax.enable_x64(dtype == np.float64):
        moved, (v, *found) = jax.tree.map(np.asarray, run(weights, maps))
    expected = [v @ m + d, v @ m, g * v + d, g * v + d[0], -2 * v, v + d, v + 3]
    for one, values, mapped, other in zip(maps, found, moved, expected, strict=True):
        assert change(values, other) < tolerance, one
        assert touched(mapped, weights) <= {"[2].kernel", "[2].bias"}


def output_affine(weights, spec, matrix=None, shift=None, offset=0.0):
    """Compiled once for each Symmetry."""
    return compiled_map(weights, matrix, shift, offset, symmetry=spec)


compiled_map = jax.jit(
    lambda weights, matrix, shift, offset, symmetry: output_map(
        weights, symmetry=symmetry, matrix=matrix, shift=shift, offset=offset
    ),
    static_argnames="symmetry",
)


def test_a_forgotten_offset_is_another_function():
    spec = symmetry.siren((2, 5, 1))
    weights, x = random_weights(KEY, spec), points(KEY, 2)
    decode = jax.jit(lambda w: networks.siren_apply(w, x, offset=0.5))
    negative = lambda offset: decode(output_affine(weights, spec, -1.0, 1.0, offset))
    assert change(negative(0.5), 1 - np.asarray(decode(weights))) < 1e-6
    assert change(negative(0.0), 1 - np.asarray(decode(weights))) > 0.1


# --- what the random twins draw, read from a last layer in which it stands plainly -----------------------------------


def drawn(name: str, channels: int, **settings: float) -> tuple[np.ndarray, np.ndarray]:
    """The matrices M and shifts d of many draws, for decoding without an offset."""
    spec = symmetry.mlp((2, channels, channels))
    plain = random_weights(KEY, spec)
    plain = (plain[0], Layer(np.eye(channels, dtype=np.float32), np.zeros(channels, np.float32)))
    one = lambda key: getattr(wa, name)(spec, **settings)(key, plain)[1]
    last = jax.jit(jax.vmap(one))(SEEDS)
    return np.asarray(last.kernel), np.asarray(last.bias)


def test_contrast_draws_a_gain_and_its_reciprocal_alike_and_keeps_the_center():
    m, d = drawn("contrast", 2, max_log=0.5, center=0.3)
    gain = m[:, 0, 0]
    np.testing.assert_allclose(m, gain[:, None, None] * np.eye(2)[None], atol=1e-6)
    assert_uniform(np.log(gain), -0.5, 0.5)
    np.testing.assert_allclose(0.3 * gain[:, None] + d, 0.3, atol=1e-6)


def test_brightness_shifts_all_channels_alike():
    m, d = drawn("brightness", 3, max_shift=0.2)
    np.testing.assert_array_equal(m, np.broadcast_to(np.eye(3), m.shape))
    np.testing.assert_array_equal(d, np.broadcast_to(d[:, :1], d.shape))
    assert_uniform(d[:, 0], -0.2, 0.2)


def test_inversion_exchanges_the_ends_of_the_range_with_its_probability():
    m, d = drawn("invert", 2, probability=0.3, low=-1.0, high=3.0)
    inverted = m[:, 0, 0] < 0
    assert inverted.mean() == pytest.approx(0.3, abs=0.07)
    np.testing.assert_array_equal(m, np.where(inverted, -1.0, 1.0)[:, None, None] * np.eye(2)[None])
    np.testing.assert_array_equal(d, np.broadcast_to(np.where(inverted, 2.0, 0.0)[:, None], d.shape))


def test_mixed_channels_keep_every_gray_and_drift_as_far_as_asked():
    m, d = drawn("mix_channels", 3, std=0.1)
    np.testing.assert_array_equal(d, 0)
    np.testing.assert_allclose(m.sum(axis=1), 1, atol=1e-6)
    drift = m - np.eye(3)[None]
    assert np.abs(drift.mean(axis=0)).max() < 0.02
    np.testing.assert_allclose(drift.std(axis=0), 0.1 * (2 / 3) ** 0.5, rtol=0.15)  # one of three is centered away
    assert not np.allclose(m[:, 0, 1], m[:, 1, 0], atol=0.01)


def test_gray_fades_to_the_luma_and_no_further():
    m, d = drawn("gray", 3, max_fraction=0.8)
    np.testing.assert_array_equal(d, 0)
    fraction = m[:, 0, 1] / 0.299
    assert_uniform(fraction, 0.0, 0.8)
    luma = np.array([0.299, 0.587, 0.114])[:, None] * np.ones((1, 3))
    s = fraction[:, None, None]
    np.testing.assert_allclose(m, (1 - s) * np.eye(3)[None] + s * luma[None], atol=1e-6)
    np.testing.assert_allclose(m.sum(axis=1), 1, atol=1e-6)


# --- other networks, and refusals ------------------------------------------------------------------------------------


def test_every_kernel_that_makes_the_output_is_mapped_and_the_shift_comes_once():
    spec, apply = skipping(outputs=2)
    weights, x = random_weights(KEY, spec), points(KEY, 2)
    m, d = np.random.default_rng(0).normal(size=(2, 2)).astype(np.float32), np.array([0.3, -0.2], np.float32)
    moved = output_affine(weights, spec, m, d, 0.4)
    assert change(np.asarray(apply(moved, x)) + 0.4, (np.asarray(apply(weights, x)) + 0.4) @ m + d) < 1e-5


def test_a_matrix_needs_no_bias():
    spec = symmetry_of({"k": Axes("in", "out")}, {"in": Fixed(2, "input"), "out": Fixed(2, "output")})
    weights = random_weights(KEY, spec)
    assert_identical(np.asarray(output_map(weights, symmetry=spec, matrix=-1.0)["k"]), -weights["k"])
    with pytest.raises(ValueError, match=r"needs a bias along the output axis 'out', and only weights\['k'\] make it"):
        wa.brightness(spec)(KEY, weights)


OUT = {"in": Fixed(2, "input"), "out": Fixed(2, "output")}


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            symmetry_of({"k": Axes("in", "out"), "g": Axes("out")}, OUT),
            r"weights\['g'\] is a vector along the output axis 'out' and no bias, such as a normalization's",
        ),
        (
            symmetry_of({"k": Axes("in", "out"), "l": Axes("out*", "out")}, OUT),
            r"weights\['l'\] reads the output axis 'out'",
        ),
        (
            symmetry_of({"k": Axes("in", ("p", "out"))}, {**OUT, "p": Fixed(3)}),
            r"weights\['k'\] has the output axis 'out' inside a product or sum axis; give the output an axis",
        ),
        (symmetry_of({"k": Axes("in", Sum("p", "out"))}, {**OUT, "p": Fixed(3)}), "inside a product or sum axis"),
        (
            symmetry_of({"k": Axes("in", "out")}, {"in": Fixed(2, "input"), "out": Fixed(2)}),
            r"one fixed axis with the role 'output'; this Symmetry has 0 \(none\). Declare it as Fixed\(size, 'output'",
        ),
        (
            symmetry_of({"k": Axes("in", "out"), "l": Axes("in", "z")}, {**OUT, "z": Fixed(1, "output")}),
            r"has 2 \(out, z\)",
        ),
    ],
)
@pytest.mark.parametrize("name", ["contrast", "mix_channels"])
def test_a_network_whose_output_cannot_be_mapped_is_refused(name: str, spec, message: str):
    with pytest.raises(ValueError, match=message):
        getattr(wa, name)(spec)(KEY, random_weights(KEY, spec))


def test_sizes_that_do_not_fit_are_named(untyped):
    spec = symmetry.siren((2, 4, 3))
    weights = random_weights(KEY, spec)
    with pytest.raises(ValueError, match=r"matrix has shape \(2, 2\); the axis 'out' of .* needs \(\) or \(3, 3\)"):
        output_map(weights, symmetry=spec, matrix=np.eye(2, dtype=np.float32))
    with pytest.raises(ValueError, match=r"shift has shape \(2,\); the axis 'out' of .* needs \(\) or \(3,\)"):
        output_map(weights, symmetry=spec, shift=np.ones(2, np.float32))
