"""The gradient in microbatches is the whole batch's."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.train.helpers import PLAN, SMALL, TRIALS
from wsjax.devices import data_mesh
from wsjax.train import Plan, train
from wsjax.train.gradient import value_and_mean_gradient


@pytest.mark.parametrize("microbatches", [1, 2, 3, 6])
def test_any_cut_gives_the_gradient_of_the_whole_batch(microbatches: int, getkey):
    with jax.enable_x64(True):
        x, y = (jax.random.normal(getkey(), (6, 3), jnp.float64) for _ in range(2))
        parameters = {"w": jax.random.normal(getkey(), (1, 3), jnp.float64)}

        def loss(p, batch):
            return jnp.mean(jnp.sin(p["w"] * batch[0]) * batch[1])

        value, gradient = jax.value_and_grad(loss)(parameters, (x, y))
        found, parts = value_and_mean_gradient(loss, parameters, (x, y), microbatches)
        np.testing.assert_allclose(found, value, rtol=1e-12)
        np.testing.assert_allclose(parts["w"], gradient["w"], rtol=1e-12)


def test_a_training_in_microbatches_takes_the_same_steps(networks, trained):
    """Augmentation and dropout draw for the whole batch, so only the rounding of sums differs."""
    parts = train(networks, replace(PLAN, microbatches=4), TRIALS, progress=False)
    assert int(parts.state.step[0]) >= 10
    for a, b in zip(jax.tree.leaves(parts.state.parameters), jax.tree.leaves(trained.state.parameters), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)
    for found, known in zip(parts.history, trained.history, strict=True):
        np.testing.assert_allclose(found["loss"], known["loss"], rtol=1e-4)


def test_a_microbatch_of_a_spread_batch_takes_the_same_steps(networks):
    plan = replace(SMALL, microbatches=2)
    alone, spread = (train(networks, plan, mesh=mesh, progress=False).state for mesh in (None, data_mesh(4)))
    for a, b in zip(jax.tree.leaves(alone.parameters), jax.tree.leaves(spread.parameters), strict=True):
        np.testing.assert_allclose(a, np.asarray(b), atol=1e-5)


def test_a_step_in_microbatches_holds_less_at_once():
    def loss(parameters, batch):
        hidden = batch
        for _ in range(16):
            hidden = jnp.tanh(hidden @ parameters)
        return jnp.mean(hidden)

    def temporary(microbatches: int) -> int:
        step = jax.jit(lambda p, x: value_and_mean_gradient(loss, p, x, microbatches))
        analysis = step.lower(jnp.ones((8, 8)), jnp.ones((512, 8))).compile().memory_analysis()
        assert analysis is not None
        return analysis.temp_size_in_bytes

    assert 4 * temporary(8) < temporary(1)


def test_microbatches_that_do_not_divide_the_batch_are_refused(untyped):
    with pytest.raises(ValueError, match="batch_size is 128 and microbatches 3; the first must be a multiple"):
        Plan(microbatches=3)
    with pytest.raises(ValueError, match="microbatches is 0; it must be one number in"):
        Plan(microbatches=0)
