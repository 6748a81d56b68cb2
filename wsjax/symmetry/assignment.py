"""Linear assignment of small square matrices, many at once, inside compiled code.

On a CPU the matrices go to the host, where SciPy solves them one by one on a thread a core, but for those of 4 neurons
and fewer; elsewhere a loop of JAX solves them where they lie, by `vmap`. So `auto` chooses by the backend, when the
program is compiled for it, and by the number of neurons, not by how many matrices come at once: under `vmap` a function
gets the shape of one. Microseconds a random matrix, on two CPU cores with other work on them, the least of seven
rounds: 7.3 on the host and 3.6 by the loop for 256 matrices of 4 neurons, 3.2 and 5.0 for 256 of 8 (44 and 25 for one
alone), 19 and 224 for 256 of 32, 510 and 12053 for 16 of 128. On an accelerator it is not measured yet.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any, Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.buffer_callback import buffer_callback
from jaxtyping import Array, ArrayLike, Bool, Float, Int

from wsjax.errors import check_choice
from wsjax.symmetry.draws import varying_as

Solver: TypeAlias = Literal["auto", "host", "device"]
SOLVERS: tuple[Solver, ...] = ("auto", "host", "device")
RELAXATIONS = 16  # prove nine in ten of the orders that are optimal
SCALINGS, TEMPERATURE, LARGEST_EXPONENT = 5, 0.2, 50.0
LARGEST_ON_DEVICE = 4  # neurons, on a CPU
A_THREAD_AT_LEAST = 16  # matrices; fewer are solved before another thread has woken up


def assign(
    cost: Float[Array, "n n"], wanted: Bool[ArrayLike, ""] = True, *, solver: Solver = "auto"
) -> Int[Array, " n"]:
    """The permutation p that minimizes sum_i cost[i, p[i]], exactly; the identity, unsolved, where none is `wanted`.

    Source: shortest augmenting paths, Crouse 2016 in SciPy; on the device the Hungarian algorithm with prices, a row at
    a time. Both run under `jax.jit`, `jax.vmap` and `jax.shard_map`, and on a batch that is spread over devices.
    """
    check_choice("assignment solver", solver, SOLVERS)
    wanted = jnp.asarray(wanted)
    cost = jnp.where(wanted, cost, 0)
    if solver == "auto":
        on_cpu = _on_device if len(cost) <= LARGEST_ON_DEVICE else _on_host
        return jax.lax.platform_dependent(cost, wanted, cpu=on_cpu, default=_on_device)
    return (_on_host if solver == "host" else _on_device)(cost, wanted)


def in_optimal_order(cost: Float[Array, "n n"]) -> Bool[Array, ""]:
    """Whether the identity is proved to be an optimal assignment; False where a few steps do not settle it.

    It is optimal exactly if no cycle of rows gains by passing their columns on, that is, if there are v with
    v[j] <= v[i] + cost[i, j] - cost[i, i] for all i, j. Relaxing these from v = 0 finds such v or does not settle.
    """
    moves = cost - jnp.diagonal(cost)[:, None]
    slack = 1e-6 * jnp.max(jnp.abs(cost))
    before = potential = jnp.zeros(cost.shape[0], cost.dtype)
    for _ in range(RELAXATIONS):  # unrolled, twice as fast as a loop
        before, potential = potential, jnp.minimum(potential, jnp.min(potential[:, None] + moves, axis=0))
    return jnp.all(potential >= before - slack)


class _Search(NamedTuple):
    """Rows find their columns one after the other; column n is where the search for a row begins."""

    row: Int[Array, ""]  # the one that is placed next, and n where all are
    owner: Int[Array, " n+1"]  # of each column; n where it has none
    column: Int[Array, ""]  # where the path has come to
    back: Bool[Array, ""]  # whether it is walked back, each column handed to the row before
    used: Bool[Array, " n+1"]
    way: Int[Array, " n+1"]  # the column before, on the shortest path
    least: Float[Array, " n+1"]  # what that path costs
    row_price: Float[Array, " n+1"]
    column_price: Float[Array, " n+1"]


def _on_device(cost: Array, wanted: Array) -> Array:
    """One loop for all steps, so that in a batch no matrix waits for the others before its next row."""
    n = len(cost)
    # An infinite cost would end in NaN; `align` reports that the distance is not finite.
    table = jnp.pad(jnp.where(jnp.isfinite(cost).all(), cost, 0), ((0, 1), (0, 1)))
    infinite = jnp.full(n + 1, jnp.inf, cost.dtype)
    none, zero = jnp.full(n + 1, n, jnp.int32), jnp.zeros(n + 1, cost.dtype)

    def step(s: _Search) -> _Search:
        before = s.way[s.column]
        found = jax.tree.map(lambda a, b: jnp.where(s.back, a, b), walked(s, before), searched(s))
        placed = s.back & (before == n)
        row = s.row + placed.astype(jnp.int32)
        return found._replace(
            row=row,
            owner=jnp.where(placed, found.owner.at[n].set(row), found.owner),
            used=found.used & ~placed,
            way=jnp.where(placed, none, found.way),  # so that every walk back ends, whatever overflowed
            least=jnp.where(placed, infinite, found.least),
        )

    def walked(s: _Search, before: Array) -> _Search:
        return s._replace(owner=s.owner.at[s.column].set(s.owner[before]), column=before, back=before != n)

    def searched(s: _Search) -> _Search:
        used, row = s.used.at[s.column].set(True), s.owner[s.column]
        reduced = table[row] - s.row_price[row] - s.column_price
        nearer = (reduced < s.least) & ~used
        least = jnp.where(nearer, reduced, s.least)
        opened = jnp.where(used, jnp.inf, jnp.minimum(least, jnp.finfo(cost.dtype).max))
        column = jnp.argmin(opened).astype(jnp.int32)
        paid = jnp.where(used, opened[column], 0)
        return s._replace(
            column=column,
            back=s.owner[column] == n,
            used=used,
            way=jnp.where(nearer, s.column, s.way),
            least=jnp.where(used, least, least - opened[column]),
            row_price=s.row_price.at[s.owner].add(paid),
            column_price=s.column_price - paid,
        )

    first, unused = jnp.where(wanted, 0, n).astype(jnp.int32), jnp.zeros(n + 1, bool)
    start = _Search(first, none.at[n].set(0), jnp.int32(n), jnp.asarray(False), unused, none, infinite, zero, zero)
    owner = jax.lax.while_loop(lambda s: s.row < n, step, varying_as(cost, start)).owner
    found = jnp.arange(n, dtype=jnp.int32)
    return jnp.where(wanted, found.at[owner[:n]].set(found), found)


def _on_host(cost: Array, wanted: Array) -> Array:
    level = leveled(cost)
    return varying_as(cost, jax.lax.platform_dependent(level, wanted, cpu=_in_place, default=_by_copy))


def _in_place(cost: Array, wanted: Array) -> Array:
    # `jax.pure_callback` copies its arguments on a thread of JAX: where a batch lies on as many devices of one CPU as
    # it has threads, the others wait for the callback and it waits for one of theirs, until XLA ends the process.
    def solve(_: Any, found: Any, *given: Any) -> None:
        _solve_all(np.asarray(found), *given)

    return buffer_callback(solve, _order_of(cost), vmap_method="broadcast_all")(cost, wanted)


def _by_copy(cost: Array, wanted: Array) -> Array:
    solve = lambda cost, wanted: _solve_all(np.empty(np.shape(cost)[:-1], np.int32), cost, wanted)
    return jax.pure_callback(solve, _order_of(cost), cost, wanted, vmap_method="broadcast_all")


def _order_of(cost: Array) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(cost.shape[:-1], jnp.int32)


def leveled(cost: Float[Array, "n n"]) -> Float[Array, "n n"]:
    """The cost with a number taken from each row and each column: every assignment loses the same, so none overtakes.

    The numbers come from a few steps of Sinkhorn's scaling of exp(-cost / temperature), which is near to the solution
    of the assignment's dual. What is left is least where the assignment lies, and SciPy's search for its paths takes
    a third of the time.
    """
    centered = cost - jnp.mean(cost, axis=1, keepdims=True)
    centered = centered - jnp.mean(centered, axis=0, keepdims=True)
    temperature = jnp.maximum(TEMPERATURE * jnp.std(centered), jnp.finfo(cost.dtype).tiny)
    kernel = jnp.exp(jnp.clip(-centered / temperature, -LARGEST_EXPONENT, LARGEST_EXPONENT))
    row = column = jnp.ones(len(cost), cost.dtype)
    for _ in range(SCALINGS):
        row = 1 / (kernel @ column)
        column = 1 / (row @ kernel)
    left = centered - temperature * (jnp.log(row)[:, None] + jnp.log(column)[None, :])
    left = left - jnp.min(left, axis=1, keepdims=True)
    return left - jnp.min(left, axis=0, keepdims=True)


def _solve_all(found: np.ndarray, cost: Any, wanted: Any) -> np.ndarray:
    """`found`, with the order for each matrix written into it, and the identity where none is wanted."""
    from scipy.optimize import linear_sum_assignment

    n = found.shape[-1]
    orders, matrices = found.reshape(-1, n), np.asarray(cost).reshape(-1, n, n)
    orders[:] = np.arange(n)
    # An error here would end the whole program; `align` reports that the distance is not finite.
    rows = np.flatnonzero(np.asarray(wanted).reshape(-1) & np.isfinite(matrices).all(axis=(1, 2)))

    def solve(part: np.ndarray) -> None:
        for row in part:
            orders[row] = linear_sum_assignment(matrices[row])[1]

    threads = min(_cores(), max(1, len(rows) // A_THREAD_AT_LEAST))
    list((map if threads == 1 else _pool().map)(solve, np.array_split(rows, threads)))
    return found


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@lru_cache(maxsize=1)
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_cores(), thread_name_prefix="wsjax-assign")
