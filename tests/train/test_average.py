"""Averaged parameters, strengths over a training, and tests on copies of a network."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.train.helpers import PLAN, SMALL, TRIALS, bits
from wsjax.augment import from_spec
from wsjax.data.store import directory
from wsjax.train import Plan, evaluate, journal, record, train
from wsjax.train import trained as scored
from wsjax.train.inputs import arrays
from wsjax.train.loop import start
from wsjax.train.state import apart, updated
from wsjax.train.step import advance

AVERAGED = replace(PLAN, average=0.6)
ONE_STEP = replace(SMALL, epochs=1, evaluate_every=1, batch_size=64, augment="noise(std=0.5)")
"""A training of a single step: all 40 networks are one batch."""


def test_the_average_follows_its_recursion(networks):
    plan = replace(SMALL, average=0.3)
    state = jax.tree.map(lambda x: x[0], start(networks.card, plan, TRIALS[:1])[0])
    expected = jax.tree.map(np.asarray, state.parameters)
    for t in range(4):
        gradient = jax.tree.map(lambda x, t=t: jnp.cos(t + x), state.parameters)
        state = updated(plan, state, gradient, 4)
        d = min(0.3, (1 + t) / (10 + t))
        expected = jax.tree.map(lambda mean, now, d=d: d * mean + (1 - d) * np.asarray(now), expected, state.parameters)
    for found, wanted in zip(jax.tree.leaves(state.average), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-6)
    assert bits(state.average) != bits(state.parameters)
    assert state.scored is state.average


def test_averaging_changes_what_is_kept_and_not_what_is_trained(networks, trained):
    averaged = train(networks, AVERAGED, TRIALS, progress=False)
    assert bits(averaged.state.parameters) == bits(trained.state.parameters)
    assert trained.state.average is None
    assert bits(averaged.state.best) != bits(trained.state.best)
    assert bits(averaged.reader(0)) == bits(train(networks, AVERAGED, TRIALS, progress=False).reader(0))


def test_a_resumed_average_is_the_unbroken_one_bit_for_bit(networks, tmp_path, monkeypatch):
    whole = train(networks, AVERAGED, TRIALS, progress=False)
    write = journal.Journal.write

    def stops(self, epoch, *args, **kwargs):
        write(self, epoch, *args, **kwargs)
        if epoch == 4:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(journal.Journal, "write", stops)
        with pytest.raises(KeyboardInterrupt):
            train(networks, AVERAGED, TRIALS, tmp_path, progress=False, checkpoint_seconds=0.0)
    assert bits(train(networks, AVERAGED, TRIALS, tmp_path, progress=False).state) == bits(whole.state)


def test_strengths_rise_from_nothing_and_fall_from_all(networks):
    def after(**settings) -> list[bytes]:
        return bits(train(networks, replace(ONE_STEP, **settings), TRIALS[:1], progress=False).state.parameters)

    assert after(strength="rising") == after(augment="")
    assert after(strength="falling") == after()
    assert after() != after(augment="")


def test_a_strength_is_the_share_of_the_steps_done(networks):
    """Of two steps the first comes at a share of 0, the second at a half, whatever the scan is cut into."""
    plan = replace(ONE_STEP, epochs=2)
    state, frozen = start(networks.card, plan, TRIALS[:1])
    arrays_of_frozen, static = apart(frozen)
    training, validation = (arrays(networks, name) for name in ("train", "validation"))
    for spec in ("", "noise(std=0.25)"):
        pipeline = from_spec(spec, networks.symmetry)
        fixed = (plan, static, arrays_of_frozen, pipeline)
        state, _ = advance(*fixed, states=state, train=training, validation=validation, classes=10)
    rising = replace(plan, strength="rising")
    found = train(networks, rising, TRIALS[:1], progress=False).state.parameters
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(state.parameters), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_copies_that_show_the_same_function_leave_a_probe_as_it_was(networks):
    plan = Plan("probe", {"probes": 4, "width": 4}, epochs=2, evaluate_every=2, batch_size=16)
    probe = train(networks, plan, progress=False)
    assert evaluate(probe, networks, copies=3, augment="flip_signs") == evaluate(probe, networks)


def test_copies_are_compiled_once(networks, trained, monkeypatch):
    traced = []
    monkeypatch.setattr(scored, "score", lambda *args: traced.append(1) or jnp.float32(0))
    few = networks.take(np.arange(len(networks) - 2))  # shapes that no other test compiled
    for _ in range(3):
        evaluate(trained, few, "train", copies=2, augment="flip_signs | noise(std=0.1)")
    assert len(traced) == 1


def test_a_run_recorded_before_there_were_these_settings_goes_on(networks, tmp_path):
    whole = train(networks, SMALL, TRIALS, tmp_path, progress=False)
    written = record.read_proved(tmp_path / record.RECORD)
    for name in ("average", "strength"):
        del written["plan"][name]
    directory.write_json(tmp_path / record.RECORD, written)
    assert bits(train(networks, SMALL, TRIALS, tmp_path, progress=False).state) == bits(whole.state)
    with pytest.raises(
        ValueError, match=r"holds a training with other settings: plan\.average is 0\.0 there and 0\.5 here"
    ):
        train(networks, replace(SMALL, average=0.5), TRIALS, tmp_path, progress=False)


def test_copies_that_nothing_moves_and_steps_on_batches_are_refused(networks, trained, untyped):
    with pytest.raises(ValueError, match="copies is 4 and augment is empty, so that all copies are the same; expected"):
        evaluate(trained, networks, copies=4)
    with pytest.raises(ValueError, match=r"mixup in 'noise \| mixup' works on whole batches; expected steps on single"):
        evaluate(trained, networks, copies=4, augment="noise | mixup")
    with pytest.raises(ValueError, match="copies is 0; it must be one whole number in"):
        evaluate(trained, networks, copies=0)


def test_settings_out_of_range_are_refused(untyped):
    with pytest.raises(ValueError, match=r"average is 1\.5; it must be one number in \[0, 1\]"):
        Plan(average=1.5)
    with pytest.raises(ValueError, match=r"strength.*'waning'.*constant, rising, falling"):
        Plan(strength="waning")
