"""Averaged parameters, strengths over a training, and tests on copies of a network."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from tests.train.helpers import SMALL, TRIALS, assert_close, bits
from wsjax.augment import from_spec
from wsjax.data.store import directory
from wsjax.train import Plan, Trained, Trial, evaluate, record, step, train
from wsjax.train.inputs import arrays
from wsjax.train.loop import start
from wsjax.train.pipelines import Pipelines
from wsjax.train.state import Packing, apart, updated
from wsjax.train.step import strengthened

pytestmark = pytest.mark.xdist_group("train")
TWO_STEPS = replace(SMALL, epochs=2, evaluate_every=1, batch_size=64)
"""All 40 networks are one batch."""


def test_the_average_follows_its_recursion(networks):
    plan = replace(SMALL, average=0.3)
    move = jax.jit(jax.vmap(lambda state, gradient: updated(plan, state, gradient, 4)))
    state = start(networks.card, plan, TRIALS)[0]
    expected = jax.tree.map(np.asarray, state.parameters)
    for t in range(4):
        state = move(state, jax.tree.map(lambda x, t=t: np.cos(t + np.asarray(x)), state.parameters))
        d = min(0.3, (1 + t) / (10 + t))
        expected = jax.tree.map(lambda mean, now, d=d: d * mean + (1 - d) * np.asarray(now), expected, state.parameters)
    assert_close(state.average, expected, 1e-6)
    assert bits(state.average) != bits(state.parameters)
    assert state.scored is state.average


def test_strengths_rise_from_nothing_and_fall_from_all(networks):
    pipeline = from_spec(SMALL.augment, networks.symmetry)
    full = np.array(jax.tree.leaves(pipeline))
    for done in (0.0, 0.25, 1.0):
        for strength, share in {"constant": 1.0, "rising": done, "falling": 1 - done}.items():
            found = strengthened(replace(SMALL, strength=strength), pipeline, jax.device_put(np.float32(done)))
            np.testing.assert_allclose(jax.tree.leaves(found), share * full, atol=1e-6, err_msg=f"{strength}, {done}")


def test_every_step_and_every_run_draws_anew_at_the_share_of_the_steps_done(networks, monkeypatch):
    """The augmentation draws the networks, of one class, and parameters hardly move: the loss shows the key.

    Of two steps the first comes at a share of 0, the second at a half, whatever the scan is cut into.
    """
    state, frozen = start(networks.card, TWO_STEPS, [Trial(0, 1e-30), Trial(1, 1e-30)])
    arrays_of_frozen, static = apart(frozen)
    training, validation = (arrays(networks, name) for name in ("train", "validation"))
    training = training._replace(label=np.zeros_like(training.label))
    same = jax.tree.map(lambda x: np.stack([x[0]] * 2) if x.ndim else x, state.parameters)
    state, losses, shares = state._replace(parameters=same), [], []

    def draw(key, batch):
        leaves, structure = jax.tree.flatten(batch.weights)
        drawn = [jax.random.normal(jax.random.fold_in(key, i), x.shape) for i, x in enumerate(leaves)]
        return batch._replace(weights=jax.tree.unflatten(structure, drawn))

    def watched(plan, pipeline, done):
        jax.debug.callback(lambda found: shares.append(float(found)), done)
        return strengthened(plan, pipeline, done)

    monkeypatch.setattr(step, "strengthened", watched)
    for _ in range(2):
        fixed = (TWO_STEPS, static, Packing(), arrays_of_frozen, Pipelines(jax.tree_util.Partial(draw)))
        state, metrics = step.advance(*fixed, state, training, validation, 10)
        losses += np.asarray(metrics.loss).tolist()
    jax.effects_barrier()
    assert len({round(loss, 6) for loss in losses}) == 4, losses
    assert sorted(shares) == [0, 0, 0.5, 0.5]


def test_copies_that_show_the_same_function_leave_a_probe_as_it_was(networks):
    plan = Plan("probe", {"probes": 4, "width": 4})
    state, frozen = start(networks.card, plan, TRIALS)
    probe = Trained(plan, TRIALS, state, frozen, [], networks.card)
    assert evaluate(probe, networks, copies=3, augment="flip_signs") == evaluate(probe, networks)


def test_a_run_recorded_before_there_were_these_settings_goes_on(networks, small, run):
    written = record.read_proved(run / record.RECORD)
    for name in ("trains", "compute", "microbatches", "average", "strength"):
        del written["plan"][name]
    directory.write_json(run / record.RECORD, written)
    assert bits(train(networks, SMALL, TRIALS, run, progress=False).state) == bits(small.state)
    with pytest.raises(
        ValueError, match=r"holds a training with other settings: plan\.average is 0\.0 there and 0\.5 here"
    ):
        train(networks, replace(SMALL, average=0.5), TRIALS, run, progress=False)


def test_copies_that_nothing_moves_and_steps_on_batches_are_refused(networks, small, untyped):
    for copies, augment, message in (
        (4, "", "copies is 4 and augment is empty, so that all copies are the same; expected"),
        (4, "noise | mixup", r"mixup in 'noise \| mixup' works on whole batches; expected steps on single"),
        (0, "", "copies is 0; it must be one whole number in"),
    ):
        with pytest.raises(ValueError, match=message):
            evaluate(small, networks, copies=copies, augment=augment)


def test_settings_out_of_range_are_refused(untyped):
    with pytest.raises(ValueError, match=r"average is 1\.5; it must be one number in \[0, 1\]"):
        Plan(average=1.5)
    with pytest.raises(ValueError, match=r"strength.*'waning'.*constant, rising, falling"):
        Plan(strength="waning")
