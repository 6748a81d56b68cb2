"""The demonstration at a toy size: every file it promises, and a second start that goes on."""

import itertools
import json

import pytest

from wsjax import demo
from wsjax.augment import CATALOGUE
from wsjax.demo import arms, run_demo, stopwatch, summary_table

KEYS = {"test_accuracy_mean", "test_accuracy_sd", "train_accuracy_mean", "seconds"}


def test_the_arms_differ_in_nothing_but_reader_and_augmentation():
    plans = {name: arm.plan.to_json() for name, arm in arms(4, 2).items()}
    for plain, augmented in (("reader", "reader_augmented"), ("probe", "probe_augmented")):
        assert plans[plain] != plans[augmented]
        assert {**plans[plain], "augment": ""} == {**plans[augmented], "augment": ""}


def test_seconds_are_those_of_all_starts_until_the_work_was_finished(tmp_path, monkeypatch):
    clock = itertools.count(0.0, 10.0)
    monkeypatch.setattr(demo.time, "monotonic", lambda: next(clock))
    with pytest.raises(KeyboardInterrupt), stopwatch(tmp_path / "arm"):
        raise KeyboardInterrupt
    for _ in range(2):  # the second finds all done
        with stopwatch(tmp_path / "arm") as spent:
            pass
        assert spent["seconds"] == 20.0


@pytest.mark.slow
def test_the_demo_leaves_results_pictures_and_a_report(tmp_path, capsys, monkeypatch):
    assert set(demo.SHOWN) <= set(CATALOGUE)
    monkeypatch.setattr(demo, "SHOWN", ("permute", "mixup"))  # galleries of all are in tests/viz
    rows = run_demo(tmp_path / "demo", quick=True)
    results = json.loads((tmp_path / "demo" / "results.json").read_text())
    assert set(results) == {"mlp", "reader", "reader_augmented", "probe", "probe_augmented", "about"}
    for name in rows:
        assert set(results[name]) >= KEYS
        assert 0 <= results[name]["test_accuracy_mean"] <= 1
    for file in ("fits.png", "gallery.png", "curves.png", "scores.png", "report.html"):
        assert (tmp_path / "demo" / file).stat().st_size > 1000
    assert f"report.html are in {tmp_path / 'demo'}" in capsys.readouterr().out.splitlines()[-1]
    assert summary_table(rows).count("±") == 10
    # A second start finds everything done, reads the same scores and keeps the time that they took.
    assert run_demo(tmp_path / "demo", quick=True) == rows
    assert json.loads((tmp_path / "demo" / "results.json").read_text()) == results
