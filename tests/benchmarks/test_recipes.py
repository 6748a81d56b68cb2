"""The suite `recipes` at a toy size, on the embedded digits."""

import numpy as np
import pytest

from benchmarks.speed import recipes
from tests.benchmarks.reports import checked_report
from wsjax.data.fitting.grouped import Fitted
from wsjax.typing import Layer

TOY = recipes.Size(images=4, refilled=8, folds=2, rounds=1, most_steps=100, source="digits")


@pytest.mark.slow
def test_a_toy_run_gives_the_promised_rows_in_a_valid_report():
    rows, timings, notes = recipes.contest(TOY)
    report = checked_report("recipes", rows, timings, notes)
    names = [row["name"] for row in report["rows"]]
    assert names[0] == "recipes/dws_kernel0/vs_published"
    assert names[-1] == "recipes/fast/vs_all_steps"
    assert len(names) == 13
    assert max(abs(row["ratio"] - 1) for row in report["rows"][:3]) > 0.1  # a hundred steps are too few


def test_deviations_are_those_of_all_entries_and_compared_with_the_published_ones():
    rng = np.random.default_rng(0)
    stack = lambda *shape, std: rng.normal(0, std, (400, *shape))
    stds = recipes.PUBLISHED["dws"][1]
    layers = tuple(
        Layer(stack(a, b, std=k), stack(b, std=s))
        for (a, b), k, s in zip(((2, 32), (32, 32), (32, 1)), stds[:3], stds[3:], strict=True)
    )
    ones = np.ones(400)
    rows = recipes.deviation_rows("dws", Fitted(layers, ones, ones, ones, ones), folds=4)
    np.testing.assert_allclose([row.ratio for row in rows], 1, atol=0.08)
