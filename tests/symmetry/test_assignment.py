"""The assignment against SciPy's optimum, by both solvers, alone and in batches."""

from functools import partial

import jax
import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from wsjax import devices
from wsjax.symmetry.assignment import SOLVERS, Solver, assign, in_optimal_order, leveled

SIZE = 6
RANDOM = np.asarray(jax.random.normal(jax.random.key(0), (40, SIZE, SIZE)))
TIES = np.round(RANDOM)  # many optima
SOLVE = {solver: jax.jit(jax.vmap(partial(assign, solver=solver))) for solver in SOLVERS}


def total(cost: np.ndarray, order) -> np.ndarray:
    return np.take_along_axis(cost, np.asarray(order)[:, :, None], axis=2).sum(axis=(1, 2))


def optimum(cost: np.ndarray) -> np.ndarray:
    return np.array([c[linear_sum_assignment(c)].sum() for c in cost])


@pytest.mark.parametrize("solver", SOLVE)
@pytest.mark.parametrize("cost", [RANDOM, TIES, -np.abs(RANDOM)], ids=["random", "ties", "negative"])
def test_every_solver_reaches_scipys_optimum_by_a_permutation(solver: str, cost: np.ndarray):
    order = np.asarray(SOLVE[solver](jax.device_put(cost)))
    assert (np.sort(order, axis=1) == np.arange(SIZE)).all()
    np.testing.assert_allclose(total(cost, order), optimum(cost), atol=1e-5)


@pytest.mark.parametrize("solver", SOLVERS[1:])
def test_only_what_is_wanted_is_solved(solver: Solver):
    wanted = np.arange(len(RANDOM)) % 2 == 0
    found = np.asarray(jax.jit(jax.vmap(lambda c, w: assign(c, w, solver=solver)))(jax.device_put(RANDOM), wanted))
    np.testing.assert_array_equal(found[wanted], np.asarray(SOLVE[solver](jax.device_put(RANDOM)))[wanted])
    assert (found[~wanted] == np.arange(SIZE)).all()
    assert not (found[wanted] == np.arange(SIZE)).all(axis=1).any()


@pytest.mark.parametrize("solver", SOLVERS[1:])
def test_costs_that_are_not_finite_end_in_the_identity(solver: Solver):
    """A search that begins with them need not end, and an error on the host would end the process."""
    bad = RANDOM.copy()
    bad[0, 1, 2], bad[1, 0, 0], bad[2, 3] = np.nan, np.inf, -np.inf
    found = np.asarray(SOLVE[solver](jax.device_put(bad)))
    assert (found[:3] == np.arange(SIZE)).all()
    np.testing.assert_allclose(total(RANDOM[3:], found[3:]), optimum(RANDOM[3:]), atol=1e-5)
    assert (np.sort(SOLVE[solver](jax.device_put(3e38 * np.tanh(RANDOM))), axis=1) == np.arange(SIZE)).all()


@pytest.mark.parametrize("solver", SOLVERS[1:])
def test_a_batch_lies_on_all_devices_under_jit_and_in_shard_map(solver: Solver):
    """More than JAX copies at once: on the host the devices' threads would wait for one another."""
    cost = np.random.default_rng(0).normal(size=(208, 12, 12)).astype(np.float32)
    mesh, each = devices.data_mesh(), jax.P("batch")
    solve = jax.vmap(partial(assign, solver=solver))
    inside = jax.jit(jax.shard_map(solve, mesh=mesh, in_specs=each, out_specs=each))
    spread = jax.device_put(cost, jax.NamedSharding(mesh, each))
    for run in (jax.jit(solve), inside):
        np.testing.assert_allclose(total(cost, run(spread)), optimum(cost), atol=1e-4)


def test_leveling_takes_the_same_from_every_assignment():
    """Nothing overtakes, and SciPy finds what is left at or near nothing."""
    flat = np.zeros((1, SIZE, SIZE), np.float32)
    for cost in (RANDOM, TIES, 1e4 * RANDOM + 7, flat):
        level = np.asarray(jax.jit(jax.vmap(leveled))(np.asarray(cost, np.float32)))
        orders = np.array([np.random.default_rng(i).permutation(SIZE) for i in range(len(cost))])
        best = np.array([linear_sum_assignment(c)[1] for c in cost])
        above = total(cost, orders) - total(cost, best)
        scale = max(1.0, np.abs(cost).max())
        np.testing.assert_allclose((total(level, orders) - total(level, best)) / scale, above / scale, atol=1e-4)
        assert (level >= 0).all()
    assert total(level, best).max() == 0


def test_an_order_is_called_optimal_only_where_it_is():
    """Rows put in their best order are recognised, and none whose order can still gain."""
    best = np.stack([c[:, linear_sum_assignment(c)[1]] for c in RANDOM])
    proved = np.asarray(jax.jit(jax.vmap(in_optimal_order))(np.concatenate([best, RANDOM, TIES])))
    assert proved[:40].mean() > 0.8
    truly = np.trace(TIES, axis1=1, axis2=2) <= optimum(TIES) + 1e-5
    assert not proved[40:80].any()
    assert not (proved[80:] & ~truly).any()


def test_an_unknown_solver_is_named(untyped):
    with pytest.raises(ValueError, match=r"unknown assignment solver 'hos'.*auto, host, device.*mean 'host'"):
        assign(np.eye(2), solver="hos")  # pyright: ignore[reportArgumentType]
