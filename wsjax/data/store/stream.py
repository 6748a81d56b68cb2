"""Data sets larger than memory, as a Grain pipeline: shuffled, in batches, resumable, split over processes."""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import jax
import numpy as np

from wsjax.data.dataset import WeightDataset, check_classes
from wsjax.data.store.batch_order import BatchOrder
from wsjax.data.store.lazy import CACHE_SHARDS, StoredDataset, open_dataset
from wsjax.errors import check_finite, check_number, check_seed
from wsjax.typing import Batch

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

    Nothing is dropped unless asked: the last batch of an epoch is short where the networks do not fill it. With
    several processes it may differ by one network between them, and be empty: weigh it by its length. With
    `drop_remainder` all batches have one shape, and up to a batch of networks, others in each epoch, is left out.

    Args:
        dataset: a directory, or what `open_dataset` gave, or a data set in memory.
        batch_size: networks in a batch of one process.
        split: only those of `"train"`, `"validation"` or `"test"`.
        seed: of the order; None keeps the order of the data set.
        epochs: how often to go through; None goes on for ever.
        drop_remainder: leave out what fills no batch.
        window: shards in memory at once. Networks are mixed with those of as many shards, and the shards among each
            other; a window of all shards makes the order uniform.
        process: which process this is, of how many; None asks JAX. Each has a part of its own of every epoch, and as
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
    # One thread reads ahead: more would only ask for one another's shards.
    return batches.to_iter_dataset(grain.ReadOptions(num_threads=1, prefetch_buffer_size=PREFETCH))


def _parts(dataset: StoredDataset | WeightDataset) -> Sequence[np.ndarray]:
    """The rows that lie together in one shard."""
    everything = np.arange(len(dataset))
    if isinstance(dataset, WeightDataset):
        return [everything]
    shard, _ = dataset.cache.find(dataset.rows)
    return [everything[shard == number] for number in np.unique(shard)]


def _batch(part: StoredDataset | WeightDataset, order: BatchOrder, number: int) -> Batch:
    dataset = part.take(order.batch(number))
    label, classes = dataset.label, len(dataset.metadata.classes)
    if np.issubdtype(label.dtype, np.integer):
        label = np.eye(classes, dtype=np.float32)[label]
    return Batch(dataset.weights, label, dataset.columns.get("image"))
