"""A break changes nothing, and a directory belongs to one training and one trainer at a time."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest

from tests.data.test_as_users import FLAGS
from tests.train.helpers import CONFIG, RUNS, SMALL, bits, changed, ctrl_c, dws, trained_on, without_seconds
from wsjax import data
from wsjax.errors import DataError
from wsjax.train import Run, checkpoint, fit, journal, load, record

ROOT = Path(__file__).parents[2]


def test_stopped_and_resumed_equals_uninterrupted_bit_for_bit(networks, trained, tmp_path, after_evaluation, capsys):
    """Break as Ctrl-C would, with metrics of epoch 4 and a checkpoint of epoch 2, and go on in a second call."""
    run = tmp_path / "run"
    after_evaluation(2, ctrl_c)
    with pytest.raises(KeyboardInterrupt):
        fit(networks, dws(networks), CONFIG, runs=RUNS, out=run, progress=False, checkpoint_seconds=0.0)
    assert f"epoch 2 is safe in {run}; the same command goes on" in capsys.readouterr().out
    assert checkpoint.epochs(run) == [2]
    assert journal.read(run / record.METRICS)[-1]["epoch"] == 4
    later = after_evaluation(9, None)
    resumed = fit(networks, dws(networks), CONFIG, runs=RUNS, out=run, progress=False)
    assert later == [2, 4, 4, 6]
    assert bits(resumed.state) == bits(trained.state)
    assert without_seconds(resumed.history) == without_seconds(trained.history)
    assert journal.read(run / record.METRICS) == resumed.history


def test_ctrl_c_saves_what_the_clock_had_not(networks, tmp_path, after_evaluation):
    after_evaluation(2, ctrl_c)
    with pytest.raises(KeyboardInterrupt):
        trained_on(networks, out=tmp_path / "run", checkpoint_seconds=1e9)
    assert checkpoint.epochs(tmp_path / "run") == [2]


INTERRUPTED = """
    from wsjax import data, models, train
    from wsjax.networks import Network
    recipe = data.Recipe(Network("siren", (2, 4, 4, 1), w0=(3.0,), offset=0.5), steps=20, learning_rate=2e-2, slots=8)
    networks = data.fit(data.limit(data.load_images("digits"), 40), recipe=recipe, progress=False)
    config = train.TrainConfig("flip_signs", epochs=40000, batch_size=16, evaluate_every=20)
    reader = models.NamedReader("dws", networks.metadata, {"layers": 5})
    train.fit(networks, reader, config, out="OUT", progress=False, checkpoint_seconds=0.2)
"""


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
AGAIN = """
    unbroken = bits(trained_on(networks, config, [Run()]).state)
    for out in sys.argv[2:]:
        known = load(out).history
        found = trained_on(networks, config, [Run()], out)
        print(json.dumps([len(known), found.history[: len(known)] == known, bits(found.state) == unbroken]))
"""


@pytest.mark.slow
def test_processes_stopped_for_real_go_on_to_the_same_bits(networks, tmp_path):
    """As users run them, without the tests' XLA flags; one more process gives the same commands again."""
    data.save(networks, tmp_path / "set")
    plain = {name: value for name, value in os.environ.items() if name not in FLAGS}
    plain["JAX_COMPILATION_CACHE_DIR"] = str(tmp_path / "programs")  # the last process compiles nothing

    def started(code: str, *runs: Path) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", textwrap.dedent(STORED + code), tmp_path / "set", *runs]
        return subprocess.Popen(command, cwd=ROOT, env=plain, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    running = {n: (tmp_path / n.name, started(PACED, tmp_path / n.name)) for n in (signal.SIGINT, signal.SIGKILL)}
    for number, (out, process) in running.items():
        deadline = time.monotonic() + 120
        while len(journal.read(out / record.METRICS)) < 8 and time.monotonic() < deadline:
            time.sleep(0.05)
        os.kill(process.pid, number)
        printed, errors = process.communicate(timeout=60)
        assert process.returncode == -number, errors
        assert (f"is safe in {out}; the same command goes on" in printed) == (number == signal.SIGINT)
        assert 0 < load(out).history[-1]["epoch"] < 1200
    again = started(AGAIN, *(out for out, _ in running.values()))
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
def test_ctrl_c_while_compiling_ends_as_elsewhere(pause, tmp_path):
    """XLA's compiler loses an interrupt, or the process crashes; so it waits until the program is made."""
    out = tmp_path / "run"
    code = textwrap.dedent(INTERRUPTED).replace("OUT", str(out))
    piped = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen([sys.executable, "-c", code], **piped)
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


def test_other_settings_in_the_same_place_are_refused(networks, run, untyped):
    other_rate = (RUNS[0], replace(RUNS[1], learning_rate=0.1))
    for config, runs, named in (
        (replace(SMALL, epochs=4), RUNS, r"config\.epochs is 6 there and 4 here"),
        (SMALL, other_rate, r"runs\[1\]\.learning_rate is 0\.006 there and 0\.1 here"),
    ):
        with pytest.raises(ValueError, match=rf"run holds a training with other settings: {named}"):
            trained_on(networks, config, runs, run)


def test_other_data_under_the_same_metadata_are_refused(networks, run):
    """Weights, labels, images and splits of training and validation count; the test split does not."""
    seen = networks.columns["split"] != data.SPLITS.index("test")
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


def test_a_directory_that_is_no_run_is_named(tmp_path, untyped):
    with pytest.raises(DataError, match=r"run\.json does not exist; expected the directory of a run"):
        load(tmp_path)
    for content in ('{"config": ', '{"config": {}}'):  # cut, and as a wsjax without checksums wrote it
        (tmp_path / record.RECORD).write_text(content)
        with pytest.raises(DataError, match=r"run\.json is damaged: .*train again into another directory"):
            load(tmp_path)
