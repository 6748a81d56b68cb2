"""A few tiny networks, fitted for two steps: enough to draw."""

import jax
import numpy as np
import pytest

from wsjax import data
from wsjax.networks import Network


@pytest.fixture(scope="session")
def images():
    return data.limit(data.load_images("digits"), 12)


@pytest.fixture(scope="session")
def dataset(images):
    """Two networks of each image, one after the other."""
    recipe = data.Recipe(Network("siren", (2, 4, 1), w0=(5.0,), offset=0.5), steps=2, lanes=4, views=2)
    return data.fit_dataset_in_memory(images, recipe, workers=1, progress=False)


@pytest.fixture(scope="session")
def rows_of_mlp():
    """Four ReLU networks of colour images that are wider than high, all of one class."""
    net = Network("mlp", (2, 3, 3), activation="relu")
    weights = jax.vmap(net.init)(jax.random.split(jax.random.key(0), 4))
    card = data.Card("colour", net, net.symmetry, image_shape=(4, 6, 3), classes=("one", "two"))
    return data.WeightDataset(weights, np.zeros(4, np.int32), {"split": np.zeros(4, np.int8)}, card)
