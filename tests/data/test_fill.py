"""A directory is filled by any producer, in any order, as often stopped as may be, to the same bits."""

import dataclasses
import shutil

import numpy as np
import pytest

from tests.data.producer import CARD, COUNT, EACH, Producer, assert_all_there, networks
from wsjax.data import load, verify
from wsjax.data.store import orbax_calls
from wsjax.data.store.directory import read_json, write_json
from wsjax.data.store.fill import fill
from wsjax.data.store.index import read_index
from wsjax.data.store.locks import locked
from wsjax.errors import DataError


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    path = tmp_path_factory.mktemp("fill")
    fill(path, CARD, COUNT, EACH, Producer())
    return path


@pytest.mark.parametrize(("size", "seed"), [(1, 0), (5, 1), (COUNT, 2), (4, None)])
def test_order_and_pieces_do_not_matter(tmp_path, unbroken, size, seed):
    assert_all_there(fill(tmp_path, CARD, COUNT, EACH, Producer(size, seed)))
    assert read_index(tmp_path).fingerprint == read_index(unbroken).fingerprint
    assert_all_there(load(tmp_path))
    assert read_json(tmp_path / "card.json") == read_json(unbroken / "card.json")


def test_what_is_there_is_not_made_again(tmp_path, unbroken, capsys):
    shutil.copytree(unbroken, tmp_path / "set")
    again = Producer()
    assert_all_there(fill(tmp_path / "set", CARD, COUNT, EACH, again))
    assert (again.asked, capsys.readouterr().out) == (
        [],
        f"{tmp_path / 'set'} holds all 13 networks: nothing to do\n",
    )
    for name in ("00001", "00004"):
        shutil.rmtree(tmp_path / "set" / "shards" / name)
    assert_all_there(fill(tmp_path / "set", CARD, COUNT, EACH, again))
    assert (again.asked, again.done) == ([3, 4, 5, 12], [9])
    # The size of shards is the directory's own.
    shutil.rmtree(tmp_path / "set" / "shards" / "00002")
    assert_all_there(fill(tmp_path / "set", CARD, COUNT, 100, again))
    assert again.asked[4:] == [6, 7, 8]


def test_an_interrupt_says_what_is_safe_and_closes_the_producer(tmp_path, capsys):
    def interrupted(piece):
        if piece == 4:
            raise KeyboardInterrupt

    producer = Producer(before=interrupted)
    with pytest.raises(KeyboardInterrupt):
        fill(tmp_path, CARD, COUNT, EACH, producer)
    assert producer.closed
    assert f"interrupted: 6 of 13 networks are safe in {tmp_path}; the same command goes on" in capsys.readouterr().out
    rest = Producer()
    assert_all_there(fill(tmp_path, CARD, COUNT, EACH, rest))
    assert (rest.asked, rest.done) == (list(range(6, 13)), [6])


def test_a_failed_write_closes_the_producer(tmp_path, monkeypatch):
    def fails(*_):
        raise OSError("no room")

    monkeypatch.setattr(orbax_calls.ocp, "save", fails)
    producer = Producer()
    with pytest.raises(OSError, match=r"shard 00000 cannot be written under .*: no room"):
        fill(tmp_path, CARD, COUNT, EACH, producer)
    assert producer.closed


def test_a_producer_that_ends_early_is_named(tmp_path):
    def three(missing):
        yield networks(np.arange(4))

    with pytest.raises(ValueError, match=r"the producer ended; of .* it has not made the whole of shards 1, 2, 3, 4"):
        fill(tmp_path, CARD, COUNT, EACH, three)
    with pytest.raises(DataError, match="is unfinished: 3 of 13 networks are there; to go on, run the same fit again"):
        load(tmp_path)


def test_other_settings_are_refused_by_name_once_a_shard_is_there(tmp_path, unbroken):
    shutil.copytree(unbroken, tmp_path / "set")
    other = dataclasses.replace(CARD, recipe={"steps": 4}, classes=("a", "b"))
    message = "with other settings: classes.0. is 'even' there and 'a' here, .*recipe.steps is 3 there and 4 here"
    with pytest.raises(ValueError, match=message):
        fill(tmp_path / "set", other, COUNT, EACH, Producer())
    write_json(tmp_path / "set" / "index.json", read_index(unbroken)._replace(shards={})._asdict())
    assert fill(tmp_path / "set", other, COUNT, EACH, Producer()).card.recipe == {"steps": 4}
    # The shards that were written before are gone, not left beside.
    assert (verify(tmp_path / "set", sample=0).ok, verify(tmp_path / "set", sample=0).notes) == (True, ())


def test_a_card_of_another_format_is_not_called_other_settings(tmp_path, unbroken):
    shutil.copytree(unbroken, tmp_path / "set")
    card = read_json(tmp_path / "set" / "card.json")
    write_json(tmp_path / "set" / "card.json", {**card, "format_version": 2, "invented": True})
    with pytest.raises(DataError, match=r"card.json has format_version 2; this wsjax reads 1: use the wsjax that"):
        fill(tmp_path / "set", CARD, COUNT, EACH, Producer())


def test_locks_say_who_may(tmp_path):
    with locked(tmp_path), pytest.raises(BlockingIOError, match="is being written by another process; expected one"):
        fill(tmp_path, CARD, COUNT, EACH, Producer())
    assert_all_there(fill(tmp_path, CARD, COUNT, EACH, Producer()))
