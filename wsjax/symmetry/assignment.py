"""Linear assignment of small square matrices, many at once, inside compiled code.

On a CPU the matrices go to the host, where SciPy solves them one by one on a thread a core, but for those of 8 neurons
and fewer; elsewhere optax solves them where they lie, by `vmap`. So `auto` chooses by the backend, when the program is
compiled for it, and by the number of neurons, not by how many matrices come at once: under `vmap` a function sees the
shape of one. Measured on two CPU cores (`python -m benchmarks align`), random matrices, microseconds a matrix:

| neurons | at once | host | device | `auto` takes |
|---|---|---|---|---|
| 8 | 256 | 7.1 | 3.9 | the device |
| 32 | 1 | 497 | 361 | the host |
| 32 | 256 | 18.5 | 123 | the host |
| 32 | 4096 | 13.1 | 104 | the host |
| 128 | 16 | 325 | 3279 | the host |

It is wrong for one matrix alone, by 136 us: there the way to the host and back costs more than SciPy saves. Batches are
what it is for.

On an accelerator nobody has measured yet.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Literal, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, ArrayLike, Bool, Float, Int

from wsjax.errors import check_choice

Solver: TypeAlias = Literal["auto", "host", "device"]
SOLVERS: tuple[Solver, ...] = ("auto", "host", "device")
RELAXATIONS = 16  # prove nine in ten of the orders that are optimal
SCALINGS, TEMPERATURE, LARGEST_EXPONENT = 5, 0.2, 50.0
LARGEST_ON_DEVICE = 8  # neurons, on a CPU
A_THREAD_AT_LEAST = 16  # matrices; fewer are solved before another thread has woken up


def assign(
    cost: Float[Array, "n n"], wanted: Bool[ArrayLike, ""] = True, *, solver: Solver = "auto"
) -> Int[Array, " n"]:
    """The permutation p that minimises sum_i cost[i, p[i]], exactly.

    Args:
        cost: a finite matrix; under `vmap` all matrices of a batch go to the solver together.
        wanted: False returns the identity without solving it: for lanes of a batch that are done.
        solver: `"host"` (SciPy), `"device"` (optax), or `"auto"`: on a CPU the host for more than 8 neurons, else the
            device.

    Raises:
        ValueError: an unknown solver.

    Source: SciPy's is the shortest augmenting path algorithm of Crouse 2016, optax's the Hungarian algorithm.

    Example:
        >>> import jax.numpy as jnp
        >>> assign(jnp.array([[4.0, 1.0], [2.0, 4.0]])).tolist()
        [1, 0]
    """
    check_choice("assignment solver", solver, SOLVERS)
    wanted = jnp.asarray(wanted)
    if solver == "host":
        return _on_host(cost, wanted)
    if solver == "device":
        return _on_device(cost, wanted)
    on_cpu = _on_device if len(cost) <= LARGEST_ON_DEVICE else _on_host
    return jax.lax.platform_dependent(cost, wanted, cpu=on_cpu, default=_on_device)


def in_optimal_order(cost: Float[Array, "n n"]) -> Bool[Array, ""]:
    """Whether the identity is proved to be an optimal assignment; False where a few steps do not settle it.

    It is optimal exactly if no cycle of rows gains by passing their columns on, that is, if there are v with
    v[j] <= v[i] + cost[i, j] - cost[i, i] for all i, j. Relaxing these from v = 0 finds such v or does not settle.

    Example:
        >>> import jax.numpy as jnp
        >>> bool(in_optimal_order(jnp.array([[1.0, 4.0], [4.0, 2.0]])))
        True
    """
    moves = cost - jnp.diagonal(cost)[:, None]
    slack = 1e-6 * jnp.max(jnp.abs(cost))
    before = potential = jnp.zeros(cost.shape[0], cost.dtype)
    for _ in range(RELAXATIONS):  # unrolled, twice as fast as a loop
        before, potential = potential, jnp.minimum(potential, jnp.min(potential[:, None] + moves, axis=0))
    return jnp.all(potential >= before - slack)


def _on_device(cost: Array, wanted: Array) -> Array:
    # optax builds its own constants without regard to strict promotion
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        rows, columns = optax.assignment.hungarian_algorithm(cost)
    found = jnp.zeros(cost.shape[0], jnp.int32).at[rows].set(columns.astype(jnp.int32))
    return jnp.where(wanted, found, jnp.arange(cost.shape[0], dtype=jnp.int32))


def _on_host(cost: Array, wanted: Array) -> Array:
    shape = jax.ShapeDtypeStruct(cost.shape[:-1], jnp.int32)
    return jax.pure_callback(_solve_all, shape, levelled(cost), wanted, vmap_method="broadcast_all")


def levelled(cost: Float[Array, "n n"]) -> Float[Array, "n n"]:
    """The cost with a number taken from each row and each column: every assignment loses the same, so none overtakes.

    The numbers come from a few steps of Sinkhorn's scaling of exp(-cost / temperature), which is near to the solution
    of the assignment's dual. What is left is least where the assignment lies, and SciPy's search for its paths takes
    a third of the time.

    Example:
        >>> import jax.numpy as jnp
        >>> bool((jnp.diagonal(levelled(jnp.array([[1.0, 9.0], [9.0, 5.0]]))) == 0).all())
        True
    """
    centred = cost - jnp.mean(cost, axis=1, keepdims=True)
    centred = centred - jnp.mean(centred, axis=0, keepdims=True)
    temperature = jnp.maximum(TEMPERATURE * jnp.std(centred), jnp.finfo(cost.dtype).tiny)
    kernel = jnp.exp(jnp.clip(-centred / temperature, -LARGEST_EXPONENT, LARGEST_EXPONENT))
    row = column = jnp.ones(len(cost), cost.dtype)
    for _ in range(SCALINGS):
        row = 1 / (kernel @ column)
        column = 1 / (row @ kernel)
    left = centred - temperature * (jnp.log(row)[:, None] + jnp.log(column)[None, :])
    left = left - jnp.min(left, axis=1, keepdims=True)
    return left - jnp.min(left, axis=0, keepdims=True)


def _solve_all(cost: ArrayLike, wanted: ArrayLike) -> np.ndarray:
    from scipy.optimize import linear_sum_assignment

    matrices, wanted = np.asarray(cost), np.asarray(wanted)
    n = matrices.shape[-1]
    found = np.broadcast_to(np.arange(n, dtype=np.int32), (wanted.size, n)).copy()
    matrices = matrices.reshape(-1, n, n)
    # An error here would end the whole program; whoever asked for the distance finds that it is not finite.
    rows = np.flatnonzero(wanted.reshape(-1) & np.isfinite(matrices).all(axis=(1, 2)))

    def solve(part: np.ndarray) -> None:
        for row in part:
            found[row] = linear_sum_assignment(matrices[row])[1]

    threads = min(_cores(), max(1, len(rows) // A_THREAD_AT_LEAST))
    if threads == 1:
        solve(rows)
    else:
        list(_pool().map(solve, np.array_split(rows, threads)))
    return found.reshape(*wanted.shape, n)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@lru_cache(maxsize=1)
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_cores(), thread_name_prefix="wsjax-assign")
