"""Which process may write a data set's directory: one whose settings the directory has, or any while it is empty."""

from pathlib import Path

from wsjax.data.metadata import Metadata, settings_of
from wsjax.data.store import shards
from wsjax.data.store.directory import INDEX, METADATA, check_version, read_stored_json
from wsjax.data.store.index import Index, has_index, read_index, read_one_index, shard_name
from wsjax.data.store.job import Job
from wsjax.data.store.parts import Part, join_indices, parts_in, remove_indices
from wsjax.data.store.save_load import is_free, new_index
from wsjax.errors import json_differences, listing
from wsjax.storage.files import write_checked_json
from wsjax.storage.locks import is_held


def is_complete(path: Path, metadata: Metadata) -> bool:
    """Whether a directory holds the complete data set of this metadata; raises ValueError where it holds another."""
    if not has_index(path):
        return False
    index = read_index(path)
    if index.shards:
        refuse_other_settings(path, metadata)
    there = shards.present(path, index) == index
    return not index.unfinished and there and bool(Metadata.from_json(read_stored_json(path / METADATA)).statistics)


def refuse_other_settings(path: Path, metadata: Metadata) -> None:
    """Raise ValueError where a directory's metadata has other settings, and DataError where it has another format."""
    found = read_stored_json(path / METADATA)
    check_version(path / METADATA, found)
    # The Symmetry follows from the network, which says it shorter.
    found, asked = ({**settings_of(c), "symmetry": None} for c in (found, metadata.to_json()))
    differences = json_differences(found, asked)
    if differences:
        raise ValueError(
            f"{path} holds a data set with other settings: {listing(differences[:6])}. "
            f"Name another directory, or the same settings to go on with that one"
        )


def take_over(path: Path, job: Job) -> Index:
    """The index to go on from, for the one writer of a directory; what stopped parts made becomes its own.

    Returns:
        The index found, if its settings are these, without the shards that were removed; or a new one, where no shard
        is finished and there is nothing to lose. What a kill left half-written is removed.
    """
    if has_index(path):
        index = read_index(path)
        if index.shards:
            refuse_other_settings(path, job.metadata)
        index = shards.present(path, index)
        shards.clean(shards.remains(path, index))
        if index.shards:
            if parts_in(path):
                join_indices(path, index)
            return index
        remove_indices(path, parts_in(path))
    else:
        _refuse_strange_files(path)
    return new_index(path, job.networks, job.shard_networks, job.metadata.to_json())


def take_over_part(path: Path, job: Job, part: Part) -> tuple[Index, list[int]]:
    """A part's own index and the numbers of the shards that it lacks. The part's lock and `PARTS_LOCK` must be held.

    Raises:
        ValueError: the directory holds a data set with other settings, or something else.
        OSError: processes at work in it share it into another number of parts.
    """
    at_work = [other for other in parts_in(path) if other != part and is_held(path, other.lock)]
    counts = {other.count for other in at_work} - {part.count}
    if counts:
        raise OSError(
            f"{path} is being written in {counts.pop()} parts by other processes; found {part}: give one of theirs, "
            f"or wait for their end"
        )
    if has_index(path):
        index = read_index(path)
        if index.shards or at_work:
            refuse_other_settings(path, job.metadata)
            return _go_on(path, shards.present(path, index), part)
        (path / INDEX).unlink(missing_ok=True)
        remove_indices(path, parts_in(path))
    else:
        _refuse_strange_files(path)
    index = new_index(path, job.networks, job.shard_networks, job.metadata.to_json(), part.index)
    return _go_on(path, index, part)


def _go_on(path: Path, index: Index, part: Part) -> tuple[Index, list[int]]:
    """A part's index among what all have done, and what it lacks of its own."""
    listed = {one: read_one_index(path / one.index).shards for one in parts_in(path) if one.count == part.count}
    others = [one for one in parts_in(path) if one.count != part.count]
    if others or (path / INDEX).exists():
        # What was done before there were as many parts as now goes to the one index, whoever's range it is in.
        earlier = {
            name: entry for name, entry in index.shards.items() if not any(name in own for own in listed.values())
        }
        write_checked_json(path / INDEX, index._replace(shards=earlier)._asdict())
        remove_indices(path, others)
    own = index._replace(shards={name: index.shards[name] for name in listed.get(part, {}) if name in index.shards})
    write_checked_json(path / part.index, own._asdict())
    shards.clean(shards.remains_of(path, index, part.shards(index)))
    return own, [number for number in part.shards(index) if shard_name(number) not in index.shards]


def _refuse_strange_files(path: Path) -> None:
    if not is_free(path):
        raise ValueError(f"{path} holds files and no data set; expected an empty or new directory: name another one")
