"""The demonstration: every file it promises, the runs behind each row, and a second start that goes on."""

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from matplotlib.figure import Figure

from benchmarks.accuracy import demo_search
from tests.helpers import assert_identical
from wsjax import demo
from wsjax.augment import RECOMMENDED, from_spec
from wsjax.data import SPLITS
from wsjax.demo import (
    AUGMENTED,
    FULL,
    PLAIN,
    PLANS,
    QUICK,
    ROWS,
    WARNING,
    gain_line,
    run_demo,
    score_row,
    stopwatch,
    summary_table,
)
from wsjax.train import Trained, Trial, record
from wsjax.typing import Batch
from wsjax.viz.style import save

ROOT = Path(__file__).parents[1]
FILES = {"fits.png", "gallery.png", "curves.png", "scores.png", "report.html", "results.json"}


def test_named_strengths_are_the_recommended_augmentation_and_zero_changes_no_network(networks):
    batch = Batch(networks.weights, np.eye(10, dtype=np.float32)[networks.label])
    pipelines = [from_spec(spec, networks.symmetry) for spec in (RECOMMENDED, AUGMENTED, PLAIN)]
    applied = jax.jit(lambda key, batch: [pipeline(key, batch) for pipeline in pipelines])
    recommended, named, none = applied(jax.random.key(0), batch)
    assert_identical(named, recommended)
    weights = jax.tree.leaves(batch.weights)
    assert all(np.any(moved != same) for moved, same in zip(jax.tree.leaves(named.weights), weights[:-1], strict=False))
    for changed, same in zip(jax.tree.leaves(none), jax.tree.leaves(batch), strict=True):
        np.testing.assert_array_equal(changed, same)


def test_readers_have_the_same_epochs_and_a_row_without_augmentation_the_same_program():
    assert len({(plan.epochs, plan.batch_size, plan.evaluate_every) for plan in PLANS.values()}) == 1
    for size in (FULL, QUICK):
        assert {row.reader for row in size.rows.values()} == set(size.plans)
        for name, row in size.rows.items():
            assert row.trial.augment in (None, PLAIN)
            assert row.augmented == name.endswith("_augmented")
            if row.augmented:
                assert size.rows[name.removesuffix("_augmented")].trial.augment == PLAIN


def test_settings_are_those_that_the_recorded_search_chose_on_validation():
    known = json.loads(demo_search.RECORD.read_text())
    assert known["plans"] == json.loads(json.dumps({name: plan.to_json() for name, plan in PLANS.items()}))
    assert list(known["rows"]) == list(ROWS)
    for name, row in ROWS.items():
        found = known["rows"][name]
        means = [np.mean(trial["validation_accuracies"]) for trial in found["trials"]]
        best, chosen = found["trials"][int(np.argmax(means))], demo_search.settings_of(row.trial)
        assert {field: best[field] for field in chosen} == chosen


def test_the_search_trains_without_the_test_split_and_takes_the_best_mean(networks, tmp_path, monkeypatch):
    means = np.linspace(0.1, 0.2, len(demo_search.TRIALS))

    def trained(seen, plan, trials, out):
        assert not np.any(seen.columns["split"] == SPLITS.index("test"))
        settings = [demo_search.settings_of(trial) for trial in demo_search.TRIALS]
        rates = [settings.index(demo_search.settings_of(trial)) for trial in trials]
        # The first setting has the best single run, and the last the best mean.
        apart = lambda i, trial: (0.15 if trial.seed else -0.15) if i == 0 else 0.0
        best = [means[i] + apart(i, trial) for i, trial in zip(rates, trials, strict=True)]
        return SimpleNamespace(state=SimpleNamespace(best_score=np.array(best)))

    monkeypatch.setattr(demo_search, "train", trained)
    rows = demo_search.search(networks, tmp_path)
    assert list(rows) == list(ROWS)
    for row in rows.values():
        assert row["best"] == len(demo_search.TRIALS) - 1
        assert np.shape([trial["validation_accuracies"] for trial in row["trials"]]) == (
            len(demo_search.TRIALS),
            len(demo_search.SEEDS),
        )


def test_seconds_are_those_of_all_starts_until_the_work_was_finished(tmp_path, monkeypatch):
    clock = itertools.count(0.0, 10.0)
    monkeypatch.setattr(demo.time, "monotonic", lambda: next(clock))
    with pytest.raises(KeyboardInterrupt), stopwatch(tmp_path / "arm"):
        raise KeyboardInterrupt
    for _ in range(2):  # the second finds all done
        with stopwatch(tmp_path / "arm") as spent:
            pass
        assert spent["seconds"] == 20.0


def test_compilation_is_counted_and_told_apart_from_the_rest(tmp_path):
    with stopwatch(tmp_path) as spent:
        program = jax.jit(lambda x: x + 1)
        program(np.float32(0))
        program(np.float32(1))
        time.sleep(0.5)
    assert spent["programs"] == 1
    assert 0 < spent["compile_seconds"] <= spent["seconds"] - 0.5


@pytest.fixture
def trained_as(networks, monkeypatch):
    """Stands in for all that computes: the test accuracy is 0.4, 0.1 more with augmentation, and a hundredth a seed."""
    asked, drawn = [], []

    def train(networks, plan, trials, out):
        asked.append((out.name, plan, tuple(trials)))
        history = [
            {"epoch": e, "run": r, "train_accuracy": 0.9, "validation_accuracy": 0.5 + 0.1 * (trial.augment is None)}
            for e in (1, 2)
            for r, trial in enumerate(trials)
        ]
        state = SimpleNamespace(best_epoch=np.full(len(trials), 2))
        return Trained(plan, tuple(trials), state, None, history, networks.card)  # type: ignore[arg-type]

    def picture(*_, path, entries=None):
        drawn.append(path.name)
        return save(Figure((1, 1)), path)

    monkeypatch.setattr(demo, "train", train)
    monkeypatch.setattr(
        demo, "evaluate", lambda t, _: [0.4 + 0.1 * (trial.augment is None) + 0.01 * trial.seed for trial in t.trials]
    )
    monkeypatch.setattr(demo.data, "fit_dataset", lambda *_: networks)
    monkeypatch.setattr(demo.viz, "fits", picture)
    monkeypatch.setattr(demo.viz, "gallery", picture)
    return SimpleNamespace(asked=asked, drawn=drawn, train=train)


def test_results_pictures_and_a_report_are_left(trained_as, tmp_path, capsys):
    rows = run_demo(tmp_path / "demo")
    results = json.loads((tmp_path / "demo" / "results.json").read_text())
    assert list(results) == [*ROWS, "about"]
    assert {name: results[name] for name in ROWS} == rows
    assert {path.name for path in (tmp_path / "demo").iterdir() if path.is_file()} == {*FILES, demo.SPENT}
    for name, row in ROWS.items():
        mean = 0.42 + 0.1 * (row.trial.augment is None)
        assert rows[name]["test_accuracy_mean"] == pytest.approx(mean)
        assert rows[name]["test_accuracy_sd"] == pytest.approx(0.01)
        assert rows[name]["augment"] == (RECOMMENDED if row.augmented else "")
    assert [(name, plan, len(trials)) for name, plan, trials in sorted(trained_as.asked, key=lambda one: one[0])] == [
        (name, PLANS[name], 3 * sum(row.reader == name for row in ROWS.values())) for name in sorted(PLANS)
    ]
    assert {"seconds", "compile_seconds", "programs", "machine"} <= set(results["about"])
    words = capsys.readouterr().out
    lines = words.splitlines()
    assert lines[0].endswith(str(tmp_path / "demo" / "fits.png"))  # the first picture is told of before anything trains
    assert lines[-1].endswith(f"report.html are in {tmp_path / 'demo'}")
    assert "test accuracy of DWS by +10.0 points; the larger of its two deviations over seeds is 1.0" in words
    assert summary_table(rows).count("±") == 2 * len(ROWS)
    assert WARNING not in words
    report = (tmp_path / "demo" / "report.html").read_text()
    assert report.count("data:image/png;base64,") == 4
    assert "52.0% ± 1.0%" in report


def test_what_a_kill_left_is_gone_on_with(trained_as, tmp_path, monkeypatch, capsys):
    def killed(networks, plan, trials, out):
        if out.name == "dws":
            raise KeyboardInterrupt
        return trained_as.train(networks, plan, trials, out)

    monkeypatch.setattr(demo, "train", killed)
    with pytest.raises(KeyboardInterrupt):
        run_demo(tmp_path, quick=True)
    monkeypatch.setattr(demo, "train", trained_as.train)
    assert not (tmp_path / "results.json").exists()
    before = record.read_json(tmp_path / demo.SPENT)
    rows = run_demo(tmp_path, quick=True)
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["about"]["seconds"] > before["seconds"] > 0
    assert run_demo(tmp_path, quick=True) == rows
    assert json.loads((tmp_path / "results.json").read_text()) == results
    assert len({plan for name, plan, _ in trained_as.asked if name == "dws"}) == 1
    assert capsys.readouterr().out.splitlines()[-1] == WARNING


@pytest.mark.parametrize("fails", ["dws", "probe"])
def test_an_error_of_either_thread_ends_the_demo_once_both_are_done(fails, trained_as, tmp_path, monkeypatch):
    done = threading.Event()

    def failing(networks, plan, trials, out):
        if out.name == fails:
            raise FloatingPointError("the loss is nan")
        found = trained_as.train(networks, plan, trials, out)
        done.set()
        return found

    monkeypatch.setattr(demo, "train", failing)
    with pytest.raises(FloatingPointError, match="the loss is nan"):
        run_demo(tmp_path, quick=True)
    assert done.is_set()


def test_one_seed_has_no_deviation(trained_as, networks):
    trained = trained_as.train(networks, PLANS["dws"], [Trial(1), Trial(2)], Path("dws"))
    row = score_row(trained, [0.25, 0.5], runs=[1])
    assert (row["test_accuracies"], row["test_accuracy_sd"], row["validation_accuracy_sd"]) == ([0.5], None, None)
    assert "±" not in summary_table({"dws": row})
    assert summary_table({"dws": score_row(trained, [0.25, 0.5])}).count("±") == 2
    assert "deviation" not in gain_line({"reader": row, "reader_augmented": row})


@pytest.mark.slow
def test_the_quick_demo_ends_at_ctrl_c_and_the_same_command_goes_on(tmp_path):
    command = [sys.executable, "-c", "from wsjax.cli import main; main()", "demo", "--quick", "--out", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, text=True, env=os.environ) as started:
        assert started.stdout is not None
        assert any("fits.png" in line for line in started.stdout)
        started.send_signal(signal.SIGINT)
        rest = started.stdout.read()
    assert started.returncode == 130
    assert "the same command goes on from there" in rest
    again = subprocess.run(command, capture_output=True, cwd=ROOT, text=True, check=True)
    assert again.stdout.splitlines()[-1] == WARNING
    assert again.stderr.count("\r") == 0
    assert len(again.stderr.splitlines()) < 20
    results = (tmp_path / "results.json").read_text()
    assert set(json.loads(results)) == {*QUICK.rows, "about"}
    assert {path.name for path in tmp_path.iterdir() if path.is_file()} == {*FILES, demo.SPENT}
    assert all((tmp_path / name).stat().st_size > 1000 for name in FILES)
    assert run_demo(tmp_path, quick=True) == {n: row for n, row in json.loads(results).items() if n != "about"}
    assert (tmp_path / "results.json").read_text() == results
