"""A producer of networks that costs nothing: each is a function of its number."""

from collections.abc import Callable, Generator

import jax
import numpy as np

from wsjax.data import Metadata
from wsjax.data.store.job import Missing, Networks
from wsjax.networks import Network

NETWORK = Network("siren", (2, 3, 1))
METADATA = Metadata("numbered", NETWORK, NETWORK.symmetry, classes=("even", "odd"), recipe={"steps": 3})
COUNT, EACH = 13, 3  # five shards, the last one short


class Killed(BaseException):
    """What a kill is to those who write files: nothing of theirs runs after it but what the system does."""


def networks(numbers: np.ndarray) -> Networks:
    numbers = np.asarray(numbers)
    value = numbers.astype(np.float32)
    leaves = [
        np.sin(value.reshape(-1, *[1] * len(shape)) + np.arange(np.prod(shape), dtype=np.float32).reshape(shape))
        for shape in NETWORK.symmetry.shapes
    ]
    columns = {"image": numbers.astype(np.int32), "split": (numbers % 3).astype(np.int8)}
    return Networks(numbers, NETWORK.symmetry.unflatten(leaves), (numbers % 2).astype(np.int32), columns)


class Producer:
    """Makes what is missing in pieces of some size, in order or shuffled; remembers what it was asked for and made."""

    def __init__(self, size: int = 2, seed: int | None = None, before: Callable[[int], object] = lambda piece: None):
        self.size, self.seed, self.before = size, seed, before
        self.asked: list[int] = []
        self.made: list[int] = []
        self.done: list[int] = []
        self.closed = False

    def __call__(self, missing: Missing) -> Generator[Networks]:
        numbers = np.concatenate([np.empty(0, int), *missing.shards])
        self.asked += numbers.tolist()
        self.done.append(missing.done)
        if self.seed is not None:
            numbers = np.random.default_rng(self.seed).permutation(numbers)
        try:
            for piece, start in enumerate(range(0, len(numbers), self.size)):
                self.before(piece)
                self.made += numbers[start : start + self.size].tolist()
                yield networks(numbers[start : start + self.size])
        finally:
            self.closed = True


def nothing(missing: Missing) -> Generator[Networks]:
    """For directories that lack none."""
    raise AssertionError(f"asked for {missing}")


def assert_all_there(dataset, count: int = COUNT) -> None:
    expected = networks(np.arange(count))
    for found, wanted in zip(jax.tree.leaves(dataset.weights), jax.tree.leaves(expected.weights), strict=True):
        np.testing.assert_array_equal(found, wanted)
    np.testing.assert_array_equal(dataset.label, expected.label)
    for name, column in expected.columns.items():
        np.testing.assert_array_equal(dataset.columns[name], column)
