"""Metrics: plain JSON lines, of which only the last may be cut off."""

import json
import os

import pytest

from wsjax.errors import DataError
from wsjax.storage.files import write_text
from wsjax.train import journal, record


@pytest.fixture
def path(tmp_path):
    journal.append(tmp_path / "metrics.jsonl", [{"epoch": 1}, {"epoch": 2}])
    return tmp_path / "metrics.jsonl"


def test_metrics_are_plain_json(finished):
    lines = (finished / record.METRICS).read_text().splitlines()
    names = {"epoch", "run", "seed", "loss", "train_accuracy", "validation_accuracy", "seconds"}
    assert len(lines) == 6
    assert all(set(json.loads(line)) == names for line in lines)


@pytest.mark.parametrize("half", [b'{"epoch": 3, "lo', '{"epoch": 3, "name": "\xe9'.encode()[:-1], b"\0\0\0", b"12"])
def test_a_line_cut_off_by_a_kill_is_left_out(path, half: bytes):
    path.write_bytes(path.read_bytes() + half)
    assert [r["epoch"] for r in journal.read(path)] == [1, 2]
    assert [r["epoch"] for r in journal.rewind(path, 2)] == [1, 2]
    assert path.read_text() == '{"epoch": 1}\n{"epoch": 2}\n'
    assert [r["epoch"] for r in journal.rewind(path, 1)] == [1]
    journal.append(path, [{"epoch": 2}])
    assert [r["epoch"] for r in journal.read(path)] == [1, 2]


@pytest.mark.parametrize("damaged", ['{"epoch": 1', '{"epoci": 1}', "[1]", "\0"])
def test_any_other_damaged_line_is_named(path, damaged: str):
    path.write_text(f'{{"epoch": 0}}\n{damaged}\n{{"epoch": 2}}\n')
    with pytest.raises(DataError, match=r"metrics\.jsonl is damaged at line 2: .*expected the JSON of one evaluation"):
        journal.read(path)


def test_a_kill_while_it_is_cut_loses_nothing(path, monkeypatch):
    before = path.read_bytes()
    monkeypatch.setattr(os, "replace", lambda *args: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        journal.rewind(path, 1)
    assert path.read_bytes() == before


def test_nothing_is_written_where_nothing_is_cut(path, monkeypatch):
    monkeypatch.setattr(journal, "write_text", lambda *args: pytest.fail("written"))
    assert len(journal.rewind(path, 2)) == 2
    assert journal.rewind(path.with_name("none.jsonl"), 2) == []


def test_a_place_that_cannot_be_written_is_named(path):
    gone = path.with_name("gone") / path.name
    with pytest.raises(
        OSError, match=r"gone/metrics\.jsonl cannot be written: No such file.*goes on from its last che"
    ):
        journal.append(gone, [{"epoch": 1}])
    with pytest.raises(OSError, match=r"gone/metrics\.jsonl cannot be written: No such file.*; name a place that you"):
        write_text(gone, "{}")
