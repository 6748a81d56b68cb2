"""A small data set that every training test shares, 40 networks fitted once, and what one training makes of it."""

import pytest

from tests.train.helpers import PLAN, TRIALS
from wsjax import data
from wsjax.networks import Network
from wsjax.train import Trained, metrics, train


@pytest.fixture(scope="session")
def networks() -> data.WeightDataset:
    recipe = data.Recipe(Network("siren", (2, 4, 4, 1), w0=(3.0,), offset=0.5), steps=20, learning_rate=2e-2, lanes=8)
    images = data.limit(data.load_images("digits"), 40)
    return data.fit_dataset_in_memory(images, recipe, progress=False)


@pytest.fixture(scope="session")
def trained(networks) -> Trained:
    return train(networks, PLAN, TRIALS, progress=False)


@pytest.fixture
def after_evaluation(monkeypatch):
    """`after_evaluation(2, f)` calls f once the second evaluation is written down, before its checkpoint."""
    append, calls = metrics.append, []

    def watch(number, then):
        def appended(path, records):
            append(path, records)
            calls.append(records[0]["epoch"])
            if len(calls) == number:
                monkeypatch.undo()
                then()

        monkeypatch.setattr(metrics, "append", appended)
        return calls

    return watch
