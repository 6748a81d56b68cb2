"""Stored data sets and collections end to end: views that read the shards they are asked for, and no other."""

import dataclasses
import shutil

import jax
import numpy as np
import pytest

from tests.data.test_collection import assert_same_collection, member
from tests.data.test_dataset import assert_same
from tests.data.test_stored import reads as reads  # a fixture
from wsjax.data import Collection, concatenate, load, open_dataset, save, stream
from wsjax.errors import DataError

pytestmark = pytest.mark.usefixtures("plain_module")


@pytest.fixture(scope="module")
def two(tmp_path_factory, views, plain_module):
    """Ten networks in shards of four, and the next seven in shards of three, of one kind."""
    root = tmp_path_factory.mktemp("two")
    save(views.take(np.arange(10)), root / "a", shard_networks=4)
    rest = views.take(np.arange(10, 17))
    own = rest.metadata.with_statistics(rest.weights, np.arange(3))
    save(dataclasses.replace(rest, metadata=own), root / "b", shard_networks=3)
    return root / "a", root / "b"


def test_a_view_over_two_stores_holds_the_networks_of_both(two, reads):
    expected = concatenate([load(place) for place in two])
    opened, (whole, _) = concatenate([open_dataset(place) for place in two]), reads
    whole.clear()
    assert len(opened) == 17
    assert repr(opened).startswith(f"StoredDataset('digits' in {two[0]} and 1 more, 17 networks: ")
    assert opened.label.tolist() == expected.label.tolist()
    split = opened.split("train").where(lambda columns: columns["view"] == 1)
    assert whole == []
    own = dataclasses.replace(expected, metadata=opened.metadata)
    assert_same(split.in_memory(), own.split("train").where(lambda columns: columns["view"] == 1))
    assert_same(opened.in_memory(), own)
    np.testing.assert_array_equal(opened.network(12)[0].kernel, expected.network(12)[0].kernel)


def test_only_the_shards_that_hold_the_rows_are_read(two, reads):
    expected, (whole, _) = concatenate([load(place) for place in two]), reads
    for rows, needed in (([0, 3], [0]), ([9, 10], [2, 0]), ([16, 12, 4], [2, 0, 1]), ([], [])):
        opened = concatenate([open_dataset(place) for place in two])
        whole.clear()
        found = opened.take(np.array(rows, int))
        assert whole == needed
        for a, b in zip(jax.tree.leaves(found.weights), jax.tree.leaves(expected.weights), strict=True):
            np.testing.assert_array_equal(a, b[np.array(rows, int)])


def test_views_of_one_store_and_joined_views_are_joined_again(two, reads):
    a, b = (open_dataset(place) for place in two)
    expected = concatenate([load(two[0]), load(two[1])])
    both = concatenate([b, a.view(np.array([7, 2]))])
    again = concatenate([both.view(np.array([8, 0])), a, both])
    order = np.array([2, 10, *range(10), *range(10, 17), 7, 2])
    (whole, _) = reads
    whole.clear()
    for x, y in zip(jax.tree.leaves(again.in_memory().weights), jax.tree.leaves(expected.weights), strict=True):
        np.testing.assert_array_equal(x, y[order])
    assert len(whole) == 6  # each shard of both once
    assert again.columns["image"].tolist() == expected.columns["image"][order].tolist()


def test_statistics_are_pooled_without_reading_a_weight(two, tmp_path):
    parts, opened = [load(place) for place in two], concatenate([open_dataset(place) for place in two])
    train = [np.flatnonzero(part.columns["split"] == 0) for part in parts]
    for name, found in opened.metadata.statistics.items():
        mean = np.average([part.metadata.statistics[name]["mean"] for part in parts], weights=list(map(len, train)))
        assert found["mean"] == pytest.approx(mean)
        assert found["rms"] ** 2 == pytest.approx(found["std"] ** 2 + found["mean"] ** 2)
    for name, part, rows in zip("ab", parts, train, strict=True):
        save(dataclasses.replace(part, metadata=part.metadata.with_statistics(part.weights, rows)), tmp_path / name)
    own = concatenate([open_dataset(tmp_path / name) for name in "ab"])
    for name, found in own.metadata.statistics.items():
        assert found == pytest.approx(concatenate(parts).metadata.statistics[name], rel=1e-9)


def test_a_stream_over_two_stores_gives_every_network_once_an_epoch(two):
    opened = concatenate([open_dataset(place) for place in two])
    for window in (1, 8):
        batches = list(stream(opened, 4, epochs=1, window=window))
        kernels = {kernel.tobytes() for batch in batches for kernel in np.asarray(batch.weights[0].kernel)}
        assert len(kernels) == 17
        assert sum(len(batch.label) for batch in batches) == 17


def test_what_is_not_alike_is_not_joined(two, tmp_path, fitted):
    with pytest.raises(ValueError, match=r"data set 1 is a WeightDataset and data set 0 a StoredDataset; .* load"):
        concatenate([open_dataset(two[0]), load(two[1])])  # pyright: ignore[reportArgumentType]
    save(load(two[1]), tmp_path / "half", "bfloat16")
    save(fitted, tmp_path / "other")
    for place, message in (
        ("half", r"weights.weights\[0\].bias is 'bfloat16' there and 'float32' here"),
        ("other", "recipe.views is 1 there and 2 here"),
    ):
        with pytest.raises(DataError, match=rf"data sets 0 .* and 1 .* are not of one kind.*{message}"):
            concatenate([open_dataset(two[0]), open_dataset(tmp_path / place)])


def test_a_store_written_anew_between_two_openings_is_not_read_for_the_old_one(two, tmp_path):
    """The labels of a view are in memory: with the shards of another store they would be those of other networks."""
    path = shutil.copytree(two[0], tmp_path / "a")
    before, dataset = open_dataset(path), load(path)
    shutil.rmtree(path)
    save(dataset.take(np.arange(10)[::-1]), path, shard_networks=4)
    after = open_dataset(path)
    with pytest.raises(DataError, match=r"a was written anew after it was opened: open it again"):
        concatenate([before, after])
    assert len(concatenate([after, open_dataset(path)])) == 20


@pytest.fixture(scope="module")
def collections(tmp_path_factory, plain_module):
    """Two stored collections that share a member."""
    names, root = (("narrow", "wide"), ("deep", "narrow")), tmp_path_factory.mktemp("collections")
    both = [Collection.from_datasets({name: member(name) for name in some}) for some in names]
    for i, one in enumerate(both):
        one.save(root / str(i))
    return both, [root / "0", root / "1"]


def test_a_stored_collection_is_opened_by_views(collections, tmp_path, reads):
    (expected, _), (place, _) = collections
    opened, (whole, _) = Collection.open(place), reads
    assert whole == []
    part = opened.split("train").where(lambda columns: columns["image"] >= 40)
    groups = dict(opened.groups("view"))
    assert whole == []
    assert_same_collection(part.in_memory(), Collection.load(place).split("train").where(lambda c: c["image"] >= 40))
    assert_same_collection(groups[0].in_memory(), Collection.load(place))
    name, weights = opened.network(3)
    assert name == "wide"
    np.testing.assert_array_equal(weights[0].kernel, expected.members["wide"].network(0)[0].kernel)
    assert_same_collection(opened.take(np.array([4, 0])), Collection.load(place).take(np.array([4, 0])))
    whole.clear()
    opened.take(np.array([0, 1]))
    assert len(whole) <= 1
    opened.save(tmp_path / "copy")
    assert_same_collection(Collection.load(tmp_path / "copy"), Collection.load(place))


def test_collections_are_joined_member_by_member(collections, reads):
    (first, second), places = collections
    joined = concatenate([first, second])
    assert repr(joined) == "Collection(12 networks; narrow: 6, wide: 2, deep: 4)"
    for number in range(12):
        source, row = (first, number) if number < len(first) else (second, number - len(first))
        assert joined.network(number)[0] == source.network(row)[0]
        np.testing.assert_array_equal(joined.network(number)[1][0].kernel, source.network(row)[1][0].kernel)
    assert joined.members["wide"] is first.members["wide"]
    opened, (whole, _) = concatenate([Collection.open(place) for place in places]), reads
    with pytest.raises(ValueError, match=r"the member 'narrow', in those collections that have it: data set 1 is a S"):
        concatenate([first, Collection.open(places[1])])
    assert whole == []
    for number in range(12):
        np.testing.assert_array_equal(opened.network(number)[1][1].bias, joined.network(number)[1][1].bias)
