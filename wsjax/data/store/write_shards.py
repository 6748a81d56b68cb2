"""Write a data set's directory shard by shard, by one process or several; a job that was stopped goes on.

One process holds the directory's lock alone. Those that make a part each share it, and hold their part's lock; what
they have done is in their own index, so that none ever writes what another does. A process that releases the
shared lock and finds all shards written takes the lock alone, if no other holds it, and joins the parts.
"""

import contextlib
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import jax
import numpy as np

from wsjax.data.dataset import WeightDataset
from wsjax.data.metadata import Metadata, settings_of
from wsjax.data.store import parts, save_load, shards
from wsjax.data.store.index import INDEX, METADATA, Index, has_index, read_index, read_one_index, read_stored_json
from wsjax.data.store.job import Job, Missing, Networks, Producer
from wsjax.data.store.parts import PARTS_LOCK, Part
from wsjax.errors import DataError, json_differences, listing
from wsjax.storage.files import IN_TURN, SHARED, is_held, locked, write_checked_json

LOOK_SECONDS = 0.5  # between two looks at whether the other processes have ended


def write_shards(path: str | Path, job: Job) -> WeightDataset:
    """Write the networks of a job into a directory, shard by shard; a job that was stopped there goes on.

    A directory that holds the complete data set is read, and nothing is made. Where JAX runs in several processes
    (`devices.start_processes`) and all call this, each makes a part, and all return the complete data set. It raises
    as `data.fit` does.
    """
    target = save_load.absolute_path(path)
    if jax.process_count() > 1:
        write_part(target, job, Part(jax.process_index() + 1, jax.process_count()))
        # JAX's own barriers give up long before the slowest part may end. Where a process dies, JAX ends the others.
        while not _is_complete(target, job.metadata):
            time.sleep(LOOK_SECONDS)
        return save_load.load(target)
    if _is_complete(target, job.metadata):
        return _nothing_to_do(target)
    with locked(target):
        index = _take_over(target, job)
        with _saying_what_is_safe(target):
            _write_missing(target, index, index.unfinished, index.finished_networks, job.producer, INDEX)
            return _finish(target)


def write_part(path: str | Path, job: Job, part: Part) -> WeightDataset | None:
    """Write one part of a job's shards; other processes, also on other machines with the same disk, write the others.

    Nothing that one part writes is touched by another. The one that ends last joins them and returns the data set, that
    of one `write_shards`, SHA-256 for SHA-256; the others return None. A part that was stopped goes on where it was,
    also when there are more or fewer parts the next time.
    """
    target = save_load.absolute_path(path)
    if _is_complete(target, job.metadata):
        return _nothing_to_do(target)
    try:
        with locked(target, how=SHARED), ExitStack() as held:
            with locked(target, PARTS_LOCK, IN_TURN):
                held.enter_context(locked(target, part.lock, what=f"{part} of {target}"))
                own, todo = _take_over_part(target, job, part)
            done = sum(own.size(number) for number in set(part.shards(own)) - set(todo))
            with _saying_what_is_safe(target):
                _write_missing(target, own, todo, done, job.producer, part.index)
    except BlockingIOError:
        # Whoever holds the lock of a directory in which all is there is joining it.
        if not _all_there(target):
            raise
    return _join_if_last(target, part)


def in_memory(job: Job) -> WeightDataset:
    """The data set that `write_shards` writes, without a directory."""
    with contextlib.closing(job.producer(Missing([np.arange(job.networks)], 0))) as pieces:
        whole = _in_order(list(pieces))
    if len(whole.number) != job.networks:
        raise ValueError(f"the producer ended after {len(whole.number)} of {job.networks} networks; expected all")
    return WeightDataset(whole.weights, whole.label, whole.columns, job.metadata).with_statistics()


def _is_complete(path: Path, metadata: Metadata) -> bool:
    """Whether a directory holds the complete data set of this metadata; raises ValueError where it holds another."""
    if not has_index(path):
        return False
    index = read_index(path)
    if index.shards:
        _refuse_other_settings(path, metadata)
    there = shards.present(path, index) == index
    return not index.unfinished and there and bool(save_load.described(path)[1].statistics)


def _refuse_other_settings(path: Path, metadata: Metadata) -> None:
    """Raise ValueError where a directory's metadata has other settings, and DataError where it has another format."""
    # The Symmetry follows from the network, which says it shorter.
    found, asked = (
        {**settings_of(c), "symmetry": None} for c in (read_stored_json(path / METADATA), metadata.to_json())
    )
    if differences := json_differences(found, asked):
        raise ValueError(
            f"{path} holds a data set with other settings: {listing(differences[:6])}. "
            f"Name another directory, or the same settings to go on with that one"
        )


def _take_over(path: Path, job: Job) -> Index:
    """The index to go on from, for the one writer of a directory; what stopped parts made becomes its own.

    It is the index found, without the shards that were removed, or a new one where no shard is finished and there is
    nothing to lose. What a kill left half-written is removed.
    """
    if has_index(path):
        index = read_index(path)
        if index.shards:
            _refuse_other_settings(path, job.metadata)
        index = shards.present(path, index)
        shards.remove_remains(path, index)
        if index.shards:
            if parts.parts_in(path):
                parts.join_indices(path, index)
            return index
        parts.remove_indices(path, parts.parts_in(path))
    else:
        _refuse_strange_files(path)
    return save_load.new_index(path, job.networks, job.shard_networks, job.metadata.to_json(), INDEX)


def _refuse_strange_files(path: Path) -> None:
    if not save_load.is_free(path):
        raise ValueError(f"{path} holds files and no data set; expected an empty or new directory: name another one")


def _take_over_part(path: Path, job: Job, part: Part) -> tuple[Index, list[int]]:
    """A part's own index and the numbers of the shards that it lacks. The part's lock and `PARTS_LOCK` must be held."""
    at_work = [other for other in parts.parts_in(path) if other != part and is_held(path, other.lock)]
    if counts := {other.count for other in at_work} - {part.count}:
        raise OSError(
            f"{path} is being written in {counts.pop()} parts by other processes; found {part}: give one of theirs, "
            f"or wait for their end"
        )
    index = read_index(path) if has_index(path) else None
    if index and (index.shards or at_work):
        _refuse_other_settings(path, job.metadata)
        index = shards.present(path, index)
    else:
        if index:
            (path / INDEX).unlink(missing_ok=True)
            parts.remove_indices(path, parts.parts_in(path))
        else:
            _refuse_strange_files(path)
        index = save_load.new_index(path, job.networks, job.shard_networks, job.metadata.to_json(), part.index)
    listed = {one: read_one_index(path / one.index).shards for one in parts.parts_in(path) if one.count == part.count}
    others = [one for one in parts.parts_in(path) if one.count != part.count]
    if others or (path / INDEX).exists():
        # What was done before there were as many parts as now goes to the one index, whoever's range it is in.
        earlier = {
            name: entry for name, entry in index.shards.items() if not any(name in own for own in listed.values())
        }
        write_checked_json(path / INDEX, index._replace(shards=earlier)._asdict())
        parts.remove_indices(path, others)
    own = index._replace(shards={name: index.shards[name] for name in listed.get(part, {}) if name in index.shards})
    write_checked_json(path / part.index, own._asdict())
    shards.remove_remains(path, index, part.shards(index))
    return own, sorted(set(index.unfinished) & set(part.shards(index)))


def _write_missing(path: Path, index: Index, todo: list[int], done: int, producer: Producer, into: str) -> None:
    """Write each missing shard once all of its networks are there, and list it in the index of the file `into`."""
    if not todo:
        return
    numbers = [np.arange(index.size(number)) + number * index.shard_networks for number in todo]
    gathered: dict[int, list[Networks]] = {number: [] for number in todo}
    with contextlib.closing(producer(Missing(numbers, done))) as pieces:
        for some in pieces:
            shard = some.number // index.shard_networks
            for number in np.unique(shard).tolist():
                gathered[number].append(_take(some, np.flatnonzero(shard == number)))
                if sum(len(piece.number) for piece in gathered[number]) == index.size(number):
                    whole = _in_order(gathered.pop(number))
                    arrays = save_load.as_arrays(whole.weights, whole.label, whole.columns)
                    index = shards.write_shard(path, index, number, arrays, into)
    if gathered:
        raise ValueError(f"the producer ended; of {path} it has not made all of shards {listing(gathered)}")


def _take(some: Networks, rows: np.ndarray) -> Networks:
    return jax.tree.map(lambda leaf: leaf[rows], some)


def _in_order(pieces: list[Networks]) -> Networks:
    """Networks that were made in pieces, by number."""
    whole: Networks = jax.tree.map(lambda *leaves: np.concatenate(leaves), *pieces)
    return _take(whole, np.argsort(whole.number))


def _finish(path: Path) -> WeightDataset:
    """Join what parts there are and write the statistics. The directory's lock must be held."""
    index, metadata = save_load.described(path)
    if index.unfinished:
        raise DataError(save_load.unfinished(path, index, metadata))
    if parts.parts_in(path):
        parts.join_indices(path, index)
    dataset = save_load.read_dataset(path, index, metadata).with_statistics()
    write_checked_json(path / METADATA, dataset.metadata.to_json())
    return dataset


def _join_if_last(path: Path, part: Part) -> WeightDataset | None:
    """Join the parts once all shards are there and no other process is at work on them."""
    # Between the two looks the others may end, and join them all.
    if missing := [] if _all_there(path) else parts.missing_parts(path, read_index(path)):
        print(f"{part} is complete in {path}; {parts.named(missing)} missing, and the last to end joins them")
        return None
    try:
        with locked(path):
            return _finish(path) if parts.parts_in(path) else save_load.load(path)
    except BlockingIOError:
        print(f"{part} is complete in {path}; another process joins the parts")
        return None


def _all_there(path: Path) -> bool:
    return has_index(path) and not read_index(path).unfinished


def _nothing_to_do(path: Path) -> WeightDataset:
    print(f"{path} holds all {read_index(path).networks} networks: nothing to do")
    return save_load.load(path)


@contextmanager
def _saying_what_is_safe(path: Path) -> Iterator[None]:
    """Say how much is on the disk when Ctrl-C ends the work."""
    try:
        yield
    except KeyboardInterrupt:
        safe = read_index(path)
        print(
            f"interrupted: {safe.finished_networks} of {safe.networks} networks are safe in {path}; "
            f"the same command goes on from there"
        )
        raise
