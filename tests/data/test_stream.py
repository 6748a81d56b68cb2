"""Streams: every network once an epoch, in an order that a step number alone decides."""

import dataclasses
import itertools
import shutil

import grain
import jax
import numpy as np
import pytest
from orbax.checkpoint import v1 as ocp

from wsjax.data import WeightDataset, fit_dataset, fit_dataset_in_memory, load, open_dataset, save, stream
from wsjax.data.store import shards
from wsjax.data.store.order import Order
from wsjax.errors import DataError

SHARDS = grain.sharding.ShardOptions


@pytest.fixture(scope="module")
def views(images, recipe) -> WeightDataset:
    """Three networks for each of ten images; `psnr` numbers them."""
    fitted = fit_dataset_in_memory(images, dataclasses.replace(recipe, views=3), progress=False)
    return dataclasses.replace(fitted, columns={**fitted.columns, "image": np.arange(30, dtype=np.int32)})


@pytest.fixture(scope="module")
def big(tmp_path_factory, views):
    """Thirty networks in eight shards."""
    path = tmp_path_factory.mktemp("stream") / "big"
    save(views, path, shard_networks=4)
    return path


def order_of(batches) -> list[list[int]]:
    return [batch.object.tolist() for batch in batches]


def assert_bits(a, b) -> None:
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert (x.dtype, x.shape, x.tobytes()) == (y.dtype, y.shape, y.tobytes())


@pytest.mark.parametrize("batch_size", [1, 4, 7, 30, 64])
@pytest.mark.parametrize("window", [1, 3, 8])
def test_every_network_comes_once_an_epoch_with_its_own_weights_and_label(big, views, batch_size, window):
    steps = -(-30 // batch_size)
    batches = list(stream(big, batch_size, epochs=2, window=window))
    assert len(batches) == 2 * steps
    for epoch in (batches[:steps], batches[steps:]):
        assert sorted(itertools.chain(*order_of(epoch))) == list(range(30))
        assert [len(b.label) for b in epoch[:-1]] == [batch_size] * (steps - 1)
    for batch in batches:
        rows = batch.object
        assert_bits(batch.weights, views.take(np.asarray(rows)).weights)
        np.testing.assert_array_equal(np.argmax(batch.label, axis=1), views.label[rows])
        assert (batch.label.shape, batch.label.dtype) == ((len(rows), 10), np.float32)
    assert order_of(batches[:steps]) != order_of(batches[steps:])


def test_another_seed_is_another_order_and_none_is_the_stored_one(big):
    orders = [order_of(stream(big, 5, seed=seed, epochs=1)) for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]
    assert list(itertools.chain(*order_of(stream(big, 7, seed=None, epochs=1)))) == list(range(30))


def test_the_order_looks_random():
    """Over many epochs every network stands everywhere as often: within 5 standard errors of the mean place."""
    order = Order([np.arange(i, i + 4) for i in range(0, 32, 4)], 32, 8, 0, False)
    places = np.array([np.argsort(order.batch(epoch)) for epoch in range(400)])
    expected, error = 15.5, np.sqrt((32**2 - 1) / 12 / 400)
    assert np.abs(places.mean(axis=0) - expected).max() < 5 * error
    assert np.abs(np.corrcoef(places[:, 0], places[:, 1])[0, 1]) < 5 / 20


def test_nothing_is_dropped_unless_asked(big):
    kept = order_of(stream(big, 8, epochs=1))
    assert [len(rows) for rows in kept] == [8, 8, 8, 6]
    left = order_of(stream(big, 8, epochs=2, drop_remainder=True))
    assert [len(rows) for rows in left] == [8] * 6
    first, second = (set(itertools.chain(*left[i : i + 3])) for i in (0, 3))
    assert len(first) == len(second) == 24
    assert first != second


def test_a_shard_is_read_once_an_epoch_whatever_the_batch(big, monkeypatch):
    reads, read_shard = [], shards.read_shard
    monkeypatch.setattr(shards, "read_shard", lambda p, i, number: (reads.append(number), read_shard(p, i, number))[1])
    for batch_size, window in ((3, 2), (5, 2), (1, 1), (30, 3)):
        reads.clear()
        list(stream(big, batch_size, epochs=1, window=window))
        assert sorted(reads) == list(range(8)), (batch_size, window)


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
def test_processes_share_every_epoch_in_as_many_steps(big, batch_size, processes):
    shares = [order_of(stream(big, batch_size, epochs=2, process=SHARDS(i, processes))) for i in range(processes)]
    steps = -(-30 // (batch_size * processes))
    assert {len(share) for share in shares} == {2 * steps}
    for epoch in (0, 1):
        mine = [share[epoch * steps : (epoch + 1) * steps] for share in shares]
        assert sorted(itertools.chain(*itertools.chain(*mine))) == list(range(30))
        for step in range(steps - 1):
            assert {len(share[step]) for share in mine} == {batch_size}
        last = [len(share[-1]) for share in mine]
        assert max(last) - min(last) <= 1
    dropped = [
        order_of(stream(big, batch_size, epochs=1, drop_remainder=True, process=SHARDS(i, processes)))
        for i in range(processes)
        if batch_size * processes <= 30
    ]
    assert {len(rows) for share in dropped for rows in share} <= {batch_size}
    assert len({len(share) for share in dropped}) <= 1


def test_processes_read_few_of_the_others_shards(big, monkeypatch):
    reads, read_shard = [], shards.read_shard
    monkeypatch.setattr(shards, "read_shard", lambda p, i, number: (reads.append(number), read_shard(p, i, number))[1])
    for process in range(2):
        list(stream(big, 5, epochs=1, window=1, process=SHARDS(process, 2)))
    assert len(reads) <= 8 + 2


@pytest.mark.parametrize("name", ["train", "validation", "test"])
def test_a_split_alone(big, views, name):
    seen = list(itertools.chain(*order_of(stream(big, 4, split=name, epochs=1))))
    assert sorted(seen) == sorted(views.split(name).columns["image"].tolist())


def test_views_and_data_sets_in_memory_stream_too(big, views):
    chosen = open_dataset(big).where(views.columns["view"] == 1)
    for source in (chosen, views.where(views.columns["view"] == 1)):
        seen = list(itertools.chain(*order_of(stream(source, 4, epochs=1))))
        assert sorted(seen) == list(range(1, 30, 3))


def test_targets_stay_targets(tmp_path, views):
    targets = dataclasses.replace(
        views, label=np.linspace(0, 1, 30, dtype=np.float32), card=dataclasses.replace(views.card, classes=())
    )
    batch = next(iter(stream(targets, 4, seed=None)))
    np.testing.assert_array_equal(batch.label, targets.label[:4])


def test_a_fitted_directory_streams(tmp_path, small_shards, images, recipe):
    fit_dataset(images, recipe, tmp_path / "set", progress=False)
    seen = list(itertools.chain(*order_of(stream(str(tmp_path / "set"), 4, epochs=1))))
    assert sorted(seen) == sorted(load(tmp_path / "set").columns["image"].tolist())


def test_damage_ends_the_stream_and_is_named(big, tmp_path):
    shutil.copytree(big, tmp_path / "copy")
    file = max(
        (p for p in (tmp_path / "copy" / "shards" / "00003").rglob("*") if p.is_file()), key=lambda p: p.stat().st_size
    )
    batches = stream(tmp_path / "copy", 4, epochs=1)
    file.write_bytes(file.read_bytes()[:-5])
    with pytest.raises(DataError, match=r"shard 00003: the file .* is altered"):
        list(batches)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 0}, r"batch_size is 0; it must be one whole number in \[1"),
        ({"batch_size": 4, "window": 0}, "window is 0"),
        ({"batch_size": 4, "epochs": 0}, "epochs is 0"),
        ({"batch_size": 4, "split": "all"}, "unknown split 'all'"),
        ({"batch_size": 31, "drop_remainder": True}, "gives no batch of 31 for each of 1 processes.*a smaller batch"),
    ],
)
def test_settings_that_give_no_batch_are_refused(big, settings, message):
    with pytest.raises(ValueError, match=message):
        stream(big, **settings)
