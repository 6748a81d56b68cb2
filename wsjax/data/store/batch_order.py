"""The order of a stream: which rows make batch number n, as a function of n alone.

Every epoch visits the shards in another random order, `window` of them at a time, and the rows of those in random
order. So a shard is read once an epoch, and no more than `window` shards are in memory. The permutations derive from
`fold_in(key(seed), ...)` of the epoch and the window, so there is no state. (Grain's own index shuffle takes as long
for ten rows as for 65536.)
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Int

from wsjax.typing import Key


@dataclass(frozen=True, eq=False)
class BatchOrder:
    """How the rows of a data set become batches.

    parts: the rows in each shard; batch_size: rows in a batch of one process; window: shards mixed with each other;
    seed: None keeps the order of `parts`; process, processes: whose part this is, of how many equal ones;
    drop_remainder: whether the rows that fill no batch are left out of their epoch.
    """

    parts: Sequence[Int[np.ndarray, "_"]]
    batch_size: int
    window: int
    seed: int | None
    drop_remainder: bool
    process: int = 0
    processes: int = 1

    def __post_init__(self):
        for name in ("_order", "_ends", "_mixed"):
            object.__setattr__(self, name, functools.lru_cache(maxsize=2)(getattr(self, name)))

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies and pickles remember nothing: what is remembered hangs on this very object."""
        return BatchOrder, tuple(getattr(self, field.name) for field in fields(self))

    @property
    def rows(self) -> int:
        return sum(map(len, self.parts))

    @property
    def whole_steps(self) -> int:
        """Steps of an epoch in which every process has a full batch."""
        return self.rows // (self.batch_size * self.processes)

    @property
    def steps(self) -> int:
        """Steps of an epoch; the same number for every process."""
        rest = self.rows - self.whole_steps * self.batch_size * self.processes
        return self.whole_steps + (rest > 0 and not self.drop_remainder)

    def batch(self, number: int) -> Int[np.ndarray, " batch"]:
        """The rows of this process in batch `number`, counted through all epochs."""
        epoch, step = divmod(number, self.steps)
        # Each process has a range of the epoch's order of its own, so that it reads few of the others' shards.
        whole = self.whole_steps * self.batch_size
        if step < self.whole_steps:
            start = self.process * whole + step * self.batch_size
            return self._between(epoch, start, start + self.batch_size)
        first, rest = self.processes * whole, self.rows - self.processes * whole
        start, stop = (first + rest * (self.process + i) // self.processes for i in (0, 1))
        return self._between(epoch, start, stop)

    def _between(self, epoch: int, start: int, stop: int) -> np.ndarray:
        """Rows at some positions of an epoch's order."""
        ends = self._ends(epoch)
        found = [np.empty(0, np.int64)]
        for number in range(int(np.searchsorted(ends, start, "right")), len(ends)):
            before = int(ends[number - 1]) if number else 0
            if before >= stop:
                break
            found.append(self._mixed(epoch, number)[max(0, start - before) : stop - before])
        return np.concatenate(found)

    def _shards(self, epoch: int, number: int) -> np.ndarray:
        """The shards in one window of an epoch."""
        return self._order(epoch)[number * self.window : (number + 1) * self.window]

    def _order(self, epoch: int) -> np.ndarray:
        """All shards, in this epoch's order."""
        count = len(self.parts)
        return np.arange(count) if self.seed is None else permuted(self.seed, (0, epoch), count)

    def _ends(self, epoch: int) -> np.ndarray:
        """Where each window of an epoch ends."""
        windows = range(-(-len(self.parts) // self.window))
        return np.cumsum([sum(len(self.parts[shard]) for shard in self._shards(epoch, n)) for n in windows])

    def _mixed(self, epoch: int, number: int) -> np.ndarray:
        """The rows of one window, in this epoch's order."""
        rows = np.concatenate([self.parts[shard] for shard in self._shards(epoch, number)])
        return rows if self.seed is None else rows[permuted(self.seed, (1, epoch, number), len(rows))]


def permuted(seed: int, turn: tuple[int, ...], count: int) -> Int[np.ndarray, " count"]:
    """A permutation of `range(count)`, another one for each turn; the same on every device and in every thread.

    Example:
        >>> sorted(permuted(0, (3, 1), 4).tolist())
        [0, 1, 2, 3]
    """
    with jax.default_device(_host()):
        key = jax.random.key(seed, impl="threefry2x32")
        for number in turn:
            key = jax.random.fold_in(key, number)
        # Of a few lengths only, each of which compiles once.
        bits = np.asarray(_bits(key, 1 << max(6, (count - 1).bit_length())))
    return np.lexsort(bits[:, :count])


@functools.partial(jax.jit, static_argnums=1)
def _bits(key: Key, count: int) -> Array:
    return jax.random.bits(key, (2, count))


def _host() -> Any:
    """The processor, so that no stream waits for an accelerator's steps; None where JAX was told to use none."""
    try:
        return jax.local_devices(backend="cpu")[0]
    except RuntimeError:
        return None
