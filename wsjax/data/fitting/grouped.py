"""Fit thousands of small networks to images, or to other signals, many at once.

One compiled program fits a *group* of `slots` networks by `vmap`, all its steps in one `scan`; a pool of host
threads, one a core, runs that program on one group after another. On a CPU the products of a small network are
too small to split over cores, so two groups side by side run twice as fast as one group on two cores, and a group
of 16 stays in a core's cache. Every network's key is `fold_in(fold_in(key(seed), number), view)`, and a short last
group is padded, so a network does not depend on its slot, its neighbors, the order or the number of workers.

`wsjax.host.use_host_well()`, before JAX is first used, lets the threads run their programs themselves and is another
tenth faster; the command line calls it.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, PyTree

from wsjax.data.fitting.absorbed import as_fitted, as_stored
from wsjax.data.pool import in_turn, workers_of
from wsjax.data.recipe import InitializedRecipe, Recipe, initial_weights, initialized, slots_optimizer_of
from wsjax.data.sources.images import Images
from wsjax.data.sources.signals import Signals, as_signals, check_recipe
from wsjax.errors import DataError, check_number, check_rows

DRAWS = 2**32 - 1
"""What the key of the points drawn is folded with; no signal has that number, and no view."""


class Fitted(NamedTuple):
    """Stacked networks on the host, and for each the row of its signal, its view, its PSNR in dB and its steps."""

    weights: PyTree
    row: np.ndarray
    view: np.ndarray
    psnr: np.ndarray
    steps: np.ndarray

    def take(self, rows: np.ndarray) -> "Fitted":
        """Some of them, in that order. Raises IndexError for a row that there is not."""
        rows = check_rows("network", rows, len(self.row))
        return jax.tree.map(lambda leaf: leaf[rows], self)


@jax.jit
def psnr(mse: Array | np.ndarray, peak: float | Array = 1.0) -> Array:
    """Peak signal-to-noise ratio, 10 log10(peak^2 / mse), in dB."""
    return 10 * jnp.log10(peak**2 / jnp.maximum(mse, 1e-20))


def squared_errors(
    recipe: Recipe,
    weights: PyTree,
    points: Float[Array, "*own points inputs"],
    values: Float[Array, "slots points channels"],
) -> Float[Array, " slots"]:
    """Each network's mean squared error at all points, which the slots share or not."""
    return jax.vmap(_squared_error(recipe), (0, _slots_of(points), 0))(weights, points, values)


def gradients(
    recipe: Recipe,
    weights: PyTree,
    points: Float[Array, "*own points inputs"],
    values: Float[Array, "slots points channels"],
    steps: Int[Array, "*slots"] | None,
) -> PyTree:
    """The gradient of each network's mean squared error, at all points or at those drawn for its step.

    `steps` is how many each network has made, or all of them; None where a step takes all points.
    """

    def gradient(weights: PyTree, points: Array, values: Array, step: Array | None) -> PyTree:
        if step is not None and recipe.batch_points is not None:
            rows = drawn_points(recipe, len(points), step)
            points, values = points[rows], values[rows]
        return jax.grad(_squared_error(recipe))(weights, points, values)

    axes = (0, _slots_of(points), 0, None if steps is None or not steps.ndim else 0)
    return jax.vmap(gradient, axes)(weights, points, values, steps)


def drawn_points(recipe: Recipe, count: int, step: Int[Array, ""] | int) -> Int[Array, " batch"]:
    """The rows of the points that a network takes in its step of that number, uniform and with replacement: the key
    derives from the recipe's seed and the step alone, so all networks of a fit take the same rows."""
    assert recipe.batch_points is not None
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(recipe.seed), DRAWS), step)
    return jax.random.randint(key, (recipe.batch_points,), 0, count)


def _squared_error(recipe: Recipe) -> Callable[[PyTree, Array, Array], Array]:
    return lambda weights, points, values: jnp.mean(jnp.square(recipe.network.apply(weights, points) - values))


def _slots_of(points: Array) -> int | None:
    """The axis of slots of points that each slot has for itself."""
    return 0 if points.ndim == 3 else None


@jax.jit
def fit_group(
    started: InitializedRecipe,
    points: Float[Array, "*own points inputs"],
    values: Float[Array, "slots points channels"],
    number: Int[Array, " slots"],
    view: Int[Array, " slots"],
) -> tuple[PyTree, Float[Array, " slots"]]:
    """Fit one group by all of the recipe's steps: weights with a leading axis of slots, and each final squared error.

    `points` are shared by the group, or have a leading axis of slots; keys derive from `number` and `view`.
    """
    recipe, optimizer = started.recipe, slots_optimizer_of(started.recipe)

    def step(carry, made):
        weights, state = carry
        gradient = gradients(recipe, weights, points, values, made)
        with jax.numpy_dtype_promotion("standard"):
            updates, state = optimizer.update(gradient, state, weights)
            return (optax.apply_updates(weights, updates), state), None

    weights = jax.vmap(lambda number, view: initial_weights(started, number, view))(number, view)
    steps = None if recipe.batch_points is None else jnp.arange(recipe.steps)
    (weights, _), _ = jax.lax.scan(step, (weights, optimizer.init(weights)), steps, length=recipe.steps)
    return weights, squared_errors(recipe, weights, points, values)


def fit_devices() -> list[Any]:
    """Where groups are fitted: every local accelerator, or the first CPU device, as several (`jax_num_cpu_devices`) are
    the same cores, and each would compile the programs for itself."""
    return jax.local_devices()[:1] if jax.default_backend() == "cpu" else jax.local_devices()


def groups(recipe: Recipe, signals: int) -> list[np.ndarray]:
    """The (signal row, view) pairs of a whole fit in groups of `slots`; the last may be short."""
    pairs = np.stack(np.meshgrid(np.arange(signals), np.arange(recipe.views), indexing="ij"), axis=-1).reshape(-1, 2)
    return [pairs[i : i + recipe.slots] for i in range(0, len(pairs), recipe.slots)]


def check_pairs(pairs: np.ndarray, signals: Signals, recipe: Recipe) -> None:
    """Raise ValueError or IndexError unless these are pairs of a signal's row and a view's number, both from 0 on."""
    if np.ndim(pairs) != 2 or np.shape(pairs)[1] != 2 or not np.issubdtype(pairs.dtype, np.integer):
        raise ValueError(
            f"pairs have shape {np.shape(pairs)} and dtype {pairs.dtype}; expected (pairs, 2) integers: a signal's row "
            f"and a view, as fitting.grouped.groups gives them"
        )
    for what, column, count in (("signal", pairs[:, 0], len(signals.values)), ("view", pairs[:, 1], recipe.views)):
        for number in (column.min(), column.max()) if len(column) else ():
            if not 0 <= number < count:
                raise IndexError(f"there is no {what} {number}; expected 0 to {count - 1}, as there are {count}")


def check_fitted(fitted: Fitted, signals: Signals) -> None:
    """Raise DataError for a network that ended in NaN or infinity, naming its signal and view."""
    finite = np.isfinite(fitted.psnr)
    for leaf in jax.tree.leaves(fitted.weights):
        finite &= np.isfinite(leaf.reshape(len(leaf), -1)).all(axis=1)
    if not finite.all():
        row = int(np.flatnonzero(~finite)[0])
        raise DataError(
            f"the network of {signals.name} number {signals.index[fitted.row[row]]}, view {fitted.view[row]}, ended in "
            f"numbers that are not finite after {fitted.steps[row]} steps; lower the learning rate and fit into "
            f"another directory, or leave that one out"
        )


def fit_groups(
    found: Images | Signals, recipe: Recipe | InitializedRecipe, pairs: list[np.ndarray], *, workers: int | None = None
) -> Iterator[Fitted]:
    """Fit groups of (signal row, view) pairs by all of the recipe's steps, yielding each on the host, in order.

    Groups go to the accelerators in turn, to as many as there are workers. Closing the iterator, or an exception in the
    loop that reads it (Ctrl-C), abandons the groups not yet begun.
    """
    started = initialized(recipe)
    recipe, signals = started.recipe, as_signals(found, started.recipe)
    check_recipe(recipe, signals)
    for group in pairs:
        check_pairs(group, signals, recipe)
        check_number("the size of a group", len(group), low=1, high=recipe.slots, integer=True)
    threads, started = workers_of(workers), as_fitted(started)
    devices = fit_devices()[:threads]

    def work(group: np.ndarray, device, _) -> Fitted:
        padded = group[np.arange(recipe.slots) % len(group)]
        few = signals.take(padded[:, 0])
        inputs = (few.points, few.values, few.index, padded[:, 1].astype(np.int32))
        weights, mse = fit_group(*jax.device_put((started, *inputs), device))
        kept = as_stored(recipe, jax.tree.map(lambda x: np.asarray(x)[: len(group)], weights))
        quality = np.asarray(psnr(mse, signals.peak), np.float32)[: len(group)]
        fitted = Fitted(kept, group[:, 0], group[:, 1], quality, np.full(len(group), recipe.steps, np.int32))
        check_fitted(fitted, signals)
        return fitted

    yield from in_turn(work, pairs, devices, threads)


def concatenate(parts: list[Fitted]) -> Fitted:
    """Stack fitted groups in order."""
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)
