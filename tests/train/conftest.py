"""Trainings that many tests use, each made once; `networks` and `trained` are those of all tests."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.train.helpers import ctrl_c, trained_on
from wsjax.train import Result, checkpoint, journal


@pytest.fixture(scope="session")
def small(networks) -> Result:
    return trained_on(networks)


@pytest.fixture(scope="session")
def finished(networks, tmp_path_factory) -> Path:
    """The directory of the same training, whose checkpoints are those of epochs 4 and 6."""
    run = tmp_path_factory.mktemp("runs") / "run"
    trained_on(networks, out=run, checkpoint_seconds=0.0)
    return run


@pytest.fixture
def run(finished, tmp_path) -> Path:
    """A copy of it."""
    return shutil.copytree(finished, tmp_path / "run")


@pytest.fixture
def after_evaluation(monkeypatch) -> Callable:
    """`after_evaluation(2, f)` calls f once the second evaluation is written down, before its checkpoint."""
    append, calls = journal.append, []

    def watch(number, then):
        def appended(path, records):
            append(path, records)
            calls.append(records[0]["epoch"])
            if len(calls) == number:
                monkeypatch.undo()
                then()

        monkeypatch.setattr(journal, "append", appended)
        return calls

    return watch


@pytest.fixture
def broken(after_evaluation) -> Callable:
    """`broken(train, out)` breaks a training as Ctrl-C would, with metrics of one evaluation beyond its checkpoint."""

    def broken(train: Callable[..., Result], out: Path, first: int = 2) -> None:
        after_evaluation(2, ctrl_c)
        with pytest.raises(KeyboardInterrupt):
            train(out=out, checkpoint_seconds=0.0)
        assert checkpoint.epochs(out) == [first]  # it goes on from there, and does not begin anew

    return broken
