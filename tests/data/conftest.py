"""What the tests of the data layer share: the smallest fit that has more than one shard."""

import pytest

from wsjax.data import Images, Recipe, fit_dataset, limit, load_images
from wsjax.data.store import shards
from wsjax.networks import Network


@pytest.fixture(scope="session")
def recipe() -> Recipe:
    return Recipe(Network("siren", (2, 4, 4, 1), w0=(5.0,), offset=0.5), steps=3, learning_rate=1e-2, lanes=4)


@pytest.fixture(scope="session")
def images() -> Images:
    return limit(load_images("digits"), 10)


@pytest.fixture
def small_shards(monkeypatch):
    """Four networks a shard: ten make three, the last one short."""
    monkeypatch.setattr(shards, "SHARD_NETWORKS", 4)


@pytest.fixture
def stored(tmp_path, small_shards, images, recipe):
    """A fitted data set's directory."""
    fit_dataset(images, recipe, tmp_path / "set", progress=False)
    return tmp_path / "set"
