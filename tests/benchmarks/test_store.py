"""The suite `store` at a toy size: every contestant stores the same arrays. Nothing here asserts a time."""

import json

import numpy as np
import pytest

from benchmarks.speed import store
from tests.benchmarks.reports import checked_report

TOY = store.Size(networks=50, rounds=2, batch=16)


def test_a_toy_run_gives_the_promised_rows_in_a_valid_report(tmp_path):
    rows, timings, notes = store.contest(TOY, tmp_path)
    checked_report("store", rows, timings, notes)
    against = ("npy_sha", "npy", "npz_sha", "npz")
    asked = [f"store/{what}/vs_{other}" for what in ("write", "read", "device") for other in against]
    assert [row.name for row in rows] == [*asked, "store/stream/vs_read"]
    assert {row.unit for row in rows} == {"MB/s"}
    assert "50 networks, 0 MB" in notes[0]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["npy", "npy + sha", "npz", "npz + sha", "wsjax"]


def test_the_stream_reads_every_network(tmp_path):
    store.save(store.random_networks(50), tmp_path / "set", shard_networks=20)
    assert store.one_epoch(tmp_path / "set", 16) == 50


def test_networks_have_the_promised_number_of_parameters():
    weights = store.random_networks(2).weights
    assert sum(np.size(leaf) for layer in weights for leaf in layer) == 2 * 1185


@pytest.mark.parametrize("npz", [True, False])
def test_the_plain_files_with_checksums_find_damage(tmp_path, npz):
    arrays = {"a": np.arange(1000, dtype=np.float32)}
    store.write_plain(arrays, tmp_path / "new", npz, checked=True)
    stated = json.loads((tmp_path / "new" / "sha.json").read_text())
    (tmp_path / "new" / "sha.json").write_text(json.dumps({"a": stated["a"][::-1]}))
    with pytest.raises(ValueError, match="a has another SHA-256"):
        store.read_plain(tmp_path / "new", npz, checked=True)


def test_a_contestant_that_loses_a_bit_voids_the_comparison():
    arrays = {"a": np.arange(4, dtype=np.float32)}
    store.check_same("ours", arrays, arrays)
    for wrong in ({}, {"a": arrays["a"] + 1}, {"a": arrays["a"].astype(np.float64)}, {"a": arrays["a"][:3]}):
        with pytest.raises(ValueError, match="ours does not give back a as it was written: the comparison is void"):
            store.check_same("ours", wrong, arrays)
