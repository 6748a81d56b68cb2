"""What a training leaves: it loads as it was, and is scored on its own kind of networks only."""

import json
from dataclasses import replace
from typing import Any

import jax
import numpy as np
import pytest

from tests.train.helpers import PLAN, TRIALS, bits
from wsjax.errors import DataError
from wsjax.train import Plan, Trial, evaluate, load, load_trained, train
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


def test_a_run_that_there_is_not_is_refused(trained):
    for run in (2, 7, -3):
        with pytest.raises(IndexError, match=rf"there is no run {run}; expected 0 to 1, or -2 to -1 from the end"):
            trained.reader(run)


def test_a_run_loads_under_other_settings_of_jax(networks, run):
    expected, key = bits(load_trained(run).state), np.asarray(jax.random.key_data(load_trained(run).state.key))
    weights = networks.network(0)
    plain = np.asarray(load(run)(weights))
    for settings in (jax.enable_x64(True), jax.default_prng_impl("rbg")):
        with settings:
            found = load_trained(run)
            assert bits(found.state) == expected
            np.testing.assert_array_equal(jax.random.key_data(found.state.key), key)
            np.testing.assert_allclose(found.reader()(weights), plain, atol=1e-6)


def test_networks_that_are_not_finite_are_not_scored(networks, trained):
    broken = jax.tree.map(np.array, networks.weights)
    broken[0].kernel[networks.columns["split"] == 2] = np.nan
    with pytest.raises(DataError, match=r"the split 'test' of digits: weights\[0\]\.kernel is not finite"):
        evaluate(trained, replace(networks, weights=broken))


def test_settings_take_numpys_numbers_and_seeds_fit_32_bits(untyped):
    number: Any = lambda kind, value: kind(value)  # settings are declared as Python's
    trial = Trial(number(np.int64, 3), number(np.float32, 0.25), augment=None)
    epochs = {"epochs": number(np.int32, 4), "evaluate_every": number(np.int8, 2)}
    plan = Plan("mlp", {"width": np.int64(2)}, **epochs)
    assert json.loads(json.dumps([trial.to_json(), plan.to_json()]))[0]["learning_rate"] == 0.25
    assert (type(trial.seed), type(plan.epochs), type(plan.reader_settings.width)) == (int, int, int)
    seeds: tuple[Any, ...] = (-1, 2**32, 0.5)
    for seed in seeds:
        with pytest.raises(ValueError, match=r"seed is .*; it must be one whole number in \[0, 4\.29497e\+09\]"):
            Trial(seed)
