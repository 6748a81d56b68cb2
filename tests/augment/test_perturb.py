"""Perturbations: how much, and where."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.helpers import assert_identical
from wsjax import augment as wa

KEY = jax.random.key(0)
WEIGHTS = {
    "wide": 7 + 0.01 * np.asarray(jax.random.normal(jax.random.key(1), (64, 64))),
    "wild": np.asarray(20 * jax.random.uniform(jax.random.key(2), (64, 64))),
    "flat": np.full((8,), 3, np.float32),
    "one": np.ones((1,), np.float32),
    "step": np.int32(4),
}


@pytest.mark.parametrize("std", [0.1, 1.0])
def test_noise_has_its_deviation_in_units_of_each_array_s_own(std: float):
    moved = wa.noise(KEY, WEIGHTS, std=std)
    shifts = {name: (moved[name] - WEIGHTS[name]) / WEIGHTS[name].std() for name in ("wide", "wild")}
    for shift in shifts.values():
        assert float(shift.std()) == pytest.approx(std, rel=0.05)  # not a constant, which has none
        assert abs(float(shift.mean())) < 0.05 * std
    assert abs(float(jnp.corrcoef(*(s.reshape(-1) for s in shifts.values()))[0, 1])) < 0.05


def test_noise_leaves_arrays_without_a_deviation():
    moved = wa.noise(KEY, WEIGHTS, std=1.0)
    for name in ("flat", "one", "step"):
        assert_identical(np.asarray(moved[name]), WEIGHTS[name])


def test_noise_is_normal():
    draw = (
        np.sort(np.asarray(wa.noise(KEY, WEIGHTS, std=1.0)["wild"] - WEIGHTS["wild"]).ravel()) / WEIGHTS["wild"].std()
    )
    quantiles = np.quantile(draw, [0.023, 0.159, 0.5, 0.841, 0.977])
    np.testing.assert_allclose(quantiles, [-2, -1, 0, 1, 2], atol=0.12)


def test_noise_of_a_half_type_keeps_its_size():
    half = jax.tree.map(lambda x: x.astype(jnp.bfloat16), {"wild": WEIGHTS["wild"]})
    shift = np.asarray(wa.noise(KEY, half, std=0.5)["wild"], np.float32) - np.asarray(half["wild"], np.float32)
    assert shift.std() / WEIGHTS["wild"].std() == pytest.approx(0.5, rel=0.05)


def test_a_negative_deviation_is_refused():
    with pytest.raises(ValueError, match=r"std is -0.1; it must be one number in \[0, inf\]"):
        wa.noise(KEY, WEIGHTS, std=-0.1)
