"""The demonstration: every file it promises, the runs behind each row, and a second start that goes on."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from matplotlib.figure import Figure

from benchmarks.accuracy import demo_search
from tests.helpers import assert_identical
from wsjax import cli, demo
from wsjax.augment import parse_batch
from wsjax.augment.presets import RECOMMENDED
from wsjax.data.sources import SPLITS
from wsjax.demo import AUGMENTED, CHOICE, FULL, PLAIN, QUICK, ROWS, TRAININGS, WARNING, gain_line, run_demo
from wsjax.models import NamedReader
from wsjax.storage import files
from wsjax.train import Classification, Result, Run, TrainConfig
from wsjax.train.results import SPENT, row_of, summary_table
from wsjax.typing import Batch
from wsjax.viz.style import save

ROOT = Path(__file__).parents[1]
FILES = {"fits.png", "gallery.png", "curves.png", "scores.png", "report.html", "results.json"}


def test_named_strengths_are_the_recommended_augmentation_and_zero_changes_no_network(networks):
    batch = Batch(networks.weights, np.eye(10, dtype=np.float32)[networks.label])
    pipelines = [parse_batch(spec, networks.symmetry) for spec in (RECOMMENDED, AUGMENTED, PLAIN)]
    applied = jax.jit(lambda key, batch: [pipeline(key, batch) for pipeline in pipelines])
    recommended, named, none = applied(jax.random.key(0), batch)
    assert_identical(named, recommended)
    weights = jax.tree.leaves(batch.weights)
    assert all(np.any(moved != same) for moved, same in zip(jax.tree.leaves(named.weights), weights[:-1], strict=False))
    for changed, same in zip(jax.tree.leaves(none), jax.tree.leaves(batch), strict=True):
        np.testing.assert_array_equal(changed, same)


def test_readers_have_the_same_epochs_and_a_row_without_augmentation_the_same_program():
    configs = [training.config for training in TRAININGS.values()]
    assert len({(config.epochs, config.batch_size, config.evaluate_every) for config in configs}) == 1
    for size in (FULL, QUICK):
        assert {row.reader for row in size.rows.values()} == set(size.trainings)
        for name, row in size.rows.items():
            assert row.run.augment in (None, PLAIN)
            assert row.augmented == name.endswith("_augmented")
            if row.augmented:
                assert size.rows[name.removesuffix("_augmented")].run.augment == PLAIN


def test_settings_are_those_that_the_recorded_search_chose_on_validation():
    known = json.loads(demo_search.RECORD.read_text())
    assert known["trainings"] == json.loads(json.dumps(demo_search.described()))
    assert list(known["rows"]) == list(ROWS)
    for name, row in ROWS.items():
        tried = known["rows"][name]["tried"]
        best = tried[int(np.argmax([np.mean(one["validation_accuracies"]) for one in tried]))]
        chosen = demo_search.searched(row.run)
        assert {field: best[field] for field in chosen} == chosen


def test_the_search_trains_without_the_test_split_and_takes_the_best_mean(networks, tmp_path, monkeypatch):
    means = np.linspace(0.1, 0.2, len(demo_search.TRIED))

    def fit(given, make_model, config, *, runs, out):
        assert not np.any(given.columns["split"] == SPLITS.index("test"))
        settings = [demo_search.searched(run) for run in demo_search.TRIED]
        numbers = [settings.index(demo_search.searched(run)) for run in runs]
        # the first setting has the best single run, and the last the best mean
        apart = lambda i, run: (0.15 if run.seed else -0.15) if i == 0 else 0.0
        best = [means[i] + apart(i, run) for i, run in zip(numbers, runs, strict=True)]
        return SimpleNamespace(state=SimpleNamespace(best_score=np.array(best)))

    monkeypatch.setattr(demo_search, "fit", fit)
    rows = demo_search.search(networks, tmp_path)
    assert list(rows) == list(ROWS)
    shape = (len(demo_search.TRIED), len(demo_search.SEEDS))
    for row in rows.values():
        assert row["best"] == len(demo_search.TRIED) - 1
        assert np.shape([tried["validation_accuracies"] for tried in row["tried"]]) == shape


@pytest.fixture
def trained_as(networks, monkeypatch):
    """Stands in for what computes: the test accuracy is 0.4, 0.1 more with augmentation, and a hundredth a seed."""
    asked, drawn = [], []

    def fit(networks, make_model, config, *, runs, out):
        asked.append((out.name, make_model.settings, config, tuple(runs)))
        history = [
            {"epoch": e, "run": r, "train_accuracy": 0.9, "validation_accuracy": 0.5 + 0.1 * (run.augment is None)}
            for e in (1, 2)
            for r, run in enumerate(runs)
        ]
        state = SimpleNamespace(best_epoch=np.full(len(runs), 2))
        task = Classification(10)
        return Result(config, tuple(runs), task, state, None, history, networks.metadata)  # type: ignore[arg-type]

    def figure(*_, path, entries=None):
        drawn.append(path.name)
        return save(Figure((1, 1)), path)

    accuracies = lambda result, _: [0.4 + 0.1 * (run.augment is None) + 0.01 * run.seed for run in result.runs]
    monkeypatch.setattr(demo, "fit", fit)
    monkeypatch.setattr(demo, "evaluate", accuracies)
    monkeypatch.setattr(demo.data, "fit", lambda *_, **__: networks)
    monkeypatch.setattr(demo.viz, "fits", figure)
    monkeypatch.setattr(demo.viz, "gallery", figure)
    return SimpleNamespace(asked=asked, drawn=drawn, fit=fit)


def test_results_figures_and_a_report_are_left(trained_as, tmp_path, capsys):
    rows = run_demo(tmp_path / "demo")
    found = json.loads((tmp_path / "demo" / "results.json").read_text())
    assert list(found) == [*ROWS, "about"]
    assert {name: found[name] for name in ROWS} == rows
    assert {path.name for path in (tmp_path / "demo").iterdir() if path.is_file()} == {*FILES, SPENT}
    for name, row in ROWS.items():
        mean = 0.42 + 0.1 * (row.run.augment is None)
        assert rows[name]["test_accuracy_mean"] == pytest.approx(mean)
        assert rows[name]["test_accuracy_sd"] == pytest.approx(0.01)
        assert rows[name]["augment"] == (RECOMMENDED if row.augmented else "")
    described = demo_search.described()
    assert {name: (settings, config, len(runs)) for name, settings, config, runs in trained_as.asked} == {
        name: (described[name]["settings"], training.config, 3 * sum(row.reader == name for row in ROWS.values()))
        for name, training in TRAININGS.items()
    }
    assert {"seconds", "compile_seconds", "programs", "machine", "wsjax"} <= set(found["about"])
    words = capsys.readouterr().out
    lines = words.splitlines()
    assert lines[0].endswith(str(tmp_path / "demo" / "fits.png"))  # the first figure is told of before anything trains
    assert lines[-1].endswith(f"report.html are in {tmp_path / 'demo'}")
    assert summary_table(rows).count("±") == 2 * len(ROWS)
    assert WARNING not in words


def test_the_report_says_what_was_gained_then_scores_figures_machine_and_what_to_do_next(trained_as, tmp_path):
    run_demo(tmp_path)
    report = (tmp_path / "report.html").read_text()
    about = json.loads((tmp_path / "results.json").read_text())["about"]
    gained = "Augmentation changes the test accuracy of DWS by +10.0 points; the larger of its two deviations over"
    parts = (gained, CHOICE, "52.0% ± 1.0%", "data:image/png;base64,", about["jax"], f"wsjax train {tmp_path}/digits")
    places = [report.index(words) for words in parts]
    assert places == sorted(places)
    assert report.count("data:image/png;base64,") == 4
    named = re.findall(r"<td>wsjax (\w+)", report)
    assert (len(named), set(named) <= set(cli.COMMANDS)) == (3, True)


def test_what_a_kill_left_is_gone_on_with(trained_as, tmp_path, monkeypatch, capsys):
    def killed(networks, make_model, config, *, runs, out):
        if out.name == "dws":
            raise KeyboardInterrupt
        return trained_as.fit(networks, make_model, config, runs=runs, out=out)

    monkeypatch.setattr(demo, "fit", killed)
    with pytest.raises(KeyboardInterrupt):
        run_demo(tmp_path, quick=True)
    monkeypatch.setattr(demo, "fit", trained_as.fit)
    assert not (tmp_path / "results.json").exists()
    before = files.read_json(tmp_path / SPENT)
    rows = run_demo(tmp_path, quick=True)
    found = json.loads((tmp_path / "results.json").read_text())
    assert found["about"]["seconds"] > before["seconds"] > 0
    assert run_demo(tmp_path, quick=True) == rows
    assert json.loads((tmp_path / "results.json").read_text()) == found
    assert len({config for name, _, config, _ in trained_as.asked if name == "dws"}) == 1
    assert capsys.readouterr().out.splitlines()[-1] == WARNING


@pytest.mark.parametrize("fails", ["dws", "probe"])
def test_an_error_of_either_thread_ends_the_demo_once_both_are_done(fails, trained_as, tmp_path, monkeypatch):
    done = threading.Event()

    def failing(networks, make_model, config, *, runs, out):
        if out.name == fails:
            raise FloatingPointError("the loss is nan")
        found = trained_as.fit(networks, make_model, config, runs=runs, out=out)
        done.set()
        return found

    monkeypatch.setattr(demo, "fit", failing)
    with pytest.raises(FloatingPointError, match="the loss is nan"):
        run_demo(tmp_path, quick=True)
    assert done.is_set()


def test_the_gain_of_one_seed_names_no_deviation(trained_as, networks):
    make_model = NamedReader("dws", networks.metadata)
    result = trained_as.fit(networks, make_model, TrainConfig(), runs=[Run(1), Run(2)], out=Path("dws"))
    row = row_of(result, [0.25, 0.5], runs=[1])
    assert "deviation" not in gain_line({"reader": row, "reader_augmented": row})


@pytest.mark.slow
def test_the_quick_demo_ends_at_ctrl_c_and_the_same_command_goes_on(tmp_path):
    command = [sys.executable, "-m", "wsjax", "demo", "--quick", "--out", str(tmp_path)]
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
    assert {path.name for path in tmp_path.iterdir() if path.is_file()} == {*FILES, SPENT}
    assert all((tmp_path / name).stat().st_size > 1000 for name in FILES)
    assert run_demo(tmp_path, quick=True) == {n: row for n, row in json.loads(results).items() if n != "about"}
    assert (tmp_path / "results.json").read_text() == results
