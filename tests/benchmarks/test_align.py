"""The suite `align` at a toy size, and its PyTorch side against ours; and the committed figures of barriers."""

import json
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.accuracy import scales
from benchmarks.speed import align
from benchmarks.torch import loop as torch_loop
from tests.benchmarks.reports import checked_report
from tests.helpers import random_weights
from wsjax import symmetry
from wsjax.augment import mixup_aligned
from wsjax.symmetry.align import Alignment
from wsjax.symmetry.element import identity
from wsjax.typing import Batch

TOY = align.Size(networks=6, steps=2, rounds=2, batches=(2,), widths=((8, 2),), assignments=((4, 3),))


@pytest.mark.slow
def test_a_toy_run_gives_the_promised_rows_in_a_valid_report():
    rows, timings, notes = align.contest(TOY)
    checked_report("align", rows, timings, notes)
    assert [row.name for row in rows] == [
        "align/mixup_signed_2-32-32-1/b6",
        "align/mixup_full_2-32-32-1/b6",
        "align/mixup_aligned_before_2-32-32-1/b6",
        "align/mixup_2-32-32-1/torch_vs_mark",
        "align/signed_2-32-32-1/b2",
        "align/signed_2-8-8-1/b2",
        "align/assign_4/b3",
    ]
    assert "Mean squared distance of 6 pairs" in notes[0]


def test_pytorch_finds_planted_signs_and_orders_and_writes_to_nothing():
    spec = symmetry.siren((2, 6, 5, 1))
    weights = random_weights(jax.random.key(0), spec)
    draws = lambda key: symmetry.sample(key, spec, actions=("permute", "sign"))
    moved = jax.jit(lambda key: symmetry.act(draws(key), weights))(jax.random.key(1))
    both = [torch_loop.tensors([np.asarray(x) for x in jax.tree.leaves(w)]) for w in (weights, moved)]
    before = [array.clone() for array in both[1]]
    assert align.distance(both[0], align.torch_align.match(*both).arrays) < 1e-10
    assert align.distance(both[0], align.torch_align.match(*both, signed=False).arrays) > 1
    assert all((a == b).all() for a, b in zip(both[1], before, strict=True))


SPEC = symmetry.siren((2, 4, 1))
ROWS = np.roll(np.arange(3), 1)


@pytest.fixture(scope="module")
def networks():
    rng = np.random.default_rng(0)
    return SPEC.unflatten([jax.device_put(rng.normal(size=(3, *shape)).astype(np.float32)) for shape in SPEC.shapes])


def test_the_quality_checked_is_that_of_what_is_timed(networks, monkeypatch):
    """Both align with the same sweeps: more of them in the check would hide what `mixup_aligned` leaves undone."""
    sweeps, found = [], symmetry.align

    def recorded(*arguments, **settings):
        sweeps.append(settings.get("max_sweeps"))
        return found(*arguments, **settings)

    monkeypatch.setattr(align, "align", recorded)
    monkeypatch.setattr(sys.modules["wsjax.augment.mixup"], "align", recorded)
    assert "signed" in align.check_quality(networks, SPEC, ROWS)
    jax.eval_shape(mixup_aligned(SPEC, group="signed"), jax.random.key(0), Batch(networks, None))
    assert len(set(sweeps)) == 1
    assert len(sweeps) == 3


def test_an_alignment_that_comes_less_near_voids_the_comparison(networks, monkeypatch):
    lazy = lambda a, b, spec, group, max_sweeps: Alignment(
        a, identity(spec), symmetry.squared_distance(a, b), jnp.int32(0)
    )
    monkeypatch.setattr(align, "align", lazy)
    with pytest.raises(ValueError, match="the comparison is void"):
        align.check_quality(networks, SPEC, ROWS)


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
