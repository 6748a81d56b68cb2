"""The shards that were read last, of one stored data set or of several laid end to end."""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from wsjax.data.store import shards
from wsjax.data.store.index import Index


class ShardCache:
    """The shards read last, checked; at most `size` of them in memory. Threads may share it.

    places: the directories, each with its index; their networks and their shards are numbered through, in that order.
    """

    def __init__(self, places: Sequence[tuple[Path, Index]], size: int):
        self.places, self.size = tuple(places), size
        self.reads = 0
        self._networks = np.cumsum([0, *(index.networks for _, index in self.places)])
        self._shards = np.cumsum([0, *(index.shard_count for _, index in self.places)])
        self._lock = threading.Lock()
        self._held: OrderedDict[int, dict[str, np.ndarray]] = OrderedDict()

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies and pickles, which workers get, begin with an empty memory and a lock of their own."""
        return ShardCache, (self.places, self.size)

    @property
    def index(self) -> Index:
        """That of the first directory: all hold the same kinds of arrays."""
        return self.places[0][1]

    @property
    def name(self) -> str:
        """The directories, in words."""
        more = len(self.places) - 1
        return f"{self.places[0][0]}{f' and {more} more' * bool(more)}"

    def start_of(self, path: Path) -> int:
        """The number of a directory's first network."""
        return int(self._networks[[place for place, _ in self.places].index(path)])

    def find(self, rows: Int[np.ndarray, " rows"]) -> tuple[Int[np.ndarray, " rows"], Int[np.ndarray, " rows"]]:
        """The shard of each network, and its row there."""
        place = np.searchsorted(self._networks, rows, "right") - 1
        each = np.array([index.shard_networks for _, index in self.places])[place]
        shard, within = np.divmod(rows - self._networks[place], each)
        return self._shards[place] + shard, within

    def holds(self, number: int) -> bool:
        return number in self._held

    def shard(self, number: int) -> dict[str, np.ndarray]:
        """A shard's arrays; raises as `read_shard` does."""
        with self._lock:
            if number not in self._held:
                # Room is made first, so that no more than `size` are ever held.
                while len(self._held) >= self.size:
                    self._held.popitem(last=False)
                place = int(np.searchsorted(self._shards, number, "right")) - 1
                self._held[number] = shards.read_shard(*self.places[place], number - int(self._shards[place]))
                self.reads += 1
            self._held.move_to_end(number)
            return self._held[number]
