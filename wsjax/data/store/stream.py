"""Data sets larger than memory, as a Grain pipeline: shuffled, in batches, resumable, split over processes."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from jaxtyping import Array, Int

from wsjax.data.dataset import WeightDataset, check_classes
from wsjax.data.store.lazy import CACHE_SHARDS, StoredDataset, open_dataset
from wsjax.errors import check_finite, check_number, check_seed
from wsjax.typing import Batch, Key

if TYPE_CHECKING:
    import grain

ENDLESS = 2**62
PREFETCH = 2


def stream(
    dataset: str | Path | StoredDataset | WeightDataset,
    batch_size: int,
    *,
    split: str | None = None,
    seed: int | None = 0,
    epochs: int | None = None,
    drop_remainder: bool = False,
    window: int = CACHE_SHARDS,
    process: "grain.sharding.ShardOptions | None" = None,
) -> "grain.IterDataset[Batch]":
    """Batches of a data set in random order, every network once an epoch, as a Grain pipeline.

    A batch is `Batch(weights, label, object)` of NumPy arrays: classes as one-hot float32, targets as they are, and
    the image number as object. Which networks batch n holds is a function of n and these settings alone: an iterator
    resumes by `get_state()` and `set_state()`, or by `set_state({"next_index": step})`, in the same order bit for bit,
    and `grain.checkpoint` saves it beside a training's state.

    Args:
        dataset: a directory, or what `open_dataset` gave, or a data set in memory.
        batch_size: networks in a batch of one process.
        split: only those of `"train"`, `"validation"` or `"test"`.
        seed: of the order; None keeps the order of the data set.
        epochs: how often to go through; None goes on for ever.
        drop_remainder: whether to leave out the networks of each epoch that fill no batch. Otherwise its last batch is
            short; with several processes it may differ by one network between them, and be empty.
        window: shards in memory at once. Networks are mixed with those of as many shards, and the shards among each
            other; a window of all shards makes the order uniform.
        process: which process this is, of how many; None takes JAX's. Each has a part of its own of every epoch, and as
            many batches as the others. The order depends on their number.

    Raises:
        ValueError: sizes below one, an unknown split, no batch at all, or a label that is none of the classes.
        DataError: the data set is unfinished or damaged, or a target is not finite; while iterating, a damaged shard.

    Example:
        `networks` is a data set of SIRENs, 24 of them for training.

        >>> batches = iter(stream(networks, 16, split="train", epochs=1))
        >>> [batch.label.shape for batch in batches]
        [(16, 10), (8, 10)]
    """
    import grain

    for name, value in (("batch_size", batch_size), ("window", window), ("epochs", 1 if epochs is None else epochs)):
        check_number(name, value, low=1, integer=True)
    if seed is not None:
        check_seed("seed", seed)
    if isinstance(dataset, str | Path):
        dataset = open_dataset(dataset)
    if isinstance(dataset, StoredDataset):
        dataset = dataset.with_cache(window)
    part = dataset if split is None else dataset.split(split)
    process = process or grain.sharding.ShardOptions(jax.process_index(), jax.process_count())
    own = (process.shard_index, process.shard_count)
    order = BatchOrder(_parts(part), batch_size, window, seed, drop_remainder or process.drop_remainder, *own)
    if not order.steps:
        raise ValueError(
            f"{part!r} gives no batch of {batch_size} for each of {process.shard_count} processes"
            f"{' of ' + repr(split) if split else ''}: name another split, or a smaller batch"
        )
    total = ENDLESS if epochs is None else epochs * order.steps
    if np.issubdtype(part.label.dtype, np.integer):
        check_classes(part)
    else:
        check_finite(part.label, f"streaming {part.metadata.name}", "Leave those networks out with where().", "label")
    batches = grain.MapDataset.range(total).map(functools.partial(_batch, part, order))
    # One thread reads ahead: several would read the same shards.
    return batches.to_iter_dataset(grain.ReadOptions(num_threads=1, prefetch_buffer_size=PREFETCH))


@dataclass(frozen=True, eq=False)
class BatchOrder:
    """How the rows of a data set become batches: which rows make batch number n, as a function of n alone.

    Every epoch visits the shards in another random order, `window` of them at a time, and the rows of those in random
    order, so a shard is read once an epoch. The permutations derive from `fold_in(key(seed), ...)` of the epoch and the
    window, so there is no state. (Grain's own index shuffle takes as long for ten rows as for 65536.)

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
        for name in ("_windows", "_ends", "_mixed"):
            object.__setattr__(self, name, functools.lru_cache(maxsize=2)(getattr(self, name)))

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies and pickles begin with empty caches, as those belong to this object alone."""
        return BatchOrder, tuple(getattr(self, field.name) for field in fields(self))

    @functools.cached_property
    def rows(self) -> int:
        return sum(map(len, self.parts))

    @functools.cached_property
    def whole_steps(self) -> int:
        """Steps of an epoch in which every process has a full batch."""
        return self.rows // (self.batch_size * self.processes)

    @functools.cached_property
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

    def _windows(self, epoch: int) -> list[np.ndarray]:
        """The shards of each window of an epoch, in this epoch's order."""
        count = len(self.parts)
        order = np.arange(count) if self.seed is None else permuted(self.seed, (0, epoch), count)
        return np.split(order, range(self.window, count, self.window))

    def _ends(self, epoch: int) -> np.ndarray:
        """Where each window of an epoch ends."""
        return np.cumsum([sum(len(self.parts[shard]) for shard in window) for window in self._windows(epoch)])

    def _mixed(self, epoch: int, number: int) -> np.ndarray:
        """The rows of one window, in this epoch's order."""
        rows = np.concatenate([self.parts[shard] for shard in self._windows(epoch)[number]])
        return rows if self.seed is None else rows[permuted(self.seed, (1, epoch, number), len(rows))]


def permuted(seed: int, turn: tuple[int, ...], count: int) -> Int[np.ndarray, " count"]:
    """A permutation of `range(count)`, another one for each turn; the same on every device and in every thread."""
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
    """The processor, so that no stream waits for an accelerator's steps; None where JAX may not use it."""
    try:
        return jax.local_devices(backend="cpu")[0]
    except RuntimeError:
        return None


def _parts(dataset: StoredDataset | WeightDataset) -> Sequence[np.ndarray]:
    """The rows that lie together in one shard."""
    if isinstance(dataset, WeightDataset):
        return [np.arange(len(dataset))]
    shard, _ = dataset.cache.find(dataset.rows)
    order = np.argsort(shard, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(shard[order])) + 1)


def _batch(part: StoredDataset | WeightDataset, order: BatchOrder, number: int) -> Batch:
    dataset = part.take(order.batch(number))
    label, classes = dataset.label, len(dataset.metadata.classes)
    if np.issubdtype(label.dtype, np.integer):
        label = np.eye(classes, dtype=np.float32)[label]
    return Batch(dataset.weights, label, dataset.columns.get("image"))
