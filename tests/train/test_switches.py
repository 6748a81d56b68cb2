"""What JAX's users switch on: a training goes through it, and gives what it gives without where that may be."""

import copy
import pickle
import subprocess
import sys
from dataclasses import replace

import jax
import numpy as np
import pytest

from tests.train.helpers import SMALL, assert_close, bits, trained_on
from wsjax.train import Contrastive, TrainConfig, evaluate, load
from wsjax.train.contrastive import features_of

PLAIN = TrainConfig(epochs=1, batch_size=64)
"""One step."""


def test_debug_nans_finds_none(networks, small):
    with jax.debug_nans(True):
        found = trained_on(networks)
        scores = evaluate(found, networks)
        learned = trained_on(networks, replace(SMALL, epochs=12, evaluate_every=4), task=Contrastive())
    assert bits(found.state) == bits(small.state)
    assert scores == evaluate(small, networks)
    assert np.isfinite(learned.history[-1]["loss"])


@pytest.mark.slow
def test_without_compilation_a_step_is_the_same_up_to_rounding(networks):
    few = networks.take(np.concatenate([np.flatnonzero(networks.columns["split"] == n)[:4] for n in range(3)]))
    expected = trained_on(few, PLAIN)
    with jax.disable_jit():
        found = trained_on(few, PLAIN)
        scores = evaluate(found, few)
        features = features_of(found.model(), few.weights)
    assert_close(found.state.parameters, expected.state.parameters, 1e-6)
    np.testing.assert_allclose(scores, evaluate(expected, few), atol=1e-6)
    np.testing.assert_allclose(features, features_of(expected.model(), few.weights), atol=1e-6)


def test_a_training_under_other_settings_loads_under_any_and_goes_on_under_its_own_alone(networks, tmp_path):
    with (
        jax.enable_x64(True),
        jax.default_prng_impl("unsafe_rbg"),
        jax.numpy_dtype_promotion("standard"),
        jax.numpy_rank_promotion("allow"),
    ):
        expected = trained_on(networks, PLAIN, out=tmp_path)
        assert {leaf.dtype for leaf in jax.tree.leaves(expected.state.parameters)} == {np.dtype(np.float64)}
        assert bits(trained_on(networks, PLAIN, out=tmp_path).state) == bits(expected.state)
    assert bits(load(tmp_path).state) == bits(expected.state)
    named = (
        r"other settings: jax\.default_prng_impl is 'unsafe_rbg' there and 'threefry2x32' here, jax\.enable_x64 is True"
    )
    with pytest.raises(ValueError, match=named):
        trained_on(networks, PLAIN, out=tmp_path)


def test_keys_of_before_draw_as_typed_ones_do(networks, small):
    keys = jax.random.key(3), jax.random.PRNGKey(3)
    read = jax.jit(lambda weights: [small.model()(weights, key=key, dropout_rate=0.5) for key in keys])
    typed, legacy = read(networks.network(0))
    np.testing.assert_array_equal(typed, legacy)


def test_a_state_may_be_donated_and_one_array_is_never_two_leaves_of_it(small):
    state = pickle.loads(pickle.dumps(small.state))
    moved = jax.jit(lambda state: jax.tree.map(lambda leaf: leaf, state), donate_argnums=0)(jax.device_put(state))
    assert bits(moved) == bits(small.state)
    for own in (small.state.parameters, small.state.best, small.state.optimizer):
        assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(own))
    places = [leaf.unsafe_buffer_pointer() for leaf in jax.tree.leaves(small.state._replace(key=None))]
    assert len(set(places)) == len(places)


def test_what_a_training_leaves_pickles_and_copies(networks, small, run):
    pickled = lambda value: pickle.loads(pickle.dumps(value))
    for other in (pickled(small), copy.deepcopy(small), pickled(load(run))):
        assert bits(other.state) == bits(small.state)
        assert (other.config, other.runs, other.task) == (small.config, small.runs, small.task)
        assert evaluate(other, networks) == evaluate(small, networks)
    model, weights = pickled(load(run).model(1)), networks.network(0)
    np.testing.assert_array_equal(jax.jit(lambda w: model(w))(weights), jax.jit(lambda w: small.model(1)(w))(weights))


@pytest.mark.slow
def test_a_pickled_training_is_scored_by_another_process(networks, small, tmp_path):
    (tmp_path / "both").write_bytes(pickle.dumps((small, networks)))
    code = (
        "import pickle, sys; from wsjax.train import evaluate; print(evaluate(*pickle.load(open(sys.argv[1], 'rb'))))"
    )
    found = subprocess.run([sys.executable, "-c", code, tmp_path / "both"], capture_output=True, text=True, check=True)
    np.testing.assert_allclose(eval(found.stdout), evaluate(small, networks), atol=1e-6)
