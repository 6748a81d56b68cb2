"""Averaged parameters, strengths over a training, and tests on augmented copies of a network."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from tests.train.helpers import RUNS, SMALL, assert_close, begun, bits, mlp
from wsjax.augment import parse_batch
from wsjax.models import NamedReader
from wsjax.train import Result, Run, TrainConfig, evaluate, step
from wsjax.train.model import apart
from wsjax.train.source import Pipelines, resident
from wsjax.train.state import Packing, updated
from wsjax.train.step import strengthened
from wsjax.train.task import task_for

TWO_STEPS = replace(SMALL, epochs=2, evaluate_every=1, batch_size=64)
"""All 40 networks are one batch."""


def test_the_average_follows_its_recursion(networks):
    config = replace(SMALL, ema_decay=0.3)
    move = jax.jit(jax.vmap(lambda state, gradient: updated(config, state, gradient, 4)))
    state = begun(mlp(networks), config)[0]
    expected = jax.tree.map(np.asarray, state.parameters)
    for t in range(4):
        state = move(state, jax.tree.map(lambda x, t=t: np.cos(t + np.asarray(x)), state.parameters))
        d = min(0.3, (1 + t) / (10 + t))
        expected = jax.tree.map(lambda mean, now, d=d: d * mean + (1 - d) * np.asarray(now), expected, state.parameters)
    assert_close(state.average, expected, 1e-6)
    assert bits(state.average) != bits(state.parameters)
    assert state.scored is state.average


def test_strengths_rise_from_zero_and_fall_to_zero(networks):
    pipeline = parse_batch(SMALL.augment, networks.symmetry)
    full = np.array(jax.tree.leaves(pipeline))
    for done in (0.0, 0.25, 1.0):
        for schedule, fraction in {"constant": 1.0, "rising": done, "falling": 1 - done}.items():
            found = strengthened(replace(SMALL, schedule=schedule), pipeline, jax.device_put(np.float32(done)))
            np.testing.assert_allclose(
                jax.tree.leaves(found), fraction * full, atol=1e-6, err_msg=f"{schedule}, {done}"
            )


def test_every_step_and_every_run_draws_anew_at_the_fraction_of_the_steps_done(networks, monkeypatch):
    """The augmentation draws the networks, of one class, and parameters hardly move: the loss shows the key.

    Of two steps the first comes at a fraction of 0, the second at a half, whatever the scan is cut into.
    """
    state, frozen = begun(mlp(networks), TWO_STEPS, [Run(0, 1e-30), Run(1, 1e-30)])
    arrays_of_frozen, static = apart(frozen)
    task = task_for(networks)
    training, validation = (resident(networks, name, task) for name in ("train", "validation"))
    training = training._replace(label=np.zeros_like(training.label))
    same = jax.tree.map(lambda x: np.stack([x[0]] * 2), state.parameters)
    state, losses, fractions = state._replace(parameters=same), [], []

    def draw(key, batch):
        leaves, structure = jax.tree.flatten(batch.weights)
        drawn = [jax.random.normal(jax.random.fold_in(key, i), x.shape) for i, x in enumerate(leaves)]
        return batch._replace(weights=jax.tree.unflatten(structure, drawn))

    def watched(config, pipeline, done):
        jax.debug.callback(lambda found: fractions.append(float(found)), done)
        return strengthened(config, pipeline, done)

    monkeypatch.setattr(step, "strengthened", watched)
    for _ in range(2):
        fixed = (TWO_STEPS, task, static, Packing(), arrays_of_frozen, Pipelines(jax.tree_util.Partial(draw)))
        state, metrics = step.advance(*fixed, state, training, validation, None)
        losses += np.asarray(metrics.loss).tolist()
    jax.effects_barrier()
    assert len({round(loss, 6) for loss in losses}) == 4, losses
    assert sorted(fractions) == [0, 0, 0.5, 0.5]


def test_copies_of_one_function_leave_a_probe_as_it_was(networks):
    state, frozen = begun(NamedReader("probe", networks.metadata, {"probes": 4, "width": 4}))
    probe = Result(TrainConfig(), RUNS, task_for(networks), state, frozen, [], networks.metadata)
    assert evaluate(probe, networks, copies=3, augment="flip_signs") == evaluate(probe, networks)


def test_copies_without_an_augmentation_and_steps_on_batches_are_refused(networks, small, untyped):
    for copies, augment, message in (
        (4, "", "copies is 4 and augment is empty, so that all copies are the same; expected"),
        (4, "noise | mixup", r"mixup in 'noise \| mixup' works on whole batches; expected steps on single"),
        (0, "", "copies is 0; it must be one integer in"),
    ):
        with pytest.raises(ValueError, match=message):
            evaluate(small, networks, copies=copies, augment=augment)
