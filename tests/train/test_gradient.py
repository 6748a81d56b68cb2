"""The gradient in microbatches is the whole batch's."""

import sys
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.train.helpers import SMALL, assert_close, trained_on
from wsjax.train import TrainConfig, fit
from wsjax.train.state import Packing
from wsjax.train.step import value_and_mean_gradient

CUT = replace(SMALL, microbatches=4)


def test_any_cut_gives_the_gradient_of_the_whole_batch():
    rng = np.random.default_rng(0)
    batch, parameters = tuple(rng.normal(size=(2, 6, 3))), {"w": rng.normal(size=(1, 3))}
    loss = lambda p, batch: jnp.mean(jnp.sin(p["w"] * batch[0]) * batch[1])
    cuts = lambda p, batch: [value_and_mean_gradient(loss, p, batch, m) for m in (1, 2, 3, 6)]
    with jax.enable_x64(True):
        expected, *found = jax.jit(lambda *of: [jax.value_and_grad(loss)(*of), *cuts(*of)])(parameters, batch)
        for value, gradient in found:
            np.testing.assert_allclose(value, expected[0], rtol=1e-12)
            np.testing.assert_allclose(gradient["w"], expected[1]["w"], rtol=1e-12)


def test_microbatches_and_arrays_that_are_not_packed_take_the_same_steps(networks, small, monkeypatch):
    """Augmentation and dropout draw for the whole batch, so only the rounding of sums differs."""
    monkeypatch.setattr(sys.modules[fit.__module__], "packing_of", lambda config, states: Packing())
    parts = trained_on(networks, CUT).state
    assert int(parts.step[0]) >= 10
    assert_close((parts.parameters, parts.best), (small.state.parameters, small.state.best), 1e-5)


@pytest.mark.parametrize("config", [SMALL, CUT])
def test_a_batch_spread_over_devices_takes_the_same_steps(networks, small, config):
    """Each of its microbatches too. The axes of the mesh may have any names."""
    mesh = jax.make_mesh((2, 2), ("hosts", "cores"))
    spread = trained_on(networks, config, mesh=mesh)
    assert int(spread.state.step[0]) >= 8
    assert_close(spread.state.parameters, small.state.parameters, 1e-5)
    for found, known in zip(spread.history, small.history, strict=True):
        np.testing.assert_allclose(found["loss"], known["loss"], rtol=1e-4)


def test_a_step_in_microbatches_holds_less_at_once():
    def loss(parameters, batch):
        hidden = batch
        for _ in range(16):
            hidden = jnp.tanh(hidden @ parameters)
        return jnp.mean(hidden)

    def temporary(microbatches: int) -> int:
        step = jax.jit(lambda p, x: value_and_mean_gradient(loss, p, x, microbatches))
        analysis = step.lower(np.ones((8, 8), np.float32), np.ones((512, 8), np.float32)).compile().memory_analysis()
        assert analysis is not None
        return analysis.temp_size_in_bytes

    assert 4 * temporary(8) < temporary(1)


def test_microbatches_that_do_not_divide_the_batch_are_refused(untyped):
    with pytest.raises(ValueError, match="batch_size is 128 and microbatches 3; the first must be a multiple"):
        TrainConfig(microbatches=3)
    with pytest.raises(ValueError, match="microbatches is 0; it must be one integer in"):
        TrainConfig(microbatches=0)
