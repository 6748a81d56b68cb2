"""What makes a compiled training small changes nothing of it: packed arrays, and one loop over both splits.

That packed arrays are trained as each by itself is in test_gradient.py.
"""

import jax
import jax.numpy as jnp
import numpy as np

from tests.train.helpers import RUNS, SMALL
from wsjax.train import model as module
from wsjax.train.state import init_states, packing_of


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
