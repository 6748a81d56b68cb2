"""What is drawn: the networks that all tests share, and some of another kind."""

from dataclasses import replace

import numpy as np
import pytest

from wsjax import data
from wsjax.networks import Network
from wsjax.typing import Weights


def random_networks(network: Network, count: int) -> Weights:
    """So many stacked networks with NumPy weights."""
    rng, spec = np.random.default_rng(0), network.symmetry
    return spec.unflatten([rng.normal(0, 0.5, (count, *shape)).astype(np.float32) for shape in spec.shapes])


@pytest.fixture(scope="session")
def images():
    return data.limit(data.load_images("digits"), 40)


@pytest.fixture(scope="session")
def dataset(networks):
    return networks


@pytest.fixture(scope="session")
def twins(networks):
    """As if there were two networks of each image."""
    return replace(networks, columns={**networks.columns, "image": np.arange(len(networks), dtype=np.int32) // 2})


@pytest.fixture(scope="session")
def rows_of_mlp():
    """Four ReLU networks of color images that are wider than high, all of one class."""
    net = Network("mlp", (2, 3, 3), activation="relu")
    weights = random_networks(net, 4)
    metadata = data.Metadata("color", net, net.symmetry, image_shape=(4, 6, 3), classes=("one", "two"))
    return data.WeightDataset(weights, np.zeros(4, np.int32), {"split": np.zeros(4, np.int8)}, metadata)
