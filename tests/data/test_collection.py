"""Collections: networks of several architectures under one index, in memory and on disk."""

import dataclasses
import shutil

import jax
import numpy as np
import pytest

from tests.data.test_dataset import assert_same
from wsjax.data import Collection, WeightDataset, load, save, verify
from wsjax.data.store.index import read_stored_json
from wsjax.errors import DataError
from wsjax.storage.files import write_checked_json
from wsjax.symmetry import siren

pytestmark = pytest.mark.usefixtures("plain_module")

LABELS = {"narrow": [0, 1, 2], "wide": [2, 0], "deep": [1, 1, 0, 2]}
WIDTHS = {"narrow": (2, 3, 1), "wide": (2, 5, 1), "deep": (2, 3, 3, 1)}
SPLITS = {"narrow": [0, 1, 2], "wide": [0, 0], "deep": [0, 1, 0, 2]}
ORDER = ["deep", "wide", "narrow", "narrow", "deep", "deep", "wide", "deep", "narrow"]


def member(name: str, **settings) -> WeightDataset:
    count, spec, rng = len(LABELS[name]), siren(WIDTHS[name]), np.random.default_rng(len(name))
    draw = lambda shape: rng.normal(size=shape).astype(np.float32)
    networks = [spec.unflatten([draw(shape) for shape in spec.shapes]) for _ in range(count)]
    columns = {"split": np.array(SPLITS[name], np.int8), "image": 10 * len(name) + np.arange(count)}
    settings = {"labels": LABELS[name], "columns": columns, "classes": ("a", "b", "c"), **settings}
    return WeightDataset.from_networks(networks, symmetry=spec, name=name, **settings)


@pytest.fixture
def collection() -> Collection:
    return Collection.from_datasets({name: member(name) for name in LABELS}, ORDER)


def assert_same_collection(a: Collection, b: Collection) -> None:
    assert list(a.members) == list(b.members)
    assert a.member.tolist() == b.member.tolist()
    for one, other in zip(a.members.values(), b.members.values(), strict=True):
        assert_same(one, other)


def test_the_index_numbers_every_network_through(collection):
    assert repr(collection) == "Collection(9 networks; narrow: 3, wide: 2, deep: 4)"
    assert collection.row.tolist() == [0, 0, 0, 1, 1, 2, 1, 3, 2]
    assert collection.label.tolist() == [1, 2, 0, 1, 1, 0, 0, 2, 2]
    assert collection.columns["image"].tolist() == [40, 40, 60, 61, 41, 42, 41, 43, 62]
    assert sorted(collection.columns) == ["image", "split", "view"]
    for number in range(len(collection)):
        name, weights = collection.network(number)
        assert name == ORDER[number]
        expected = collection.members[name].network(int(collection.row[number]))
        np.testing.assert_array_equal(weights[0].kernel, expected[0].kernel)
    # Without an order one member follows the other.
    together = Collection.from_datasets(collection.members)
    assert together.label.tolist() == [0, 1, 2, 2, 0, 1, 1, 0, 2]
    assert together.row.tolist() == [0, 1, 2, 0, 1, 0, 1, 2, 3]


def test_taking_keeps_each_network_with_its_label(collection):
    rows = np.array([7, 2, 2, 5, 8])
    taken = collection.take(rows)
    assert taken.label.tolist() == collection.label[rows].tolist()
    assert taken.columns["image"].tolist() == collection.columns["image"][rows].tolist()
    for number, row in enumerate(rows):
        found, expected = taken.network(number), collection.network(int(row))
        assert found[0] == expected[0]
        np.testing.assert_array_equal(found[1][0].kernel, expected[1][0].kernel)
    assert list(taken.members) == list(LABELS)
    assert len(taken.members["wide"]) == 0
    assert len(collection.take(np.array([], int))) == 0


def test_splits_conditions_and_groups_go_over_all_members(collection):
    parts = [collection.split(name) for name in ("train", "validation", "test")]
    assert [len(part) for part in parts] == [5, 2, 2]
    joined = np.concatenate([part.columns["image"] for part in parts])
    assert sorted(joined) == sorted(collection.columns["image"])
    assert set(collection.where(lambda columns: columns["image"] >= 60).member) == {0}
    assert {image: len(group) for image, group in collection.groups("image")}[40] == 2
    # A column that one member lacks is no column of all.
    narrow = member("narrow")
    scored = dataclasses.replace(narrow, columns={**narrow.columns, "psnr": np.ones(3)})
    assert "psnr" not in Collection.from_datasets({**collection.members, "narrow": scored}, ORDER).columns


def test_an_order_that_is_not_all_networks_once_is_refused():
    for order, message in (
        (ORDER[:-1], r"names the members narrow, wide, deep 2, 2, 4 times; they have 3, 2, 4 networks"),
        ([*ORDER, "wide"], r"3, 3, 4 times; they have 3, 2, 4 networks: expected each network once"),
        ([*ORDER[:-1], "thin"], "unknown member 'thin'; the valid ones are: narrow, wide, deep"),
        ([], r"0.* times; they have 3, 2, 4"),
    ):
        with pytest.raises(ValueError, match=message):
            Collection.from_datasets({name: member(name) for name in LABELS}, order)


def test_members_must_share_the_meaning_of_their_labels():
    with pytest.raises(DataError, match=r"'wide' .there. and 'narrow' .here. do not share.*classes\[2\] is 'd' there"):
        Collection.from_datasets({"narrow": member("narrow"), "wide": member("wide", classes=("a", "b", "d"))})
    with pytest.raises(DataError, match="label is 'target' there and 'class' here"):
        Collection.from_datasets({"narrow": member("narrow"), "wide": member("wide", labels=[0.5, 0.25], classes=())})
    with pytest.raises(ValueError, match="a collection has no members"):
        Collection.from_datasets({})


def test_a_collection_survives_the_disk(tmp_path, collection):
    collection.save(tmp_path / "all")
    assert_same_collection(Collection.load(tmp_path / "all"), collection)
    assert_same(load(tmp_path / "all" / "wide"), collection.members["wide"])
    with pytest.raises(ValueError, match="is not empty; expected a new directory"):
        collection.save(tmp_path / "all")
    collection.save(tmp_path / "half", "bfloat16")
    half = Collection.load(tmp_path / "half")
    assert {str(x.dtype) for d in half.members.values() for x in jax.tree.leaves(d.weights)} == {"bfloat16"}


def test_a_member_without_networks_is_left_out_on_disk(tmp_path, collection):
    part = collection.where(collection.member != 1)
    part.save(tmp_path / "part")
    loaded = Collection.load(tmp_path / "part")
    assert list(loaded.members) == ["narrow", "deep"]
    assert loaded.label.tolist() == part.label.tolist()
    assert [loaded.network(i)[0] for i in range(7)] == [part.network(i)[0] for i in range(7)]
    with pytest.raises(ValueError, match="the collection has no networks"):
        collection.take(np.array([], int)).save(tmp_path / "none")


def test_a_name_that_no_directory_can_have_is_refused(tmp_path):
    for name in ("a/b", "..", "", "index.json", "lock"):
        with pytest.raises(ValueError, match="cannot name a directory; expected letters"):
            Collection.from_datasets({name: member("wide")}).save(tmp_path / "all")


def test_an_exchanged_or_missing_member_is_named(tmp_path, collection):
    path = tmp_path / "all"
    collection.save(path)
    shutil.move(path / "wide", tmp_path / "kept")
    with pytest.raises(DataError, match=r"wide/index.json cannot be read"):
        Collection.load(path)
    save(member("wide", labels=[0, 2]), path / "wide")
    with pytest.raises(DataError, match=r"does not hold the members that index.json was written with: wide is '"):
        Collection.load(path)
    content = read_stored_json(path / "index.json")
    away = [{**one, "name": f"../{path.name}/{one['name']}"} for one in content["members"]]
    write_checked_json(path / "index.json", {**content, "members": away})
    for read in (Collection.load, verify):
        with pytest.raises(DataError, match=r"names a member '\.\./all/narrow'; expected directories beside it"):
            read(path)
    (path / "index.json").unlink()  # which is written last
    with pytest.raises(DataError, match=r"index.json cannot be read"):
        Collection.load(path)


def test_one_kind_of_directory_is_not_read_as_the_other(tmp_path, collection):
    collection.save(tmp_path / "all")
    with pytest.raises(DataError, match=r"it holds a collection: use data.Collection.load"):
        load(tmp_path / "all")
    with pytest.raises(DataError, match=r"it holds one data set: use data.load"):
        Collection.load(tmp_path / "all" / "wide")
    content = read_stored_json(tmp_path / "all" / "index.json")
    write_checked_json(tmp_path / "all" / "index.json", {**content, "format_version": 2, "more": 1})
    with pytest.raises(DataError, match=r"index.json has format_version 2; this wsjax reads 1"):
        Collection.load(tmp_path / "all")
