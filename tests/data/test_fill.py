"""A directory is filled by any producer, in any order, as often stopped as may be, to the same bits."""

import dataclasses
import shutil

import numpy as np
import pytest

from tests.data.producer import COUNT, EACH, METADATA, Producer, assert_all_there, networks
from wsjax.data import load, verify
from wsjax.data.store.index import read_index, read_stored_json
from wsjax.data.store.job import Job
from wsjax.data.store.write_shards import write_shards
from wsjax.errors import DataError
from wsjax.storage import orbax_calls
from wsjax.storage.files import locked, write_checked_json

pytestmark = pytest.mark.usefixtures("plain_shards")


@pytest.fixture
def unbroken(tmp_path):
    path = tmp_path / "unbroken"
    write_shards(path, Job(METADATA, COUNT, EACH, Producer()))
    return path


@pytest.mark.parametrize(("size", "seed"), [(1, 0), (5, 1), (COUNT, 2), (4, None)])
def test_order_and_pieces_do_not_matter(tmp_path, unbroken, size, seed):
    path = tmp_path / "set"
    assert_all_there(write_shards(path, Job(METADATA, COUNT, EACH, Producer(size, seed))))
    assert read_index(path).fingerprint == read_index(unbroken).fingerprint
    assert_all_there(load(path))
    assert read_stored_json(path / "metadata.json") == read_stored_json(unbroken / "metadata.json")


def test_what_is_there_is_not_made_again(unbroken, capsys):
    again = Producer()
    assert_all_there(write_shards(unbroken, Job(METADATA, COUNT, EACH, again)))
    assert (again.asked, capsys.readouterr().out) == ([], f"{unbroken} holds all 13 networks: nothing to do\n")
    for name in ("00001", "00004"):
        shutil.rmtree(unbroken / "shards" / name)
    assert_all_there(write_shards(unbroken, Job(METADATA, COUNT, EACH, again)))
    assert (again.asked, again.done) == ([3, 4, 5, 12], [9])
    # The size of shards is the directory's own.
    shutil.rmtree(unbroken / "shards" / "00002")
    assert_all_there(write_shards(unbroken, Job(METADATA, COUNT, 100, again)))
    assert again.asked[4:] == [6, 7, 8]


def test_an_interrupt_says_what_is_safe_and_it_or_a_failed_write_closes_the_producer(tmp_path, capsys, monkeypatch):
    def fails(*_):
        raise orbax_calls.OrbaxError("no room")

    failed = Producer()
    with monkeypatch.context() as patch:
        patch.setattr(orbax_calls, "save", fails)
        with pytest.raises(OSError, match=r"shard 00000 cannot be written .*: no room"):
            write_shards(tmp_path, Job(METADATA, COUNT, EACH, failed))
    assert failed.closed

    def interrupted(piece):
        if piece == 4:
            raise KeyboardInterrupt

    producer = Producer(before=interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_shards(tmp_path, Job(METADATA, COUNT, EACH, producer))
    assert producer.closed
    assert f"interrupted: 6 of 13 networks are safe in {tmp_path}; the same command goes on" in capsys.readouterr().out
    rest = Producer()
    assert_all_there(write_shards(tmp_path, Job(METADATA, COUNT, EACH, rest)))
    assert (rest.asked, rest.done) == (list(range(6, 13)), [6])


def test_a_producer_that_ends_early_is_named(tmp_path):
    def three(missing):
        yield networks(np.arange(4))

    with pytest.raises(ValueError, match=r"the producer ended; of .* it has not made all of shards 1, 2, 3, 4"):
        write_shards(tmp_path, Job(METADATA, COUNT, EACH, three))
    with pytest.raises(DataError, match="is unfinished: 3 of 13 networks are there; to go on, run the same fit again"):
        load(tmp_path)


def test_other_settings_take_over_where_no_shard_is_listed_and_leave_none_beside(unbroken):
    other = dataclasses.replace(METADATA, recipe={"steps": 4}, classes=("a", "b"))
    message = "with other settings: classes.0. is 'even' there and 'a' here, .*recipe.steps is 3 there and 4 here"
    with pytest.raises(ValueError, match=message):
        write_shards(unbroken, Job(other, COUNT, EACH, Producer()))
    write_checked_json(unbroken / "index.json", read_index(unbroken)._replace(shards={})._asdict())
    assert write_shards(unbroken, Job(other, COUNT, EACH, Producer())).metadata.recipe == {"steps": 4}
    assert (verify(unbroken, sample=0).ok, verify(unbroken, sample=0).notes) == (True, ())


def test_locks_say_who_may(tmp_path):
    with locked(tmp_path), pytest.raises(BlockingIOError, match="is being written by another process; expected one"):
        write_shards(tmp_path, Job(METADATA, COUNT, EACH, Producer()))
    assert_all_there(write_shards(tmp_path, Job(METADATA, COUNT, EACH, Producer())))
