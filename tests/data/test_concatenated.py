"""Stored data sets and collections end to end: views that read the shards they are asked for, and no other."""

import dataclasses
import shutil

import jax
import numpy as np
import pytest

from tests.data.test_collection import assert_same_collection, member
from tests.data.test_dataset import assert_same
from tests.data.test_stored import reads as reads  # a fixture
from wsjax.data import (
    collect,
    concatenate,
    fit_dataset,
    fit_dataset_in_memory,
    load,
    load_collection,
    open_collection,
    open_dataset,
    save,
    save_collection,
    stream,
)
from wsjax.errors import DataError


@pytest.fixture
def two(tmp_path, small_shards, images, recipe):
    """Ten networks in shards of four, and the next seven in shards of three, of one kind."""
    views = fit_dataset_in_memory(images, dataclasses.replace(recipe, views=2), progress=False)
    places = tmp_path / "a", tmp_path / "b"
    save(views.take(np.arange(10)), places[0], shard_networks=4)
    rest = views.take(np.arange(10, 17))
    save(
        dataclasses.replace(rest, card=rest.card.with_statistics(rest.weights, np.arange(3))),
        places[1],
        shard_networks=3,
    )
    return places


def test_a_view_over_two_stores_holds_the_networks_of_both(two, reads):
    expected = concatenate([load(place) for place in two])
    opened, (whole, _) = concatenate([open_dataset(place) for place in two]), reads
    whole.clear()
    assert len(opened) == 17
    assert repr(opened).startswith(f"StoredDataset('digits' in {two[0]} and 1 more, 17 networks: ")
    assert opened.label.tolist() == expected.label.tolist()
    split = opened.split("train").where(lambda columns: columns["view"] == 1)
    assert whole == []
    own = dataclasses.replace(expected, card=opened.card)
    assert_same(split.load(), own.split("train").where(lambda columns: columns["view"] == 1))
    assert_same(opened.load(), own)
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
    for x, y in zip(jax.tree.leaves(again.load().weights), jax.tree.leaves(expected.weights), strict=True):
        np.testing.assert_array_equal(x, y[order])
    assert len(whole) == 6  # each shard of both once
    assert again.columns["image"].tolist() == expected.columns["image"][order].tolist()


def test_statistics_are_pooled_without_reading_a_weight(two):
    joined, opened = concatenate([load(place) for place in two]), concatenate([open_dataset(place) for place in two])
    parts = [load(place).card.statistics for place in two]
    counts = [np.sum(load(place).columns["split"] == 0) for place in two]
    for name, found in opened.card.statistics.items():
        mean = np.average([part[name]["mean"] for part in parts], weights=counts)
        assert found["mean"] == pytest.approx(mean)
        assert found["rms"] ** 2 == pytest.approx(found["std"] ** 2 + found["mean"] ** 2)
    for place in two:
        part = load(place)
        card = part.card.with_statistics(part.weights, np.flatnonzero(part.columns["split"] == 0))
        save(dataclasses.replace(part, card=card), place.with_suffix(".own"), shard_networks=4)
    own = concatenate([open_dataset(place.with_suffix(".own")) for place in two])
    for name, found in own.card.statistics.items():
        assert found == pytest.approx(joined.card.statistics[name], rel=1e-9)


def test_a_stream_over_two_stores_gives_every_network_once_an_epoch(two):
    opened = concatenate([open_dataset(place) for place in two])
    for window in (1, 8):
        batches = list(stream(opened, 4, epochs=1, window=window))
        kernels = {kernel.tobytes() for batch in batches for kernel in np.asarray(batch.weights[0].kernel)}
        assert len(kernels) == 17
        assert sum(len(batch.label) for batch in batches) == 17


def test_what_is_not_alike_is_not_joined(two, tmp_path, images, recipe):
    with pytest.raises(ValueError, match=r"data set 1 is a WeightDataset and data set 0 a StoredDataset; .* load"):
        concatenate([open_dataset(two[0]), load(two[1])])  # pyright: ignore[reportArgumentType]
    save(load(two[1]), tmp_path / "half", "bfloat16")
    fit_dataset(images, recipe, tmp_path / "other", progress=False)
    for place, message in (
        ("half", r"weights.weights\[0\].bias is 'bfloat16' there and 'float32' here"),
        ("other", "recipe.views is 1 there and 2 here"),
    ):
        with pytest.raises(DataError, match=rf"data sets 0 .* and 1 .* are not of one kind.*{message}"):
            concatenate([open_dataset(two[0]), open_dataset(tmp_path / place)])


def test_a_store_written_anew_between_two_openings_is_not_read_for_the_old_one(two, tmp_path):
    """The labels of a view are in memory: with the shards of another store they would be those of other networks."""
    before, dataset = open_dataset(two[0]), load(two[0])
    shutil.rmtree(two[0])
    save(dataset.take(np.arange(10)[::-1]), two[0], shard_networks=4)
    after = open_dataset(two[0])
    with pytest.raises(DataError, match=r"a was written anew after it was opened: open it again"):
        concatenate([before, after])
    assert len(concatenate([after, open_dataset(two[0])])) == 20


@pytest.fixture
def collections(tmp_path):
    """Two stored collections that share a member."""
    names = ("narrow", "wide"), ("deep", "narrow")
    both = [collect({name: member(name) for name in some}) for some in names]
    for i, one in enumerate(both):
        save_collection(one, tmp_path / str(i))
    return both, [tmp_path / "0", tmp_path / "1"]


def test_a_stored_collection_is_opened_by_views(collections, reads):
    (expected, _), (place, _) = collections
    opened, (whole, _) = open_collection(place), reads
    assert whole == []
    part = opened.split("train").where(lambda columns: columns["image"] >= 40)
    groups = dict(opened.groups("view"))
    assert whole == []
    assert_same_collection(part.load(), load_collection(place).split("train").where(lambda c: c["image"] >= 40))
    assert_same_collection(groups[0].load(), load_collection(place))
    name, weights = opened.network(3)
    assert name == "wide"
    np.testing.assert_array_equal(weights[0].kernel, expected.members["wide"].network(0)[0].kernel)
    assert_same_collection(opened.take(np.array([4, 0])), load_collection(place).take(np.array([4, 0])))
    whole.clear()
    opened.take(np.array([0, 1]))
    assert len(whole) <= 1
    save_collection(opened, place.with_name("copy"))
    assert_same_collection(load_collection(place.with_name("copy")), load_collection(place))


def test_collections_are_joined_member_by_member(collections, reads):
    (first, second), places = collections
    joined = concatenate([first, second])
    assert repr(joined) == "Collection(12 networks; narrow: 6, wide: 2, deep: 4)"
    for number in range(12):
        source, row = (first, number) if number < len(first) else (second, number - len(first))
        assert joined.network(number)[0] == source.network(row)[0]
        np.testing.assert_array_equal(joined.network(number)[1][0].kernel, source.network(row)[1][0].kernel)
    assert joined.members["wide"] is first.members["wide"]
    opened, (whole, _) = concatenate([open_collection(place) for place in places]), reads
    with pytest.raises(ValueError, match=r"the member 'narrow', in those collections that have it: data set 1 is a S"):
        concatenate([first, open_collection(places[1])])
    assert whole == []
    for number in range(12):
        np.testing.assert_array_equal(opened.network(number)[1][1].bias, joined.network(number)[1][1].bias)
