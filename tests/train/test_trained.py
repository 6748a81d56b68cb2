"""What a training leaves: it loads as it was, and is scored on its own kind of networks only."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from tests.train.helpers import PLAN, TRIALS, bits
from wsjax.train import evaluate, load, load_trained, train
from wsjax.train import trained as module

pytestmark = pytest.mark.xdist_group("train")


def test_loading_gives_the_trained_reader(networks, trained, tmp_path):
    train(networks, PLAN, TRIALS, tmp_path / "run", progress=False)
    loaded = load_trained(tmp_path / "run")
    assert bits(loaded.state) == bits(trained.state)
    assert loaded.card == trained.card
    read = jax.jit(lambda weights: [reader(weights) for reader in (load(tmp_path / "run", 1), trained.reader(1))])
    np.testing.assert_array_equal(*read(networks.network(0)))
    assert evaluate(loaded, networks) == evaluate(trained, networks)


def test_evaluation_is_compiled_once(networks, trained, monkeypatch):
    traced = []
    monkeypatch.setattr(module, "score", lambda *args: traced.append(1) or jax.numpy.float32(0))
    few = networks.take(np.arange(len(networks) - 1))  # shapes that no other test compiled
    for number, settings in enumerate(({}, {"copies": 2, "augment": "flip_signs | noise(std=0.1)"}), start=1):
        for _ in range(3):
            evaluate(trained, few, "train", **settings)
        assert len(traced) == number


def test_networks_of_another_kind_are_not_scored(networks, trained):
    card = networks.card
    for change, named in (
        ({"classes": card.classes[::-1]}, r"classes is \('9'.*; expected \('0'"),
        ({"network": replace(card.network, offset=0.0)}, r"network is Network\(.*offset=0\.0.*offset=0\.5"),
        ({"network": None}, r"network is None; expected Network\("),
    ):
        with pytest.raises(ValueError, match=rf"(?s)digits is not of the kind that the reader was trained on.*{named}"):
            evaluate(trained, replace(networks, card=replace(card, **change)))
    assert evaluate(trained, replace(networks, card=replace(card, name="others"))) == evaluate(trained, networks)
