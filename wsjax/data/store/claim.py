"""Who may fill a data set's directory: whoever makes what it holds already, or anybody while it holds nothing."""

from pathlib import Path

from wsjax.data.card import Card, settings_of
from wsjax.data.store import shards
from wsjax.data.store.directory import CARD, INDEX, check_version, read_json, write_json
from wsjax.data.store.index import Index, has_index, read_index, read_one_index, shard_name
from wsjax.data.store.locks import is_held
from wsjax.data.store.parts import Part, join_indices, parts_in, remove_indices
from wsjax.data.store.whole import is_free, new_index
from wsjax.errors import json_differences, listing


def is_whole(path: Path, card: Card) -> bool:
    """Whether a directory holds the whole data set of a card; raises ValueError where it holds another one."""
    if not has_index(path):
        return False
    index = read_index(path)
    if index.shards:
        refuse_other_settings(path, card)
    there = shards.present(path, index) == index
    return not index.unfinished and there and bool(Card.from_json(read_json(path / CARD)).statistics)


def refuse_other_settings(path: Path, card: Card) -> None:
    """Raise ValueError where a directory's card has other settings, and DataError where it has another format."""
    found = read_json(path / CARD)
    check_version(path / CARD, found)
    # The Symmetry follows from the network, which says it shorter.
    found, asked = ({**settings_of(c), "symmetry": None} for c in (found, card.to_json()))
    differences = json_differences(found, asked)
    if differences:
        raise ValueError(
            f"{path} holds a data set with other settings: {listing(differences[:6])}. "
            f"Name another directory, or the same settings to go on with that one"
        )


def claim(path: Path, card: Card, networks: int, shard_networks: int) -> Index:
    """The index to go on from, for the one writer of a directory; what stopped parts made becomes its own.

    Returns:
        The index found, if its settings are these, without the shards that were removed; or a new one, where no shard
        is finished and there is nothing to lose. What a kill left half-written is removed.
    """
    if has_index(path):
        index = read_index(path)
        if index.shards:
            refuse_other_settings(path, card)
        index = shards.present(path, index)
        shards.clean(shards.remains(path, index))
        if index.shards:
            if parts_in(path):
                join_indices(path, index)
            return index
        remove_indices(path, parts_in(path))
    else:
        _refuse_strange_files(path)
    return new_index(path, networks, shard_networks, card.to_json())


def claim_part(path: Path, card: Card, networks: int, shard_networks: int, part: Part) -> tuple[Index, list[int]]:
    """A part's own index and the numbers of the shards that it lacks. The part's lock and `CLAIM` must be held.

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
            refuse_other_settings(path, card)
            return _go_on(path, shards.present(path, index), part)
        (path / INDEX).unlink(missing_ok=True)
        remove_indices(path, parts_in(path))
    else:
        _refuse_strange_files(path)
    index = new_index(path, networks, shard_networks, card.to_json(), part.index)
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
        write_json(path / INDEX, index._replace(shards=earlier)._asdict())
        remove_indices(path, others)
    own = index._replace(shards={name: index.shards[name] for name in listed.get(part, {}) if name in index.shards})
    write_json(path / part.index, own._asdict())
    shards.clean(shards.remains_of(path, index, part.shards(index)))
    return own, [number for number in part.shards(index) if shard_name(number) not in index.shards]


def _refuse_strange_files(path: Path) -> None:
    if not is_free(path):
        raise ValueError(f"{path} holds files and no data set; expected an empty or new directory: name another one")
