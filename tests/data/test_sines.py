"""Sine curves are what their labels say, each by its own number."""

import numpy as np
import pytest

from wsjax.data import fit
from wsjax.data.sources import check_signals, sines
from wsjax.data.sources.sines import SINES_RECIPE


@pytest.fixture(scope="module")
def many():
    return check_signals(sines(400, points=33))


def test_each_curve_is_the_sine_of_its_label(many):
    amplitude, frequency = many.label.astype(np.float64).T
    expected = amplitude[:, None] * np.sin(frequency[:, None] * many.points[:, 0].astype(np.float64))
    np.testing.assert_allclose(many.values[..., 0], expected, atol=5e-5)
    np.testing.assert_allclose(many.points[[0, 16, -1], 0], [-np.pi, 0, np.pi], atol=1e-6)
    assert many.shared
    assert repr(many) == "Signals('sines', 400 signals of (33, 1), targets: 320 train, 40 validation, 40 test)"
    assert (many.classes, many.value_range) == ((), (-10.0, 10.0))


def test_labels_are_uniform_and_independent(many):
    assert 0 <= many.label.min() < many.label.max() <= 10
    np.testing.assert_allclose(many.label.mean(axis=0), 5, atol=4 * 10 / (12 * 400) ** 0.5)
    np.testing.assert_allclose(many.label.var(axis=0), 100 / 12, rtol=0.2)
    assert abs(np.corrcoef(many.label.T)[0, 1]) < 4 / 400**0.5


def test_a_curve_depends_on_its_number_and_the_seed_alone(many):
    few = sines(7, points=33)
    np.testing.assert_array_equal(few.label, many.label[:7])
    np.testing.assert_allclose(few.values, many.values[:7], atol=1e-5)
    assert (sines(7, points=33, seed=1).label != few.label).all()


def test_eight_of_ten_are_for_training(many):
    assert np.bincount(many.split).tolist() == [320, 40, 40]
    assert np.bincount(many.split[:10]).tolist() == [8, 1, 1]


def test_settings_that_make_no_sense(untyped):
    with pytest.raises(ValueError, match=r"points is 1; it must be one integer in \[2, inf\]"):
        sines(3, points=1)
    with pytest.raises(ValueError, match="count is 0"):
        sines(0)


@pytest.mark.slow
def test_the_recipe_keeps_the_papers_bound_on_the_error():
    networks = fit(sines(16), recipe=SINES_RECIPE, workers=1, progress=False)
    # A mean squared error of 1e-4, at which the paper's fits stop, on values that span 20.
    assert networks.columns["psnr"].min() > 10 * np.log10(20**2 / 1e-4)
