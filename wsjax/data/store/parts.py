"""Several processes fill one data set's directory: each makes a part, a range of its shards, and lists it by itself."""

import re
from dataclasses import dataclass
from pathlib import Path

from wsjax.data.store.index import INDEX, PART_INDICES, Index
from wsjax.errors import check_number, fields_as_python, listing
from wsjax.storage.files import write_checked_json

PART_LOCKS, PARTS_LOCK = "lock-*-of-*", "lock-parts"


@dataclass(frozen=True, order=True)
class Part:
    """One of several equal parts of a data set that is being made, counted from 1."""

    number: int
    count: int

    def __post_init__(self):
        fields_as_python(self)
        check_number("the count of parts", self.count, low=1, integer=True)
        check_number("the number of a part", self.number, low=1, high=self.count, integer=True)

    @classmethod
    def parse(cls, text: str) -> "Part":
        """The part that a user writes as `1/4`. Raises ValueError for other texts."""
        if not re.fullmatch(r"\d+/\d+", text):
            raise ValueError(f"part is {text!r}; expected its number, from 1, and how many there are, such as 1/4")
        number, count = map(int, text.split("/"))
        return cls(number, count)

    def __str__(self) -> str:
        return f"part {self.number} of {self.count}"

    @property
    def index(self) -> str:
        """The name of its index's file."""
        return f"index-{self.number}-of-{self.count}.json"

    @property
    def lock(self) -> str:
        """The name of its lock's file."""
        return f"lock-{self.number}-of-{self.count}"

    def shards(self, index: Index) -> range:
        """The numbers of its shards; none where there are more parts than shards."""
        start, stop = (index.shard_count * i // self.count for i in (self.number - 1, self.number))
        return range(start, stop)


def parts_in(path: Path) -> list[Part]:
    """The parts that a directory lists and that are not joined yet."""
    return sorted(Part(*map(int, re.findall(r"\d+", file.name))) for file in path.glob(PART_INDICES))


def missing_parts(path: Path, index: Index) -> list[Part]:
    """The parts, of as many as the directory's are, that have shards yet to be made."""
    # A kill in the middle of a change from one number of parts to another leaves both.
    count = max((part.count for part in parts_in(path)), default=0)
    missing = set(index.unfinished)
    return [part for i in range(count) if not missing.isdisjoint((part := Part(i + 1, count)).shards(index))]


def join_indices(path: Path, index: Index) -> None:
    """Put what all parts list into the one index, and remove theirs and their locks. No part may be at work."""
    write_checked_json(path / INDEX, index._asdict())
    remove_indices(path, parts_in(path))
    for file in [*path.glob(PART_LOCKS), path / PARTS_LOCK]:
        file.unlink(missing_ok=True)


def remove_indices(path: Path, parts: list[Part]) -> None:
    """Remove the indices of some parts; their shards stay."""
    for part in parts:
        (path / part.index).unlink(missing_ok=True)


def way_on(path: Path, index: Index) -> str | None:
    """What to do about a directory whose parts are not joined; None for one that is not in parts."""
    if parts := missing_parts(path, index):
        one = f"--part {parts[0].number}/{parts[0].count}"
        return f"{named(parts)} missing: give the same command for each, such as {one}, or once without --part"
    return "its parts are complete and not joined yet: give the same fit again to join them" if parts_in(path) else None


def named(parts: list[Part]) -> str:
    """Some of the parts in words, as in "parts 1, 3 of 4 are"."""
    numbers = listing(part.number for part in parts)
    return f"part{'s' * (len(parts) > 1)} {numbers} of {parts[0].count} {'are' if len(parts) > 1 else 'is'}"
