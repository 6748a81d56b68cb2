"""Write a data set's directory shard by shard, by one process or several; a job that was stopped goes on.

One process holds the directory's lock alone. Those that make a part each share it, and hold their part's lock; what
they have done is in their own index, so that none ever writes what another does. Whoever lets the shared lock go and
finds all shards there takes it alone, if nobody else has it, and joins the parts: the last one does.
"""

import contextlib
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import jax
import numpy as np

from wsjax.data.dataset import WeightDataset, training_rows
from wsjax.data.metadata import Metadata
from wsjax.data.store.directory import INDEX, METADATA, read_stored_json
from wsjax.data.store.index import has_index, read_index
from wsjax.data.store.job import Job, Missing, in_order, write_missing_shards
from wsjax.data.store.ownership import is_complete, take_over, take_over_part
from wsjax.data.store.parts import PARTS_LOCK, Part, join_indices, missing_parts, named, parts_in
from wsjax.data.store.save_load import absolute_path, load, read_dataset, unfinished
from wsjax.errors import DataError
from wsjax.storage.files import write_checked_json
from wsjax.storage.locks import IN_TURN, SHARED, locked

LOOK_SECONDS = 0.5  # between two looks at whether the other processes have ended


def write_shards(path: str | Path, job: Job) -> WeightDataset:
    """Write the networks of a job into a directory, shard by shard; a job that was stopped there goes on.

    A shard is written once all of its networks are there. A kill loses the networks of unwritten shards, no more. A
    directory that holds the complete data set is read, and nothing is made; what parts (`write_part`) have made is
    taken over. Where JAX knows of several processes (`devices.start_processes`) and all call this, each makes a part,
    and all return the complete data set once it is there.

    Args:
        path: the directory.
        job: what to make.

    Raises:
        ValueError: the directory holds a data set with other settings (each is named), or something else.
        DataError: a damaged shard, or one of another format.
        OSError: the directory cannot be written, another process writes it, or the disk is full.
        KeyboardInterrupt: after Ctrl-C, once a line has said how many networks are safe.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> from wsjax.data import Metadata
        >>> from wsjax.data.store.job import Networks
        >>> from wsjax.networks import Network
        >>> net = Network("siren", (2, 3, 1))
        >>> def zeros(missing):
        ...     for numbers in missing.shards:
        ...         leaves = [np.zeros((len(numbers), *shape), np.float32) for shape in net.symmetry.shapes]
        ...         columns = {"split": np.zeros(len(numbers), np.int8)}
        ...         yield Networks(numbers, net.symmetry.unflatten(leaves), np.zeros(len(numbers), np.int32), columns)
        >>> job = Job(Metadata("zeros", net, net.symmetry, classes=("a",)), 5, 2, zeros)
        >>> write_shards(tempfile.mkdtemp(), job)
        WeightDataset('zeros', 5 networks: 5 train, 0 validation, 0 test)
        >>> path = tempfile.mkdtemp()
        >>> for number in (1, 2):
        ...     whole = write_part(path, job, Part(number, 2))  # doctest: +ELLIPSIS
        part 1 of 2 is complete in ...; part 2 of 2 is missing, and the last to end joins them
        >>> whole
        WeightDataset('zeros', 5 networks: 5 train, 0 validation, 0 test)
    """
    target = absolute_path(path)
    if jax.process_count() > 1:
        write_part(target, job, Part(jax.process_index() + 1, jax.process_count()))
        # JAX's own barriers give up long before the slowest part may end. Where a process dies, JAX ends the others.
        while not is_complete(target, job.metadata):
            time.sleep(LOOK_SECONDS)
        return load(target)
    if is_complete(target, job.metadata):
        return _nothing_to_do(target)
    with locked(target):
        index = take_over(target, job)
        with _saying_what_is_safe(target):
            write_missing_shards(target, index, index.unfinished, index.finished_networks, job.producer, INDEX)
            return _finish(target)


def in_memory(job: Job) -> WeightDataset:
    """The data set that `write_shards` writes, without a directory.

    Raises:
        ValueError: the producer ended early.
    """
    with contextlib.closing(job.producer(Missing([np.arange(job.networks)], 0))) as parts:
        whole = in_order(list(parts))
    if len(whole.number) != job.networks:
        raise ValueError(f"the producer ended after {len(whole.number)} of {job.networks} networks; expected all")
    return with_statistics(WeightDataset(whole.weights, whole.label, whole.columns, job.metadata))


def write_part(path: str | Path, job: Job, part: Part) -> WeightDataset | None:
    """Write one part of a job's shards, as `write_shards` writes all; other processes, also on other machines, write
    the other parts.

    The machines share the disk, with locks. Nothing that one part writes is touched by another. The one that ends last
    joins them; the data set is that of one `write_shards`, SHA-256 for SHA-256. A part that was stopped goes on where
    it was, also when there are more or fewer parts the next time. With more parts than shards some have nothing to do.

    Args:
        path, job: as in `write_shards`, the same for every part.
        part: which one.

    Returns:
        The complete data set where this was the last part, or it was there before; None where parts are missing, which
        a line then names.

    Raises:
        ValueError, DataError, KeyboardInterrupt: as in `write_shards`.
        OSError: as in `write_shards`, or another process writes this part, or others share the directory into another
            number of parts.
    """
    target = absolute_path(path)
    if is_complete(target, job.metadata):
        return _nothing_to_do(target)
    try:
        with locked(target, how=SHARED), ExitStack() as held:
            with locked(target, PARTS_LOCK, IN_TURN):
                held.enter_context(locked(target, part.lock, what=f"{part} of {target}"))
                own, todo = take_over_part(target, job, part)
            done = sum(own.size(number) for number in set(part.shards(own)) - set(todo))
            with _saying_what_is_safe(target):
                write_missing_shards(target, own, todo, done, job.producer, part.index)
    except BlockingIOError:
        # Whoever holds the lock of a directory in which all is there is joining it.
        if not _all_there(target):
            raise
    return _join_if_last(target, part)


def join(path: str | Path) -> WeightDataset:
    """Join the parts of a directory, all of them whole; the last part to end does it by itself, unless it is killed.

    A kill in the middle loses nothing: the next call, or the next start of the command that made a part, ends it.

    Args:
        path: the directory.

    Raises:
        DataError: parts are missing, each is named, or something is damaged.
        OSError: a process writes to the directory.

    Example:
        >>> import tempfile
        >>> from wsjax.data import Part, Recipe, fit, limit, load_images
        >>> from wsjax.networks import Network
        >>> out, recipe = tempfile.mkdtemp(), Recipe(Network("siren", (2, 4, 1)), steps=2, slots=4)
        >>> _ = fit(limit(load_images("digits"), 4), recipe=recipe, out=out, part=Part(1, 1), progress=False)
        >>> join(out)
        WeightDataset('digits', 4 networks: 2 train, 1 validation, 1 test)
    """
    target = absolute_path(path)
    read_index(target)  # a lock would make the directory
    with locked(target):
        return _finish(target) if parts_in(target) else load(target)


def with_statistics(dataset: WeightDataset) -> WeightDataset:
    """The data set with the statistics of its training split in its metadata."""
    metadata = dataset.metadata.with_statistics(dataset.weights, training_rows(dataset.columns["split"]))
    return WeightDataset(dataset.weights, dataset.label, dataset.columns, metadata)


def _finish(path: Path) -> WeightDataset:
    """Join what parts there are and write the statistics. The directory's lock must be held."""
    index, metadata = read_index(path), Metadata.from_json(read_stored_json(path / METADATA))
    if index.unfinished:
        raise DataError(unfinished(path, index, metadata))
    if parts_in(path):
        join_indices(path, index)
    dataset = with_statistics(read_dataset(path, index, metadata))
    write_checked_json(path / METADATA, dataset.metadata.to_json())
    return dataset


def _join_if_last(path: Path, part: Part) -> WeightDataset | None:
    """Join the parts once all shards are there and no other process is at work on them."""
    # Between the two looks the others may end, and join them all.
    missing = [] if _all_there(path) else missing_parts(path, read_index(path))
    if missing:
        print(f"{part} is complete in {path}; {named(missing)} missing, and the last to end joins them")
        return None
    try:
        return join(path)
    except BlockingIOError:
        print(f"{part} is complete in {path}; another process joins the parts")
        return None


def _all_there(path: Path) -> bool:
    return has_index(path) and not read_index(path).unfinished


def _nothing_to_do(path: Path) -> WeightDataset:
    print(f"{path} holds all {read_index(path).networks} networks: nothing to do")
    return load(path)


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
