"""A data set's directory filled shard by shard, in any order, by one process or several, as often stopped as may be.

One process holds the directory's lock alone. Those that make a part each share it, and hold their part's lock; what
they have done is in their own index, so that none ever writes what another does. Whoever lets the shared lock go and
finds all shards there takes it alone, if nobody else has it, and joins the parts: the last one does.
"""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import jax

from wsjax.data.card import Card
from wsjax.data.dataset import WeightDataset, training_rows
from wsjax.data.store.claim import claim, claim_part, is_whole
from wsjax.data.store.directory import CARD, INDEX, read_json, write_json
from wsjax.data.store.index import has_index, read_index
from wsjax.data.store.locks import IN_TURN, SHARED, locked
from wsjax.data.store.missing import Make, write_missing
from wsjax.data.store.parts import CLAIM, Part, join_indices, missing_parts, named, parts_in
from wsjax.data.store.whole import absolute, load, read, unfinished
from wsjax.errors import DataError

LOOK_SECONDS = 0.5  # between two looks at whether the other processes have ended


def fill(path: str | Path, card: Card, networks: int, shard_networks: int, make: Make) -> WeightDataset:
    """Fill a directory with the networks that `make` yields; a fill that was stopped there goes on.

    A shard is written once all of its networks are there. A kill loses the networks of unwritten shards, no more. A
    directory that holds the whole data set is read, and nothing is made; what parts (`fill_part`) have made is taken
    over. Where JAX knows of several processes (`devices.start_processes`) and all call this, each makes a part, and
    all return the whole data set once it is there.

    Args:
        path: the directory.
        card: what the networks are and how they are made, without statistics, which come last. It is what tells one
            data set from another: all settings that decide a network belong to it.
        networks: in the whole data set.
        shard_networks: in each shard but the last, which a kill loses at most.
        make: given what is missing, yields those networks, some at a time, in any order; closed when it is interrupted.
            Network n must be the same whatever else is missing.

    Raises:
        ValueError: the directory holds a data set with other settings (each is named), or something else.
        DataError: a damaged shard, or one of another format.
        OSError: the directory cannot be written, another process writes it, or the disk is full.
        KeyboardInterrupt: after Ctrl-C, once a line has said how many networks are safe.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> from wsjax.data import Card
        >>> from wsjax.data.store.missing import Networks
        >>> from wsjax.networks import Network
        >>> net = Network("siren", (2, 3, 1))
        >>> def zeros(missing):
        ...     for numbers in missing.shards:
        ...         empty = [np.zeros((len(numbers), *shape), np.float32) for shape in net.symmetry.shapes]
        ...         columns = {"split": np.zeros(len(numbers), np.int8)}
        ...         yield Networks(numbers, net.symmetry.unflatten(empty), np.zeros(len(numbers), np.int32), columns)
        >>> fill(tempfile.mkdtemp(), Card("zeros", net, net.symmetry, classes=("a",)), 5, 2, zeros)
        WeightDataset('zeros', 5 networks: 5 train, 0 validation, 0 test)
    """
    target = absolute(path)
    if jax.process_count() > 1:
        fill_part(target, card, networks, shard_networks, make, Part(jax.process_index() + 1, jax.process_count()))
        # JAX's own barriers give up long before the slowest part may end. Where a process dies, JAX ends the others.
        while not is_whole(target, card):
            time.sleep(LOOK_SECONDS)
        return load(target)
    if is_whole(target, card):
        return _nothing_to_do(target)
    with locked(target):
        index = claim(target, card, networks, shard_networks)
        with _saying_what_is_safe(target):
            write_missing(target, index, index.unfinished, index.finished_networks, make, INDEX)
            return _finish(target)


def fill_part(
    path: str | Path, card: Card, networks: int, shard_networks: int, make: Make, part: Part
) -> WeightDataset | None:
    """Fill one part of a directory, as `fill` does the whole; other processes, also on other machines, fill the others.

    The machines share the disk, with locks. Nothing that one part writes is touched by another. The one that ends last
    joins them; the data set is that of one `fill`, SHA-256 for SHA-256. A part that was stopped goes on where it was,
    also when there are more or fewer parts the next time. With more parts than shards some have nothing to do.

    Args:
        path, card, networks, shard_networks, make: as in `fill`, the same for every part.
        part: which one.

    Returns:
        The whole data set where this was the last part, or it was there before; None where parts are missing, which a
        line then names.

    Raises:
        ValueError, DataError, KeyboardInterrupt: as in `fill`.
        OSError: as in `fill`, or another process writes this part, or others share the directory into another number
            of parts.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> from wsjax.data import Card
        >>> from wsjax.data.store.missing import Networks
        >>> from wsjax.networks import Network
        >>> net, path = Network("siren", (2, 3, 1)), tempfile.mkdtemp()
        >>> def zeros(missing):
        ...     for numbers in missing.shards:
        ...         empty = [np.zeros((len(numbers), *shape), np.float32) for shape in net.symmetry.shapes]
        ...         columns = {"split": np.zeros(len(numbers), np.int8)}
        ...         yield Networks(numbers, net.symmetry.unflatten(empty), np.zeros(len(numbers), np.int32), columns)
        >>> card = Card("zeros", net, net.symmetry, classes=("a",))
        >>> for number in (1, 2):
        ...     whole = fill_part(path, card, 5, 2, zeros, Part(number, 2))  # doctest: +ELLIPSIS
        part 1 of 2 is whole in ...; part 2 of 2 is missing, and the last to end joins them
        >>> whole
        WeightDataset('zeros', 5 networks: 5 train, 0 validation, 0 test)
    """
    target = absolute(path)
    if is_whole(target, card):
        return _nothing_to_do(target)
    try:
        with locked(target, how=SHARED), ExitStack() as held:
            with locked(target, CLAIM, IN_TURN):
                held.enter_context(locked(target, part.lock, what=f"{part} of {target}"))
                own, todo = claim_part(target, card, networks, shard_networks, part)
            done = sum(own.size(number) for number in set(part.shards(own)) - set(todo))
            with _saying_what_is_safe(target):
                write_missing(target, own, todo, done, make, part.index)
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
        >>> from wsjax.data import Part, Recipe, fit_part, limit, load_images
        >>> from wsjax.networks import Network
        >>> out, recipe = tempfile.mkdtemp(), Recipe(Network("siren", (2, 4, 1)), steps=2, lanes=4)
        >>> _ = fit_part(limit(load_images("digits"), 4), recipe, out, Part(1, 1), progress=False)
        >>> join(out)
        WeightDataset('digits', 4 networks: 2 train, 1 validation, 1 test)
    """
    target = absolute(path)
    read_index(target)  # a lock would make the directory
    with locked(target):
        return _finish(target) if parts_in(target) else load(target)


def with_statistics(dataset: WeightDataset) -> WeightDataset:
    """The data set with the statistics of its training split in its card."""
    card = dataset.card.with_statistics(dataset.weights, training_rows(dataset.columns["split"]))
    return WeightDataset(dataset.weights, dataset.label, dataset.columns, card)


def _finish(path: Path) -> WeightDataset:
    """Join what parts there are and write the statistics. The directory's lock must be held."""
    index, card = read_index(path), Card.from_json(read_json(path / CARD))
    if index.unfinished:
        raise DataError(unfinished(path, index, card))
    if parts_in(path):
        join_indices(path, index)
    dataset = with_statistics(read(path, index, card))
    write_json(path / CARD, dataset.card.to_json())
    return dataset


def _join_if_last(path: Path, part: Part) -> WeightDataset | None:
    """Join the parts once all shards are there and no other process is at work on them."""
    # Between the two looks the others may end, and join them all.
    missing = [] if _all_there(path) else missing_parts(path, read_index(path))
    if missing:
        print(f"{part} is whole in {path}; {named(missing)} missing, and the last to end joins them")
        return None
    try:
        return join(path)
    except BlockingIOError:
        print(f"{part} is whole in {path}; another process joins the parts")
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
