"""The figures of `benchmarks.accuracy.scales` that are committed are those that it says, and it runs."""

import json
from pathlib import Path

import jax
import numpy as np

from benchmarks.accuracy import scales

WAY = "normalized, permutation"
SAVED = json.loads((Path(scales.__file__).parent / "scales.json").read_text())


def test_the_committed_figures_are_their_runs_means_and_show_what_is_said():
    assert SAVED["settings"] == json.loads(json.dumps(scales.settings()))
    barriers = {way: np.array([run[way]["barrier"] for run in SAVED["runs"]]) for way in scales.WAYS}
    for way, values in barriers.items():
        found = SAVED["summary"][way]["barrier"]
        np.testing.assert_allclose([found["mean"], found["sd"]], [values.mean(), values.std(ddof=1)])
    assert (barriers[WAY] < barriers["permutation"]).all()
    assert SAVED["summary"]["full"]["distance"]["mean"] < SAVED["summary"]["permutation"]["distance"]["mean"]


def test_a_small_run_reports_the_same_fields(monkeypatch):
    monkeypatch.setattr(scales, "WIDTHS", (64, 4, 10))
    monkeypatch.setattr(scales, "WAYS", {WAY: scales.WAYS[WAY]})
    with jax.numpy_dtype_promotion("standard"):  # as optax needs it
        found = scales.report(pairs=1, steps=2)
    assert found["settings"]["pairs"] == 1
    assert set(found["summary"]) == {WAY}
    for way in found["runs"][0].values():
        assert set(way) == set(SAVED["runs"][0]["full"])
        assert np.isfinite(list(way.values())).all()
    assert found["summary"][WAY]["barrier"]["sd"] is None
    assert "+-" not in scales.table(found)
