"""A break changes nothing, and a directory belongs to one training and one trainer at a time."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import jax
import numpy as np
import pytest

from tests.data.test_as_users import FLAGS
from tests.train.helpers import CONFIG, RUNS, SMALL, bits, changed, ctrl_c, dws, trained_on, without_seconds
from wsjax import data
from wsjax.errors import DataError
from wsjax.storage.files import write_text
from wsjax.train import Run, checkpoint, fit, journal, load, record

ROOT = Path(__file__).parents[2]


def test_stopped_and_resumed_equals_uninterrupted_bit_for_bit(
    networks, trained, tmp_path, broken, after_evaluation, capsys
):
    run, train_on = tmp_path / "run", partial(fit, networks, dws(networks), CONFIG, runs=RUNS, progress=False)
    broken(train_on, run)
    assert f"epoch 2 is safe in {run}; the same command goes on" in capsys.readouterr().out
    assert journal.read(run / record.METRICS)[-1]["epoch"] == 4
    later = after_evaluation(9, None)
    resumed = train_on(out=run)
    assert later == [2, 4, 4, 6]
    assert bits(resumed.state) == bits(trained.state)
    assert without_seconds(resumed.history) == without_seconds(trained.history)
    assert journal.read(run / record.METRICS) == resumed.history


def test_ctrl_c_saves_what_the_clock_had_not(networks, tmp_path, after_evaluation):
    after_evaluation(2, ctrl_c)
    with pytest.raises(KeyboardInterrupt):
        trained_on(networks, out=tmp_path / "run", checkpoint_seconds=1e9)
    assert checkpoint.epochs(tmp_path / "run") == [2]


STORED = """
    import json, sys, time
    from dataclasses import replace
    from tests.train.helpers import SMALL, bits, trained_on
    from wsjax import data
    from wsjax.train import Run, journal, load
    networks, config = data.load(sys.argv[1]), replace(SMALL, augment="flip_signs", epochs=1200, evaluate_every=20)
"""
PACED = """
    append = journal.append  # some seconds in which a signal may come; the same numbers
    journal.append = lambda path, records: (append(path, records), time.sleep(0.1))
    trained_on(networks, config, [Run()], sys.argv[2], checkpoint_seconds=0.2)
"""
DEEP = """
    from wsjax.models import NamedReader
    from wsjax.train import fit
    reader = NamedReader("dws", networks.metadata, {"layers": 5})
    config = replace(config, epochs=40000, batch_size=16)
    fit(networks, reader, config, out=sys.argv[2], progress=False, checkpoint_seconds=0.2)
"""
AGAIN = """
    unbroken = bits(trained_on(networks, config, [Run()]).state)
    for out in sys.argv[2:]:
        known = load(out).history
        found = trained_on(networks, config, [Run()], out)
        print(json.dumps([len(known), found.history[: len(known)] == known, bits(found.state) == unbroken]))
"""


def started(code: str, more: dict[str, str], *paths: Path) -> subprocess.Popen[str]:
    """A process of a user, without the tests' XLA flags."""
    plain = {name: value for name, value in os.environ.items() if name not in FLAGS}
    command = [sys.executable, "-c", textwrap.dedent(STORED + code), *paths]
    piped = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=ROOT, env={**plain, **more}, **piped)


@pytest.mark.slow
def test_processes_stopped_for_real_go_on_to_the_same_bits(networks, tmp_path):
    """One more process gives the same commands again, and compiles nothing."""
    data.save(networks, tmp_path / "set")
    given = {"JAX_COMPILATION_CACHE_DIR": str(tmp_path / "programs")}, tmp_path / "set"
    running = {
        n: (tmp_path / n.name, started(PACED, *given, tmp_path / n.name)) for n in (signal.SIGINT, signal.SIGKILL)
    }
    for number, (out, process) in running.items():
        deadline = time.monotonic() + 120
        while len(journal.read(out / record.METRICS)) < 8 and time.monotonic() < deadline:
            time.sleep(0.05)
        os.kill(process.pid, number)
        printed, errors = process.communicate(timeout=60)
        assert process.returncode == -number, errors
        assert (f"is safe in {out}; the same command goes on" in printed) == (number == signal.SIGINT)
        assert 0 < load(out).history[-1]["epoch"] < 1200
    again = started(AGAIN, *given, *(out for out, _ in running.values()))
    printed, errors = again.communicate(timeout=300)
    assert again.returncode == 0, errors
    found = [json.loads(line) for line in printed.splitlines()]
    assert len(found) == 2
    for known, kept, same in found:
        assert 0 < known < 60
        assert kept  # with the seconds that the stopped process took: it went on, and did not begin anew
        assert same


@pytest.mark.slow
@pytest.mark.parametrize("pause", [0.3, 1.5])
def test_ctrl_c_while_compiling_ends_as_elsewhere(networks, pause, tmp_path):
    """XLA's compiler loses an interrupt, or the process crashes; so it waits until the program is made."""
    data.save(networks, tmp_path / "set")
    out = tmp_path / "run"
    process = started(DEEP, {}, tmp_path / "set", out)
    while not (out / record.RECORD).exists() and process.poll() is None:
        time.sleep(0.05)
    time.sleep(pause)
    os.kill(process.pid, signal.SIGINT)
    printed, errors = process.communicate(timeout=120)
    assert process.returncode == -signal.SIGINT, errors[-2000:]
    assert printed.startswith("interrupted: nothing was saved yet; the same command begins anew")


def test_a_second_trainer_is_refused_while_the_first_runs(networks, tmp_path, after_evaluation):
    def second():
        with pytest.raises(OSError, match=r"run is being written by another process; expected one writer"):
            trained_on(networks, out=tmp_path / "run")
        refused.append(load(tmp_path / "run").history[-1]["epoch"])  # a reader may look on

    refused = []
    after_evaluation(2, second)
    first = trained_on(networks, out=tmp_path / "run", checkpoint_seconds=0.0)
    assert refused == [2]
    assert first.history[-1]["epoch"] == 6
    trained_on(networks, out=tmp_path / "run")


def test_a_run_goes_on_under_its_own_settings_alone(networks, small, run, untyped):
    other_rate = (RUNS[0], replace(RUNS[1], learning_rate=0.1))
    for config, runs, named in (
        (replace(SMALL, epochs=4), RUNS, r"config\.epochs is 6 there and 4 here"),
        (replace(SMALL, ema_decay=0.5), RUNS, r"config\.ema_decay is 0\.0 there and 0\.5 here"),
        (SMALL, other_rate, r"runs\[1\]\.learning_rate is 0\.006 there and 0\.1 here"),
    ):
        with pytest.raises(ValueError, match=rf"run holds a training with other settings: {named}"):
            trained_on(networks, config, runs, run)
    assert bits(trained_on(networks, out=run).state) == bits(small.state)


def test_other_data_under_the_same_metadata_are_refused(networks, run):
    """Weights, labels, images and splits of training and validation count; the test split does not."""
    seen = networks.columns["split"] != data.sources.SPLITS.index("test")
    reversed_at = lambda x, rows: changed(x, rows, x[::-1])
    last = np.arange(len(networks)) == np.flatnonzero(networks.columns["split"] == 0)[-1]
    images = {**networks.columns, "image": reversed_at(networks.columns["image"], seen)}
    for other in (
        replace(networks, weights=jax.tree.map(lambda w: np.where(w == w.max(), 0, w), networks.weights)),
        replace(networks, label=reversed_at(networks.label, seen)),
        replace(networks, columns=images),
        networks.where(~last),
    ):
        with pytest.raises(ValueError, match=r"other settings: data_sha256 is '.*' there and '.*' here.*same settings"):
            trained_on(other, out=run)
    trained_on(replace(networks, label=reversed_at(networks.label, ~seen)), out=run)


@pytest.mark.parametrize("left", [(record.CHECKPOINTS, record.PROOFS), (record.METRICS,)])
def test_files_of_a_run_without_its_record_are_not_adopted(networks, run, tmp_path, left):
    for path in (p for p in run.iterdir() if p.name not in left):
        path.rename(tmp_path / path.name)
    with pytest.raises(ValueError, match=rf"run holds {', '.join(left)} without run\.json.*restore run\.json"):
        trained_on(networks, SMALL, [Run(5), Run(6)], run)
    assert {p.name for p in run.iterdir()} == {*left, "lock"}


def test_a_directory_of_something_else_is_not_adopted(networks, tmp_path):
    (tmp_path / "index.json").touch()
    with pytest.raises(ValueError, match=r"holds index\.json and no run; expected a new directory, or that of this tr"):
        trained_on(networks, out=tmp_path)
    assert not (tmp_path / record.RECORD).exists()


@pytest.fixture
def path(tmp_path):
    journal.append(tmp_path / "metrics.jsonl", [{"epoch": 1}, {"epoch": 2}])
    return tmp_path / "metrics.jsonl"


def test_a_line_of_metrics_cut_off_by_a_kill_is_left_out(path):
    whole = path.read_bytes()
    for half in (b'{"epoch": 3, "lo', '{"epoch": 3, "name": "\xe9'.encode()[:-1], b"\0\0\0", b"12"):
        path.write_bytes(whole + half)
        assert [r["epoch"] for r in journal.read(path)] == [1, 2]
        assert [r["epoch"] for r in journal.rewind(path, 2)] == [1, 2]
        assert path.read_bytes() == whole
    assert [r["epoch"] for r in journal.rewind(path, 1)] == [1]
    journal.append(path, [{"epoch": 2}])
    assert [r["epoch"] for r in journal.read(path)] == [1, 2]


def test_any_other_damaged_line_of_metrics_is_named(path):
    for damaged in ('{"epoch": 1', '{"epoci": 1}', "[1]", "\0", ""):
        path.write_text(f'{{"epoch": 0}}\n{damaged}\n{{"epoch": 2}}\n')
        with pytest.raises(DataError, match=r"metrics\.jsonl is damaged at line 2: .*expected the JSON of one eval"):
            journal.read(path)


def test_metrics_are_cut_whole_or_not_at_all_and_only_where_they_are_to_be(path, monkeypatch):
    before = path.read_bytes()
    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", lambda *args: ctrl_c())
        with pytest.raises(KeyboardInterrupt):
            journal.rewind(path, 1)
    assert path.read_bytes() == before
    monkeypatch.setattr(journal, "write_text", lambda *args: pytest.fail("written"))
    assert len(journal.rewind(path, 2)) == 2
    assert journal.rewind(path.with_name("none.jsonl"), 2) == []
    gone = path.with_name("gone") / path.name
    for write, way_out in (
        (lambda: journal.append(gone, [{"epoch": 1}]), "goes on from its last che"),
        (lambda: write_text(gone, "{}"), "name a place that you"),
    ):
        with pytest.raises(OSError, match=rf"gone/metrics\.jsonl cannot be written: No such file.*{way_out}"):
            write()


def test_a_directory_that_is_no_run_is_named(tmp_path, untyped):
    with pytest.raises(DataError, match=r"run\.json does not exist; expected the directory of a run"):
        load(tmp_path)
    for content in ('{"config": ', '{"config": {}}'):  # cut, and as a wsjax without checksums wrote it
        (tmp_path / record.RECORD).write_text(content)
        with pytest.raises(DataError, match=r"run\.json is damaged: .*train again into another directory"):
            load(tmp_path)
