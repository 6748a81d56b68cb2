"""Formats by name."""

import json
import os
import pickle
import shutil
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch

from tests.data.formats.conftest import refused, save_state
from tests.data.formats.references import DWS_WIDTHS, dense_state
from tests.data.formats.test_cnn_park import PLAIN, small_state, write
from tests.data.formats.test_contents import Malicious
from tests.data.producer import Killed
from tests.data.test_dataset import assert_same
from wsjax.data import Collection, WeightDataset, load, verify
from wsjax.data.formats import FORMATS, convert, read_state_dicts
from wsjax.data.store import shards
from wsjax.storage import orbax_calls

NAMES = ["seq.0", "seq.1", "seq.2"]
LABELS = {f"{number}.pth": number for number in range(3)}
NETWORK = {"kind": "siren", "widths": list(DWS_WIDTHS), "w0": [30.0]}


@pytest.fixture
def states(tmp_path):
    for number in range(3):
        save_state(tmp_path / f"states/{number}.pth", dense_state(NAMES, DWS_WIDTHS, number))
    (tmp_path / "labels.json").write_text(json.dumps(LABELS))
    return tmp_path / "states"


def test_there_and_back_again(states, tmp_path, agrees):
    labels = str(tmp_path / "labels.json")
    read = convert("state-dicts", states, tmp_path / "ours", network=NETWORK, labels=labels, progress=False)
    stored = load(tmp_path / "ours")
    agrees(stored, [0, 1, 2])
    assert isinstance(read, WeightDataset)
    assert stored.metadata == read.metadata
    convert("to-state-dicts", tmp_path / "ours", tmp_path / "theirs", kind="torch", progress=False)
    again = read_state_dicts(tmp_path / "theirs", progress=False)
    np.testing.assert_array_equal(again.weights[1].kernel, stored.weights[1].kernel)


def test_several_architectures_become_a_collection(tmp_path):
    write(tmp_path / "zoo", "run", 1, small_state(0), PLAIN)
    convert("cnn-park", tmp_path / "zoo", tmp_path / "ours", progress=False)
    assert len(Collection.load(tmp_path / "ours")) == 1


def test_options_are_checked_before_anything_is_read_or_written(states, tmp_path):
    out = tmp_path / "ours"
    for format, options, message in (
        ("dws-mnits", {}, r"unknown format 'dws-mnits'.*Did you mean 'dws-mnist'"),
        ("nfn-sirens", {"view": 2}, r"unknown option 'view' of nfn-sirens; .*Did you mean 'views'"),
        ("dws-mnist", {"images": "fashion-mnist"}, "unknown option 'images' of dws-mnist"),
        ("state-dicts", {"network": {"kind": "mlp", "width": [2, 3, 1]}}, "network has fields width; those of a Net"),
        ("dws-mnist", {}, "holds no file whose path matches"),
    ):
        with pytest.raises(ValueError, match=message):
            convert(format, states, out, **options)
        assert not out.exists()
    with pytest.raises(ValueError, match="is not empty; expected a new directory"):
        convert("dws-mnist", states, states)
    assert len(FORMATS) == 10


@pytest.mark.parametrize("bare", [False, True])
def test_a_hostile_file_runs_nothing_and_leaves_nothing(states, tmp_path, bare):
    """Between good files, so that what was read before it is not stored either."""
    hostile, marker = {"label": Malicious(tmp_path / "marker")}, tmp_path / "marker"
    if bare:
        (states / "1.pth").write_bytes(pickle.dumps(hostile))
    else:
        torch.save(hostile, states / "1.pth")
    contents = lambda: {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    before = contents()
    message = r"1\.pth (would call posix.system when loaded|is no whole zip archive)"
    settings: dict[str, Any] = {"network": NETWORK, "labels": LABELS, "progress": False}
    refused(convert, message, "state-dicts", states, tmp_path / "ours", **settings)
    assert (contents(), marker.exists(), (tmp_path / "ours").exists()) == (before, False, False)
    # The file would write the marker, were it run.
    pickle.loads(pickle.dumps(hostile))
    assert marker.exists()


def test_a_killed_conversion_is_not_taken_for_whole_and_its_way_out_works(states, tmp_path, monkeypatch):
    """A real kill leaves on the disk what this one does."""
    path = tmp_path / "ours"
    again: Any = lambda: convert("state-dicts", states, path, network=NETWORK, labels=LABELS, progress=False)

    def killed(where, arrays, real=orbax_calls.ocp.save):
        if not where.endswith("00000"):
            os.makedirs(f"{where}.orbax-checkpoint-tmp/state")
            raise Killed
        real(where, arrays)

    monkeypatch.setattr(shards, "SHARD_BYTES", 1)  # a network in each shard
    with mock.patch.object(orbax_calls.ocp, "save", killed), pytest.raises(Killed):
        again()
    refused(load, "is unfinished: 1 of 3 networks are there; to go on, remove the directory", path)
    found = verify(path)
    assert not found.ok
    assert "a kill left it; remove the whole directory, as nothing goes on there" in found.notes[0]
    with pytest.raises(ValueError, match="ours is not empty; expected a new directory: name another one, or remove it"):
        again()
    # What a kill leaves before the first shard is begun is in nobody's way.
    shutil.rmtree(path / "shards")
    (path / "index.json").rename(path / "index.json.tmp")
    early = again()
    shutil.rmtree(path)
    assert_same(again(), early)
    assert_same(load(path), early)
    assert early.label.tolist() == [0, 1, 2]
