"""What the tests of the data layer share: the smallest fit that has more than one shard, made once."""

import contextlib
import dataclasses
import gc
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from wsjax.data import Images, Recipe, WeightDataset, fit, limit, load_images
from wsjax.data.fitting import grouped, refill
from wsjax.data.sources import SOURCES
from wsjax.data.store import shards
from wsjax.data.store.index import shard_name
from wsjax.networks import Network
from wsjax.storage import orbax_calls

RECIPE = Recipe(Network("siren", (2, 4, 4, 1), w0=(5.0,), offset=0.5), steps=3, learning_rate=1e-2, slots=4)
"""Every recipe is a program of its own, so that most tests take this one."""
RANGED = dataclasses.replace(RECIPE, coordinate_order="ij", value_range=(-1.0, 1.0))


def copy_of(dataset: WeightDataset) -> WeightDataset:
    """The same data set with weights of its own, for a test that alters some."""
    return dataclasses.replace(dataset, weights=jax.tree.map(np.copy, dataset.weights))


def largest(directory: Path, shard: int) -> Path:
    """The file of a stored shard that holds its numbers."""
    files = [path for path in (directory / "shards" / shard_name(shard)).rglob("*") if path.is_file()]
    return max(files, key=lambda path: path.stat().st_size)


def flip(file: Path) -> None:
    """One bit of it."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 4
    file.write_bytes(content)


@contextlib.contextmanager
def diverging(number: int) -> Iterator[None]:
    """Fits in which the network of one image ends in numbers that are none, by the program of all others."""

    def spoilt(numbers, leaf):
        mine = np.expand_dims(numbers == number, tuple(range(1, leaf.ndim)))
        return jax.device_put(np.where(mine, np.float32(np.nan), leaf), leaf.sharding)

    def group(initialized, points, values, numbers, view, real=grouped.fit_group):
        return jax.tree.map(partial(spoilt, numbers), real(initialized, points, values, numbers, view))

    def slots(initialized, requests, slots, real=refill.advance_slots):
        after, mse = real(initialized, requests, slots)
        weights, mse = jax.tree.map(partial(spoilt, requests.number), (after.weights, mse))
        return after._replace(weights=weights), mse

    with mock.patch.object(grouped, "fit_group", group), mock.patch.object(refill, "advance_slots", slots):
        yield


@pytest.fixture(scope="module", autouse=True)
def few_objects_to_search():
    """Each failure of Orbax is followed by a search for cycles; it leaves out what was there before."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(scope="session")
def recipe() -> Recipe:
    return RECIPE


@pytest.fixture
def tiny_digits(monkeypatch):
    """That recipe is the one of the digits, for the command line."""
    monkeypatch.setitem(SOURCES, "digits", dataclasses.replace(SOURCES["digits"], recipe=RECIPE))


@pytest.fixture(scope="session")
def images() -> Images:
    return limit(load_images("digits"), 10)


@pytest.fixture(scope="session")
def fitted(images, recipe) -> WeightDataset:
    """The fit of those images in memory."""
    return fit(images, recipe=recipe, progress=False)


@pytest.fixture(scope="session")
def views(fitted) -> WeightDataset:
    """Two networks for each of those images, the second somewhat like the first."""
    twice = lambda column: np.repeat(column, 2, axis=0)
    weights = jax.tree.map(twice, fitted.weights)
    for i, leaf in enumerate(jax.tree.leaves(weights)):
        leaf[1::2] += np.random.default_rng(i).normal(0, 0.1, leaf[1::2].shape).astype(np.float32)
    columns = {
        **{name: twice(column) for name, column in fitted.columns.items()},
        "view": np.arange(20, dtype=np.int32) % 2,
    }
    metadata = dataclasses.replace(fitted.metadata, recipe={**(fitted.metadata.recipe or {}), "views": 2})
    rows = np.flatnonzero(columns["split"] == 0)
    return WeightDataset(weights, twice(fitted.label), columns, metadata.with_statistics(weights, rows))


@contextlib.contextmanager
def plain_files() -> Iterator[None]:
    """A shard is one plain file, written in no time."""

    def save(path: Path, arrays: dict[str, np.ndarray]) -> None:
        path.mkdir(parents=True)
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, path / "arrays")

    def load(path: Path, described: dict[str, Any] | None) -> dict[str, Any]:
        arrays = load_file(path / "arrays")
        return {name: ... if described and described[name] is ... else array for name, array in arrays.items()}

    with mock.patch.object(orbax_calls, "save", save), mock.patch.object(orbax_calls, "load", load):
        yield


@pytest.fixture
def plain_shards(stored_once):
    """For laws of who makes which shards, and when."""
    with plain_files():
        yield


@pytest.fixture(scope="module")
def plain_module(stored_once):
    """For files whose laws are not about Orbax; what is stored once for all of them is by Orbax, and comes before."""
    with plain_files():
        yield


@pytest.fixture
def small_shards(monkeypatch):
    """Four networks a shard: ten make three, the last one short."""
    monkeypatch.setattr(shards, "SHARD_NETWORKS", 4)


@pytest.fixture(scope="session")
def stored_once(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "SHARD_NETWORKS", 4)
        path = tmp_path_factory.mktemp("stored") / "set"
        # Not by the fixtures, which a file may have its own of.
        fit(limit(load_images("digits"), 10), recipe=RECIPE, out=path, progress=False)
    return path


@pytest.fixture
def stored(tmp_path, small_shards, stored_once):
    """A fitted data set's directory, a copy for each test."""
    return shutil.copytree(stored_once, tmp_path / "set")
