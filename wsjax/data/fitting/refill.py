"""Fit each network until it reaches its own target, and give its lane to the next signal, so that no lane idles.

One compiled program advances a fixed number of lanes by `check_every` steps; between two calls the host takes out the
networks that reached the target, or have made all steps, and puts the next signals in their lanes. Every lane has its
own count of steps, its own moments and its own place on the schedule, and a network is asked at multiples of
`check_every` of its own steps: what becomes of a signal does not depend on its lane, its neighbours or the order.
"""

import functools
import queue
import threading
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int, PyTree

from wsjax.data.fitting.fit import Fitted, check_fitted, check_jobs, fit_devices, psnr
from wsjax.data.fitting.squared_error import gradients, squared_errors
from wsjax.data.pool import workers_of
from wsjax.data.recipe import Recipe, optimiser_of, start_of
from wsjax.data.sources.images import Images
from wsjax.data.sources.signal_checks import check_recipe
from wsjax.data.sources.signals import Signals, as_signals


class Lanes(NamedTuple):
    """Networks being fitted side by side: weights, the optimiser's moments and the steps made, a row a lane."""

    weights: PyTree
    moments: PyTree
    steps: Int[Array, " lanes"]


class Asked(NamedTuple):
    """What each lane is to fit: the values at points, those of all lanes or of each, its signal's and view's numbers,
    and whether it begins.
    """

    points: Float[Array | np.ndarray, "*own points inputs"]
    values: Float[Array | np.ndarray, "lanes points channels"]
    number: Int[Array | np.ndarray, " lanes"]
    view: Int[Array | np.ndarray, " lanes"]
    fresh: Bool[Array | np.ndarray, " lanes"]


@functools.partial(jax.jit, static_argnums=0)
def advance(recipe: Recipe, asked: Asked, lanes: Lanes, given: PyTree = None) -> tuple[Lanes, Float[Array, " lanes"]]:
    """Begin the fresh lanes anew, make `check_every` steps in each lane, and give each network's mean squared error."""
    optimiser = optimiser_of(recipe)
    points, values, number, view, fresh = map(jnp.asarray, asked)

    def begin(number: Array, view: Array) -> Lanes:
        weights = start_of(recipe, number, view, given)
        return Lanes(weights, optimiser.init(weights), jnp.zeros((), jnp.int32))

    def choose(fresh: Array, new: Array, old: Array) -> Array:
        return jnp.where(jnp.expand_dims(fresh, range(1, new.ndim)), new, old)

    def step(lanes: Lanes, _: None) -> tuple[Lanes, None]:
        gradient = gradients(recipe, lanes.weights, points, values, lanes.steps)
        with jax.numpy_dtype_promotion("standard"):
            updates, moments = jax.vmap(optimiser.update)(gradient, lanes.moments, lanes.weights)
            return Lanes(optax.apply_updates(lanes.weights, updates), moments, lanes.steps + 1), None

    begun = jax.vmap(begin)(number, view)
    lanes = jax.tree.map(functools.partial(choose, fresh), begun, lanes)
    lanes, _ = jax.lax.scan(step, lanes, None, length=recipe.check_every)
    return lanes, squared_errors(recipe, lanes.weights, points, values)


def fit_refilled(
    found: Images | Signals, recipe: Recipe, jobs: np.ndarray, *, workers: int | None = None, given: PyTree = None
) -> Generator[Fitted]:
    """Fit (signal row, view) pairs to the recipe's target PSNR, yielding networks on the host as they are done.

    Closing the iterator, or an exception in the loop that reads it (Ctrl-C), abandons what is not done.

    Args:
        found: images or signals.
        recipe: how, with a target PSNR.
        jobs: (networks, 2), begun in that order, ended in any.
        workers: host threads, each with lanes of its own; None takes one a core, or one a device on accelerators.
        given: the weights that all start from, where the recipe says so.

    Raises:
        ValueError: a recipe that does not fit the signals.
        DataError: a network that ended in NaN or infinity, naming its signal and view.

    Example:
        >>> from wsjax.data import limit, load_images
        >>> from wsjax.networks import Network
        >>> few = limit(load_images("digits"), 5)
        >>> recipe = Recipe(Network("siren", (2, 4, 1)), steps=4, lanes=2, target_psnr=12.0, check_every=2)
        >>> jobs = np.array([[row, 0] for row in range(5)])
        >>> sorted(int(row) for part in fit_refilled(few, recipe, jobs) for row in part.row)
        [0, 1, 2, 3, 4]
    """
    signals = as_signals(found, recipe)
    check_recipe(recipe, signals)
    check_jobs(jobs, signals, recipe)
    threads, devices = workers_of(workers), fit_devices()
    waiting, done, stop = queue.SimpleQueue(), queue.SimpleQueue(), threading.Event()
    for job in jobs:
        waiting.put(job)

    def work(device: Any) -> None:
        try:
            for fitted in _one_worker(signals, recipe, waiting, stop, device, given):
                done.put(fitted)
        except BaseException as error:  # it belongs to the reader, who raises it
            done.put(error)
        finally:
            done.put(None)

    with ThreadPoolExecutor(threads) as pool:
        for i in range(threads):
            pool.submit(work, devices[i % len(devices)])
        try:
            while threads:
                part = done.get()
                if part is None:
                    threads -= 1
                elif isinstance(part, BaseException):
                    raise part
                else:
                    yield part
        finally:
            stop.set()


def _one_worker(
    signals: Signals,
    recipe: Recipe,
    waiting: queue.SimpleQueue,
    stop: threading.Event,
    device: Any,
    given: PyTree,
) -> Iterator[Fitted]:
    """One set of lanes, refilled from the queue until it is empty and every network done."""
    count = recipe.lanes
    jobs: list[np.ndarray | None] = [None] * count
    nothing = signals.take(np.zeros(count, int))
    asked = Asked(nothing.points, nothing.values, nothing.index, np.zeros(count, np.int32), np.ones(count, bool))
    given = jax.device_put(given, device)
    empty = jax.eval_shape(functools.partial(_lanes, recipe), asked, given)
    lanes = jax.device_put(jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), empty), device)
    while not stop.is_set():
        asked = _refilled(signals, asked, jobs, waiting)
        if all(job is None for job in jobs):
            return
        lanes, mse = advance(recipe, jax.device_put(asked, device), lanes, given)
        quality, steps = np.asarray(psnr(mse, signals.peak), np.float32), np.asarray(lanes.steps)
        assert recipe.target_psnr is not None
        ended = ~(quality < recipe.target_psnr) | (steps >= recipe.steps)  # a NaN has ended too
        rows = np.array([i for i, job in enumerate(jobs) if job is not None and ended[i]], int)
        if len(rows):
            own = np.stack([jobs[i] for i in rows])
            kept = jax.tree.map(lambda leaf, rows=rows: np.asarray(leaf)[rows], lanes.weights)
            fitted = Fitted(kept, own[:, 0], own[:, 1], quality[rows], steps[rows])
            check_fitted(fitted, signals)
            yield fitted
        for i in rows:
            jobs[i] = None


def _lanes(recipe: Recipe, asked: Asked, given: PyTree) -> Lanes:
    """What lanes look like, for `jax.eval_shape`."""
    weights = jax.vmap(lambda number, view: start_of(recipe, number, view, given))(asked.number, asked.view)
    return Lanes(weights, jax.vmap(optimiser_of(recipe).init)(weights), jnp.zeros(recipe.lanes, jnp.int32))


def _refilled(signals: Signals, asked: Asked, jobs: list[np.ndarray | None], waiting: queue.SimpleQueue) -> Asked:
    """Every empty lane with the next job in it; where none waits, the lane goes on with what it has, for nobody."""
    points = asked.points if signals.shared else asked.points.copy()
    values, number, view = asked.values.copy(), asked.number.copy(), asked.view.copy()
    fresh = np.zeros(len(jobs), bool)
    for lane in (i for i, job in enumerate(jobs) if job is None):
        try:
            job = waiting.get_nowait()
        except queue.Empty:
            break
        jobs[lane], fresh[lane] = job, True
        if not signals.shared:
            points[lane] = signals.points[job[0]]
        values[lane] = signals.values[job[0]]
        number[lane], view[lane] = signals.index[job[0]], job[1]
    return Asked(points, values, number, view, fresh)
