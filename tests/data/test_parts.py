"""Several writers make one data set, the same as one writer would, whoever is killed when."""

import dataclasses
import os
import shutil
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.data.producer import COUNT, EACH, METADATA, Killed, Producer, assert_all_there, nothing
from wsjax import cli
from wsjax.data import load, open_dataset, verify
from wsjax.data.store import save_load as store
from wsjax.data.store import shards
from wsjax.data.store import write_shards as writing
from wsjax.data.store.index import Index, read_index, read_stored_json
from wsjax.data.store.job import Job
from wsjax.data.store.parts import Part
from wsjax.errors import DataError
from wsjax.storage import files, orbax_calls
from wsjax.storage.files import locked, write_checked_json

SETTINGS = (METADATA, COUNT, EACH)


def part_of(path: Path, number: int, count: int, producer: Callable | None = None):
    return writing.write_part(path, Job(*SETTINGS, producer or Producer()), Part(number, count))


pytestmark = pytest.mark.usefixtures("plain_shards")


@pytest.fixture
def unbroken(tmp_path_factory):
    path = tmp_path_factory.mktemp("unbroken")
    writing.write_shards(path, Job(*SETTINGS, Producer()))
    return path


def assert_as_unbroken(path: Path, unbroken: Path) -> None:
    """The same arrays in every shard, the same metadata, and no trace of parts."""
    assert_all_there(load(path))
    found, expected = read_index(path), read_index(unbroken)
    strip = lambda index: index._replace(shards={name: entry["arrays"] for name, entry in index.shards.items()})
    assert strip(found) == strip(expected)
    assert found.fingerprint == expected.fingerprint
    assert read_stored_json(path / "metadata.json") == read_stored_json(unbroken / "metadata.json")
    assert sorted(p.name for p in path.iterdir()) == ["index.json", "lock", "metadata.json", "shards"]
    assert verify(path, sample=0).notes == ()


@pytest.mark.parametrize("networks", [1, 5, 12, 13])
@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_the_parts_ranges_cover_every_shard_once_and_evenly(networks, count):
    index = Index(networks, 2, "", {}, {})
    ranges = [Part(i + 1, count).shards(index) for i in range(count)]
    assert [number for one in ranges for number in one] == list(range(index.shard_count))
    assert max(map(len, ranges)) - min(map(len, ranges)) <= 1


def test_a_part_that_is_none_is_named():
    for text, message in (
        ("0/4", r"the number of a part is 0; it must be one integer in \[1, 4\]"),
        ("5/4", "the number of a part is 5"),
        ("1/0", "the count of parts is 0"),
        ("1", "part is '1'; expected its number, from 1, and how many there are, such as 1/4"),
        ("-1/4", "part is '-1/4'"),
    ):
        with pytest.raises(ValueError, match=message):
            Part.parse(text)


@pytest.mark.parametrize("order", [(1,), (2, 1), (3, 1, 2), (2, 7, 4, 1, 6, 3, 5)])
def test_parts_in_any_order_make_the_unbroken_data_set(tmp_path, unbroken, capsys, order):
    count, asked = len(order), []
    for number in order[:-1]:
        producer = Producer(seed=number)
        assert part_of(tmp_path, number, count, producer) is None
        asked += producer.asked
        said = capsys.readouterr().out
        assert f"part {number} of {count} is complete in {tmp_path}; part" in said
        assert "missing, and the last to end joins them" in said
        again = Producer()
        assert part_of(tmp_path, number, count, again) is None
        assert again.asked == []
    producer = Producer()
    assert_all_there(part_of(tmp_path, order[-1], count, producer))
    assert sorted(asked + producer.asked) == list(range(COUNT))
    assert_as_unbroken(tmp_path, unbroken)
    assert_all_there(part_of(tmp_path, 1, count, nothing))


def test_writers_at_the_same_time_make_the_unbroken_data_set_even_if_all_look_at_once(tmp_path, unbroken, monkeypatch):
    """Each looks, once its own lock is let go, whether it was the last."""
    meet, looks = threading.Barrier(4, timeout=60), writing._all_there

    def together(path):
        meet.wait()
        return looks(path)

    for attempt in range(3):
        path = tmp_path / str(attempt)
        if attempt == 2:
            monkeypatch.setattr(writing, "_all_there", together)
        waits = [Producer(before=lambda piece: meet.wait() if piece == 0 else None) for _ in range(4)]
        with ThreadPoolExecutor(4) as pool:
            found = [f.result() for f in [pool.submit(part_of, path, i + 1, 4, waits[i]) for i in range(4)]]
        # One that finds the others at the joining leaves it to them, or finds it done and reads it.
        assert any(one is not None for one in found)
        assert_as_unbroken(path, unbroken)


def test_a_part_that_ends_between_two_looks_is_not_called_missing(tmp_path, unbroken, monkeypatch):
    def late(path, looks=writing._all_there):
        found = looks(path)
        monkeypatch.setattr(writing, "_all_there", looks)
        assert_all_there(part_of(tmp_path, 2, 2))
        return found

    monkeypatch.setattr(writing, "_all_there", late)
    assert_all_there(part_of(tmp_path, 1, 2))
    assert_as_unbroken(tmp_path, unbroken)


def test_before_they_are_joined_the_missing_parts_are_named(tmp_path):
    part_of(tmp_path, 2, 4)
    for call in (load, open_dataset):
        with pytest.raises(DataError, match=r"3 of 13 networks are there; parts 1, 3, 4 of 4 are missing"):
            call(tmp_path)
    with pytest.raises(DataError, match=r"same command for each, such as --part 1/4, or once without --part"):
        load(tmp_path)
    found = verify(tmp_path)
    assert (found.ok, found.shards) == (False, 1)
    assert "parts 1, 3, 4 of 4 are missing" in found.damage[0]
    with pytest.raises(ValueError, match="is not empty; expected a new directory"):
        store.save(writing.write_shards(tmp_path / "other", Job(*SETTINGS, Producer())), tmp_path)


def test_parts_that_are_whole_and_not_joined_say_how(tmp_path, unbroken, monkeypatch, capsys):
    part_of(tmp_path, 1, 2)
    with monkeypatch.context() as patch:
        patch.setattr(writing, "_join_if_last", lambda *_: None)
        part_of(tmp_path, 2, 2)
    with pytest.raises(DataError, match=r"13 of 13 networks .* not joined yet: give the same fit again to join them"):
        load(tmp_path)
    with locked(tmp_path):  # as the one who joins does
        assert part_of(tmp_path, 1, 2, nothing) is None
    assert "another process joins the parts" in capsys.readouterr().out
    shutil.copytree(tmp_path, tmp_path / "copy")
    assert_all_there(writing.write_shards(tmp_path / "copy", Job(*SETTINGS, nothing)))
    assert_as_unbroken(tmp_path / "copy", unbroken)
    shutil.rmtree(tmp_path / "copy")
    assert_all_there(part_of(tmp_path, 1, 2, nothing))
    assert_as_unbroken(tmp_path, unbroken)


def test_a_whole_fill_takes_over_what_stopped_parts_made(tmp_path, unbroken):
    part_of(tmp_path, 2, 4)
    part_of(tmp_path, 4, 4)
    producer = Producer()
    assert_all_there(writing.write_shards(tmp_path, Job(*SETTINGS, producer)))
    assert producer.asked == [0, 1, 2, 6, 7, 8]
    assert_as_unbroken(tmp_path, unbroken)


def test_parts_take_over_what_a_stopped_whole_fill_or_other_parts_made(tmp_path, unbroken):
    def stop(piece):
        if piece == 4:
            raise Killed

    with pytest.raises(Killed):
        writing.write_shards(tmp_path, Job(*SETTINGS, Producer(before=stop)))  # made shards 0 and 1
    last = Producer()
    part_of(tmp_path, 3, 3, last)
    more = [Producer() for _ in range(5)]
    found = [part_of(tmp_path, number, 5, more[number - 1]) for number in (4, 3, 2, 1, 5)]
    assert [producer.asked for producer in (last, *more)] == [[9, 10, 11, 12], [], [], [6, 7, 8], [], []]
    assert_all_there(found[1])
    assert_as_unbroken(tmp_path, unbroken)


def test_a_shard_that_was_removed_is_made_again_by_its_part(tmp_path, unbroken):
    part_of(tmp_path, 1, 2)
    shutil.rmtree(tmp_path / "shards" / "00001")
    again = Producer()
    assert part_of(tmp_path, 1, 2, again) is None
    assert again.asked == [3, 4, 5]
    part_of(tmp_path, 2, 2)
    assert_as_unbroken(tmp_path, unbroken)
    shutil.rmtree(tmp_path / "shards" / "00003")
    assert_all_there(part_of(tmp_path, 2, 2))
    assert_as_unbroken(tmp_path, unbroken)


def test_a_shard_that_other_parts_made_and_that_was_removed_is_made_again(tmp_path, unbroken):
    part_of(tmp_path, 1, 2)
    shutil.rmtree(tmp_path / "shards" / "00001")
    for number in (1, 2, 3):
        part_of(tmp_path, number, 3)
    assert_as_unbroken(tmp_path, unbroken)


def test_other_settings_are_refused_by_name(tmp_path, unbroken):
    other = (dataclasses.replace(METADATA, recipe={"steps": 4}), COUNT, EACH)

    # While a part is at work its settings bind the others, though no shard is there.
    def meanwhile(piece):
        with pytest.raises(ValueError, match=r"recipe.steps is 3 there and 4 here"):
            writing.write_part(tmp_path, Job(*other, nothing), Part(2, 2))
        raise Killed

    with pytest.raises(Killed):
        part_of(tmp_path, 1, 2, Producer(before=meanwhile))
    # Once it is gone and has left no shard, they bind nobody.
    assert writing.write_part(tmp_path, Job(*other, Producer()), Part(2, 2)) is None
    for call in (
        lambda: part_of(tmp_path, 1, 2),
        lambda: part_of(tmp_path, 1, 5),
        lambda: writing.write_shards(tmp_path, Job(*SETTINGS, Producer())),
    ):
        with pytest.raises(ValueError, match=r"other settings: recipe.steps is 4 there and 3 here"):
            call()
    assert sorted(p.name for p in (tmp_path / "shards").iterdir()) == ["00002", "00003", "00004"]


def test_who_writes_what_excludes_whom(tmp_path, unbroken):
    refused = []

    def meanwhile(piece):
        if piece:
            return
        for call, message in (
            (lambda: part_of(tmp_path, 1, 2), rf"part 1 of 2 of {tmp_path} is being written by another process"),
            (lambda: part_of(tmp_path, 1, 3), "is being written in 2 parts by other processes; found part 1 of 3"),
            (
                lambda: writing.write_shards(tmp_path, Job(*SETTINGS, Producer())),
                "is being written by another process; expected one",
            ),
        ):
            with pytest.raises(OSError, match=message):
                call()
            refused.append(message)
        # Another part starts and ends while this one is in the middle of a write.
        begun = tmp_path / "shards" / "00000.orbax-checkpoint-tmp"
        begun.mkdir(parents=True)
        assert part_of(tmp_path, 2, 2) is None
        begun.rmdir()

    assert_all_there(part_of(tmp_path, 1, 2, Producer(before=meanwhile)))
    assert len(refused) == 3
    assert_as_unbroken(tmp_path, unbroken)

    def beside(piece):
        with pytest.raises(BlockingIOError, match="is being written by another process"):
            part_of(tmp_path / "whole", 1, 2)

    writing.write_shards(tmp_path / "whole", Job(*SETTINGS, Producer(before=beside)))
    assert_as_unbroken(tmp_path / "whole", unbroken)


def test_a_foreign_directory_is_left_alone(tmp_path):
    (tmp_path / "shards").mkdir()
    (tmp_path / "shards" / "precious").write_text("mine")
    for write in (lambda: part_of(tmp_path, 1, 2), lambda: writing.write_shards(tmp_path, Job(*SETTINGS, Producer()))):
        with pytest.raises(ValueError, match="holds files and no data set; expected an empty or new directory"):
            write()
    assert (tmp_path / "shards" / "precious").read_text() == "mine"


def test_an_index_that_does_not_belong_is_named(tmp_path):
    part_of(tmp_path, 1, 2)
    index = read_index(tmp_path)
    write_checked_json(tmp_path / "index-2-of-2.json", index._replace(metadata="0")._asdict())
    with pytest.raises(DataError, match=r"index-2-of-2.json and index-1-of-2.json beside it do not belong to one"):
        load(tmp_path)
    (tmp_path / "index-2-of-2.json").write_text("{}")
    with pytest.raises(DataError, match=r"index-2-of-2.json is damaged"):
        part_of(tmp_path, 1, 2)


@pytest.fixture
def kill(monkeypatch, plain_shards):
    """`kill(n)`: of all writes, renames and removals from now on, the n-th is the last thing that happens; 0: never."""
    left = [0]

    def now() -> bool:
        left[0] -= 1
        return left[0] == 0

    def counted(call):
        def one(*arguments):
            if now():
                raise Killed
            return call(*arguments)

        return one

    def removed(path, missing_ok=False, real=Path.unlink):
        if path.name.startswith(("index-", "lock-")) and now():
            raise Killed
        real(path, missing_ok)

    def saved(path, arrays, real=orbax_calls.save):
        if now():
            os.makedirs(f"{path}.orbax-checkpoint-tmp/state")
            raise Killed
        real(path, arrays)
        if now():
            raise Killed

    own = SimpleNamespace(replace=counted(os.replace), fsync=counted(os.fsync))
    monkeypatch.setattr(files, "os", own)
    monkeypatch.setattr(Path, "unlink", removed)
    monkeypatch.setattr(orbax_calls, "save", saved)
    return lambda number: left.__setitem__(0, number)


def test_a_kill_at_any_moment_loses_at_most_a_shard(tmp_path, kill):
    count, each = 6, 2  # shard 0 is the first part's, 1 and 2 are the second's
    writing.write_shards(tmp_path / "unbroken", Job(METADATA, count, each, Producer()))
    kills, died = 0, True
    while died:
        path, made, died = tmp_path / str(kills), [], False
        kill(kills + 1)
        for number in (1, 2):
            stopped = True
            while stopped:
                producer, stopped = Producer(each), False
                try:
                    writing.write_part(path, Job(METADATA, count, each, producer), Part(number, 2))
                except Killed:
                    stopped = True
                    died = True
                    with nullcontext() if _is_joined(path) else pytest.raises(DataError):
                        assert_all_there(load(path), count)
                made += producer.made
        kill(0)
        assert_all_there(load(path), count)
        assert read_index(path).fingerprint == read_index(tmp_path / "unbroken").fingerprint
        assert read_stored_json(path / "metadata.json") == read_stored_json(tmp_path / "unbroken" / "metadata.json")
        assert not list(path.glob("shards/*tmp*"))
        assert len(made) <= count + each * died
        kills += died
    # Metadata, indices and shards of both parts, the joined index, what it replaces, and the statistics.
    assert kills > 20


def _is_joined(path: Path) -> bool:
    return (path / "metadata.json").exists() and bool(read_stored_json(path / "metadata.json")["statistics"])


def test_the_command_line_fits_parts(tmp_path, tiny_digits, monkeypatch, capsys):
    monkeypatch.setattr(shards, "SHARD_NETWORKS", 16)
    monkeypatch.setattr("wsjax.viz.fits", lambda found, dataset, path: path.touch())

    def fit(out, *more):
        settings = ("--limit", "40", *more)
        monkeypatch.setattr(sys, "argv", ["wsjax", "fit", "digits", str(tmp_path / out), *settings])
        cli.main()
        return capsys.readouterr().out

    fit("whole")
    assert "part 2 of 2 is complete" in fit("parts", "--part", "2/2")
    assert not (tmp_path / "parts" / "fits.png").exists()
    assert "40 networks, PSNR mean" in fit("parts", "--part", "1/2")
    assert read_index(tmp_path / "parts").fingerprint == read_index(tmp_path / "whole").fingerprint
    assert (tmp_path / "parts" / "fits.png").exists()
    assert "nothing to do" in fit("parts", "--part", "1/2")
    assert "nothing to do" in fit("parts")
    with pytest.raises(SystemExit):
        fit("parts", "--part", "3/2")
