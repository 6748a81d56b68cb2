"""Data sets that stay on the disk: what is asked for is read, once, and checked."""

import builtins
import pickle
import shutil
import sys

import jax
import numpy as np
import pytest

from tests.data.conftest import flip, largest
from tests.data.test_dataset import assert_same
from wsjax.data import load, open_dataset, save, stream, verify
from wsjax.data.store import shards
from wsjax.data.store.index import read_index
from wsjax.errors import DataError
from wsjax.storage.files import write_checked_json


@pytest.fixture
def reads(monkeypatch):
    """The numbers of the shards read from the disk, whole ones and parts of them, as they are read."""
    whole, parts = [], []

    def read(path, index, number, names=None, real=shards.read_shard):
        (parts if names else whole).append(number)
        return real(path, index, number, names)

    monkeypatch.setattr(shards, "read_shard", read)
    return whole, parts


def test_labels_and_columns_are_there_before_any_network_is_read(stored, fitted, reads):
    opened, (whole, parts) = open_dataset(stored), reads
    assert (whole, parts) == ([], [0, 1, 2])
    assert repr(opened).startswith("StoredDataset('digits' in /")
    assert repr(opened).endswith(repr(fitted).removeprefix("WeightDataset('digits', ").join([", ", ""]))
    assert (len(opened), opened.metadata) == (10, fitted.metadata)
    assert opened.label.tolist() == fitted.label.tolist()
    assert {n: c.tolist() for n, c in opened.columns.items()} == {n: c.tolist() for n, c in fitted.columns.items()}


def test_only_the_shards_that_hold_the_rows_are_read(stored, fitted, reads):
    opened, (whole, _) = open_dataset(stored), reads
    for some, needed in (([0], [0]), ([9, 8], [2]), ([3, 8, 1], [0, 2]), ([5, 5, 4], [1]), ([], [])):
        one, rows = opened.with_cache(3), np.array(some, int)
        whole.clear()
        assert_same(one.take(rows), fitted.take(rows))
        assert sorted(whole) == needed, some
        one.take(rows)
        assert len(whole) == len(needed) == one.cache.reads, some
    assert [int(label) for _, label in opened] == fitted.label.tolist()
    jax.tree.map(np.testing.assert_array_equal, opened[-1], fitted[-1])
    assert_same(whole_set := opened.in_memory(), fitted)
    assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(whole_set.weights))


def test_no_more_shards_are_kept_than_asked(stored, fitted, reads):
    opened, (whole, _) = open_dataset(stored, cache=1), reads
    for row in (0, 1, 4, 3, 9):
        assert_same(opened.take(np.array([row])), fitted.take(np.array([row])))
    assert whole == [0, 1, 0, 2]
    roomy = opened.with_cache(2)
    for row in (0, 4, 1, 5, 9, 4):
        roomy.take(np.array([row]))
    assert whole[4:] == [0, 1, 2]
    with pytest.raises(ValueError, match=r"cache is 0; it must be one integer in \[1"):
        open_dataset(stored, cache=0)


def test_views_read_nothing_and_hold_the_right_networks(stored, fitted, reads):
    opened, (whole, _) = open_dataset(stored), reads
    train = opened.split("train")
    good = train.where(lambda columns: columns["psnr"] > np.median(columns["psnr"]))
    again = good.view(np.array([1, 0]))
    groups = dict(train.groups("image"))
    assert whole == []
    assert_same(train.in_memory(), fitted.split("train"))
    best = fitted.split("train").where(train.columns["psnr"] > np.median(train.columns["psnr"]))
    assert_same(good.in_memory(), best)
    assert_same(again.in_memory(), best.take(np.array([1, 0])))
    image = int(train.columns["image"][3])
    assert_same(groups[image].in_memory(), fitted.where(fitted.columns["image"] == image))


def test_damage_is_named_when_its_shard_is_read(stored, fitted):
    opened = open_dataset(stored)
    flip(largest(stored, 1))
    assert_same(opened.take(np.array([9, 0])), fitted.take(np.array([9, 0])))
    with pytest.raises(DataError, match=r"shard 00001: the file .* is altered: SHA-256"):
        opened.take(np.array([4]))
    shutil.rmtree(stored / "shards" / "00001")
    with pytest.raises(DataError, match="shard 00001 is missing"):
        open_dataset(stored)
    index = read_index(stored)
    write_checked_json(stored / "index.json", index._replace(shards={"00000": index.shards["00000"]})._asdict())
    with pytest.raises(DataError, match="is unfinished: 4 of 10 networks are there"):
        open_dataset(stored)
    with pytest.raises(DataError, match=r"index.json cannot be read: No such file"):
        open_dataset(stored.parent)


def test_columns_that_were_altered_do_not_open(tmp_path, fitted):
    """Orbax alone would give some of these flips back as other numbers."""
    rng, path, expected = np.random.default_rng(1), tmp_path / "set", fitted.take(np.arange(4))
    save(expected, path)
    data = [p for p in path.rglob("d/*") if p.is_file()]
    named = weights = flips = 0
    for file in data:
        original = file.read_bytes()
        for offset in rng.choice(len(original), 2, replace=False):
            content, flips = bytearray(original), flips + 1
            content[offset] ^= 1 << rng.integers(8)
            file.write_bytes(content)
            try:
                opened = open_dataset(path)
            except DataError as error:
                named += "shard 00000" in str(error)
                continue
            # The flip hit a weight: labels and columns are right, and the weights are refused.
            assert opened.label.tolist() == expected.label.tolist()
            for name, column in expected.columns.items():
                assert opened.columns[name].tolist() == column.tolist()
            with pytest.raises(DataError, match="shard 00000"):
                opened.take(np.array([0]))
            weights += 1
        file.write_bytes(original)
    assert named
    assert named + weights == flips


def test_reading_needs_no_pickle_and_runs_no_code(stored, tmp_path, monkeypatch):
    """What unpickles or runs code raises meanwhile: a first data set is read before, for imports are code."""

    def read(path):
        batches = [batch.label for batch in stream(path, 4, epochs=1)]
        return load(path), open_dataset(path).take(np.array([9, 0])), verify(path), batches

    def refusing(run):
        def refuse(*args, **settings):
            # The tests' own check of annotations makes functions out of text.
            if sys._getframe(1).f_globals.get("__name__", "").partition(".")[0] in ("jaxtyping", "beartype"):
                return run(*args, **settings)
            raise AssertionError(f"called with {str(args)[:200]}")

        return refuse

    whole, some, _, batches = read(stored)
    shutil.copytree(stored, tmp_path / "other")
    np.save(tmp_path / "objects.npy", np.array([{}], object), allow_pickle=True)
    with monkeypatch.context() as patch:
        for module, names in ((pickle, ("load", "loads", "Unpickler")), (builtins, ("eval", "exec", "compile"))):
            for name in names:
                patch.setattr(module, name, refusing(getattr(module, name)))
        with pytest.raises(AssertionError, match="called with"):
            np.load(tmp_path / "objects.npy", allow_pickle=True)
        found = read(tmp_path / "other")
    assert_same(found[0], whole)
    assert_same(found[1], some)
    assert found[2].ok
    np.testing.assert_array_equal(np.concatenate(found[3]), np.concatenate(batches))
