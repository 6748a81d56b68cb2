"""What makes a compiled training small changes nothing of it: microbatches, packed arrays, one loop over all splits."""

import sys
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.train.helpers import RUNS, SMALL, assert_close, trained_on
from wsjax.train import fit
from wsjax.train import model as module
from wsjax.train.state import Packing, init_states, packing_of
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


def test_what_is_packed_comes_back():
    arrays = {"a": np.arange(12.0, dtype=np.float32).reshape(2, 3, 2), "b": np.ones((2, 4), np.float32)}
    states = init_states(SMALL, [run.filled(SMALL) for run in RUNS], arrays)
    packing = packing_of(SMALL, states)
    packed = packing.pack(states)
    assert packed.parameters.shape == packed.best.shape == (2, 10)
    for run in range(2):
        found, whole = packing.tree(jnp.asarray(packed.parameters[run])), jax.tree.leaves(arrays)
        for one, all_runs in zip(jax.tree.leaves(found), whole, strict=True):
            np.testing.assert_array_equal(one, all_runs[run])
    back = packing.unpack(packed)
    assert jax.tree.structure(back) == jax.tree.structure(states)
    jax.tree.map(np.testing.assert_array_equal, back._replace(key=0), states._replace(key=0))


def test_all_splits_go_through_one_loop(monkeypatch):
    monkeypatch.setattr(module, "EVALUATION_BATCH", 4)
    traced = []

    def model(network):
        traced.append(network)
        return network["a"] * network["b"].sum()

    rng = np.random.default_rng(0)
    splits = [
        {"a": rng.normal(size=n).astype(np.float32), "b": rng.normal(size=(n, 2)).astype(np.float32)} for n in (6, 3)
    ]
    for some in (splits, splits[:1]):
        traced.clear()
        found = jax.jit(lambda *some: module.read_all(model, *some))(*some)
        assert len(traced) == 1
        for given, split in zip(found, some, strict=True):
            np.testing.assert_allclose(given, split["a"] * split["b"].sum(1), rtol=1e-6)
