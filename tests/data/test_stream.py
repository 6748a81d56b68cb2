"""Streams: every network once an epoch, in an order that a step number alone decides."""

import copy
import dataclasses
import functools
import itertools
import pickle

import grain
import jax
import numpy as np
import pytest
from orbax.checkpoint import v1 as ocp

from tests.data.conftest import largest
from wsjax.data import WeightDataset, load, open_dataset, save, stream
from wsjax.data.store import shards
from wsjax.data.store.index import read_index
from wsjax.data.store.stream import BatchOrder
from wsjax.errors import DataError

SHARDS = grain.sharding.ShardOptions


@pytest.fixture(scope="module")
def thirty(networks) -> WeightDataset:
    """Thirty networks; `image` numbers them, and `view` runs through 0, 1, 2."""
    rows = np.arange(30, dtype=np.int32)
    some = networks.take(rows)
    return dataclasses.replace(some, columns={**some.columns, "image": rows, "view": rows % 3})


@pytest.fixture(scope="module")
def big(tmp_path_factory, thirty):
    """Eight shards of them."""
    path = tmp_path_factory.mktemp("stream") / "big"
    save(thirty, path, shard_networks=4)
    return open_dataset(path)


@functools.cache
def arrays(path, number, read=shards.read_shard):
    """Orbax reads each shard once for all tests, as they are about the order."""
    return read(path, read_index(path), number)


@pytest.fixture(autouse=True)
def reads(monkeypatch):
    """The numbers of the shards that are read."""
    numbers = []

    def read(path, index, number, names=None, real=shards.read_shard):
        if names:
            return real(path, index, number, names)
        numbers.append(number)
        return arrays(path, number)

    monkeypatch.setattr(shards, "read_shard", read)
    return numbers


def order_of(batches) -> list[list[int]]:
    return [batch.object.tolist() for batch in batches]


def assert_bits(a, b) -> None:
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert (x.dtype, x.shape, x.tobytes()) == (y.dtype, y.shape, y.tobytes())


@pytest.mark.parametrize(("batch_size", "window"), [(1, 3), (4, 1), (4, 8), (7, 3), (30, 8), (64, 1)])
def test_every_network_comes_once_an_epoch_with_its_own_weights_and_label(big, thirty, batch_size, window):
    steps = -(-30 // batch_size)
    batches = list(stream(big, batch_size, epochs=2, window=window))
    assert len(batches) == 2 * steps
    for epoch in (batches[:steps], batches[steps:]):
        assert sorted(itertools.chain(*order_of(epoch))) == list(range(30))
        assert [len(b.label) for b in epoch[:-1]] == [batch_size] * (steps - 1)
    for batch in batches:
        rows = batch.object
        assert_bits(batch.weights, thirty.take(np.asarray(rows)).weights)
        np.testing.assert_array_equal(np.argmax(batch.label, axis=1), thirty.label[rows])
        assert (batch.label.shape, batch.label.dtype) == ((len(rows), 10), np.float32)
    assert order_of(batches[:steps]) != order_of(batches[steps:])


def test_another_seed_is_another_order_and_none_is_the_stored_one(big):
    orders = [order_of(stream(big, 5, seed=seed, epochs=1)) for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]
    assert list(itertools.chain(*order_of(stream(big, 7, seed=None, epochs=1)))) == list(range(30))


def test_the_order_looks_random():
    """Over many epochs every network stands everywhere as often: within 5 standard errors of the mean place."""
    order = BatchOrder([np.arange(i, i + 4) for i in range(0, 32, 4)], 32, 8, 0, False)
    places = np.array([np.argsort(order.batch(epoch)) for epoch in range(100)])
    expected, error = 15.5, np.sqrt((32**2 - 1) / 12 / 100)
    assert np.abs(places.mean(axis=0) - expected).max() < 5 * error
    assert np.abs(np.corrcoef(places[:, 0], places[:, 1])[0, 1]) < 5 / 10


def test_nothing_is_dropped_unless_asked(big):
    assert [len(rows) for rows in order_of(stream(big, 8, epochs=1))] == [8, 8, 8, 6]
    left = order_of(stream(big, 8, epochs=2, drop_remainder=True))
    assert [len(rows) for rows in left] == [8] * 6
    first, second = (set(itertools.chain(*left[i : i + 3])) for i in (0, 3))
    assert len(first) == len(second) == 24
    assert first != second


def test_a_shard_is_read_once_an_epoch_whatever_the_batch(big, reads):
    for batch_size, window in ((3, 2), (5, 2), (1, 1), (30, 3)):
        reads.clear()
        list(stream(big, batch_size, epochs=1, window=window))
        assert sorted(reads) == list(range(8)), (batch_size, window)
    reads.clear()
    for process in range(2):
        list(stream(big, 5, epochs=1, window=1, process=SHARDS(process, 2)))
    assert len(reads) <= 8 + 2  # processes read few of the others' shards


@pytest.mark.parametrize("at", [0, 1, 5, 9])
def test_a_resumed_stream_gives_the_same_bits(big, at):
    begin = lambda: iter(stream(big, 8, seed=3, epochs=3, window=2))
    whole = list(begin())
    begun = begin()
    for _ in range(at):
        next(begun)
    state = begun.get_state()
    rest = begin()
    rest.set_state(state)
    assert_bits(list(rest), whole[at:])
    stepped = begin()
    stepped.set_state({"next_index": at})
    assert_bits(list(stepped), whole[at:])


def test_orbax_keeps_a_stream_beside_a_training(tmp_path, big):
    endless = iter(stream(big, 8))
    for _ in range(6):
        next(endless)
    ocp.save_checkpointables(tmp_path / "kept", {"batches": endless})
    expected = [next(endless) for _ in range(3)]
    other = iter(stream(big, 8))
    ocp.load_checkpointables(tmp_path / "kept", {"batches": other})
    assert_bits([next(other) for _ in range(3)], expected)


@pytest.mark.parametrize(("batch_size", "processes"), [(4, 2), (3, 4), (7, 3), (10, 3), (16, 2), (1, 2)])
def test_processes_divide_every_epoch_in_as_many_steps(big, batch_size, processes):
    parts = [order_of(stream(big, batch_size, epochs=2, process=SHARDS(i, processes))) for i in range(processes)]
    steps = -(-30 // (batch_size * processes))
    assert {len(part) for part in parts} == {2 * steps}
    for epoch in (0, 1):
        mine = [part[epoch * steps : (epoch + 1) * steps] for part in parts]
        assert sorted(itertools.chain(*itertools.chain(*mine))) == list(range(30))
        for step in range(steps - 1):
            assert {len(part[step]) for part in mine} == {batch_size}
        last = [len(part[-1]) for part in mine]
        assert max(last) - min(last) <= 1
    dropped = [
        order_of(stream(big, batch_size, epochs=1, drop_remainder=True, process=SHARDS(i, processes)))
        for i in range(processes)
        if batch_size * processes <= 30
    ]
    assert {len(rows) for part in dropped for rows in part} <= {batch_size}
    assert len({len(part) for part in dropped}) <= 1


def test_splits_views_directories_and_data_sets_in_memory_stream_too(big, thirty, stored):
    seen = lambda *source, **settings: sorted(itertools.chain(*order_of(stream(*source, epochs=1, **settings))))
    for name in ("train", "validation", "test"):
        assert seen(big, 4, split=name) == sorted(thirty.split(name).columns["image"].tolist())
    for source in (dataset.where(thirty.columns["view"] == 1) for dataset in (big, thirty)):
        assert seen(source, 4) == list(range(1, 30, 3))
    assert seen(str(stored), 4) == sorted(load(stored).columns["image"].tolist())


def test_targets_stay_targets(thirty):
    metadata = dataclasses.replace(thirty.metadata, classes=())
    targets = dataclasses.replace(thirty, label=np.linspace(0, 1, 30, dtype=np.float32), metadata=metadata)
    batch = next(iter(stream(targets, 4, seed=None)))
    np.testing.assert_array_equal(batch.label, targets.label[:4])


def test_damage_ends_the_stream_and_is_named(stored):
    batches = stream(stored, 4, epochs=1)
    file = largest(stored, 2)
    file.write_bytes(file.read_bytes()[:-5])
    with pytest.raises(DataError, match=r"shard 00002: the file .* is altered"):
        list(batches)


def test_settings_that_give_no_batch_are_refused(big):
    for settings, message in (
        ({"batch_size": 0}, r"batch_size is 0; it must be one integer in \[1"),
        ({"batch_size": 4, "window": 0}, "window is 0"),
        ({"batch_size": 4, "epochs": 0}, "epochs is 0"),
        ({"batch_size": 4, "split": "all"}, "unknown split 'all'"),
        ({"batch_size": 31, "drop_remainder": True}, "gives no batch of 31 for each of 1 processes.*a smaller batch"),
    ):
        with pytest.raises(ValueError, match=message):
            stream(big, **settings)  # pyright: ignore[reportArgumentType]


def test_a_label_that_is_no_class_is_refused_as_in_training(thirty):
    label = np.where(np.arange(len(thirty)) == 3, -1, thirty.label)
    with pytest.raises(ValueError, match=r"run from -1 to .*; its metadata names"):
        next(iter(stream(dataclasses.replace(thirty, label=label), len(thirty), seed=None, epochs=1)))


def test_workers_get_stored_data_sets_views_and_streams_by_copy_and_by_pickle(big):
    stored = big
    for copied in (copy.deepcopy(stored.split("train")), pickle.loads(pickle.dumps(stored.split("train")))):
        np.testing.assert_array_equal(copied.take(np.arange(3)).label, stored.split("train").take(np.arange(3)).label)
    order = BatchOrder([np.arange(5), np.arange(5, 12)], 4, 2, 0, False)
    for copied in (copy.deepcopy(order), pickle.loads(pickle.dumps(order))):
        assert [copied.batch(i).tolist() for i in range(6)] == [order.batch(i).tolist() for i in range(6)]
    whole = stream(stored, 4, epochs=1, split="train")
    for copied in (copy.deepcopy(whole), pickle.loads(pickle.dumps(whole))):
        assert order_of(copied) == order_of(whole)
