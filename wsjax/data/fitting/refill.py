"""Fit each network until it reaches its own target, and give its slot to the next signal, so that no slot idles.

One compiled program advances a fixed number of slots by `check_every` steps; between two calls the host takes out the
networks that reached the target, or have made all steps, and puts the next signals in their slots. Every slot has its
own count of steps, its own moments and its own place on the schedule, and a network is checked at multiples
of `check_every` of its own steps: what becomes of a signal does not depend on its slot, its neighbors or the order.
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

from wsjax.data.fitting.absorbed import as_fitted, as_stored
from wsjax.data.fitting.grouped import Fitted, check_fitted, check_pairs, fit_devices, gradients, psnr, squared_errors
from wsjax.data.pool import workers_of
from wsjax.data.recipe import InitializedRecipe, Recipe, initial_weights, initialized, optimizer_of
from wsjax.data.sources.images import Images
from wsjax.data.sources.signals import Signals, as_signals, check_recipe


class Slots(NamedTuple):
    """Networks being fitted side by side: weights, the optimizer's moments and the steps made, a row a slot."""

    weights: PyTree
    moments: PyTree
    steps: Int[Array, " slots"]


class Requests(NamedTuple):
    """What each slot is to fit: values at points, of all slots or of each; its signal's and view's numbers; and whether
    it begins."""

    points: Float[Array | np.ndarray, "*own points inputs"]
    values: Float[Array | np.ndarray, "slots points channels"]
    number: Int[Array | np.ndarray, " slots"]
    view: Int[Array | np.ndarray, " slots"]
    fresh: Bool[Array | np.ndarray, " slots"]


@jax.jit
def advance_slots(started: InitializedRecipe, requests: Requests, slots: Slots) -> tuple[Slots, Float[Array, " slots"]]:
    """Begin the fresh slots anew, make `check_every` steps in each slot, and give each network's mean squared error."""
    recipe, optimizer = started.recipe, optimizer_of(started.recipe)
    points, values, number, view, fresh = map(jnp.asarray, requests)

    def begin(number: Array, view: Array) -> Slots:
        weights = initial_weights(started, number, view)
        return Slots(weights, optimizer.init(weights), jnp.zeros((), jnp.int32))

    def choose(fresh: Array, new: Array, old: Array) -> Array:
        return jnp.where(jnp.expand_dims(fresh, range(1, new.ndim)), new, old)

    def step(slots: Slots, _: None) -> tuple[Slots, None]:
        gradient = gradients(recipe, slots.weights, points, values, slots.steps)
        with jax.numpy_dtype_promotion("standard"):
            updates, moments = jax.vmap(optimizer.update)(gradient, slots.moments, slots.weights)
            return Slots(optax.apply_updates(slots.weights, updates), moments, slots.steps + 1), None

    begun = jax.vmap(begin)(number, view)
    slots = jax.tree.map(functools.partial(choose, fresh), begun, slots)
    slots, _ = jax.lax.scan(step, slots, None, length=recipe.check_every)
    return slots, squared_errors(recipe, slots.weights, points, values)


def fit_refilled(
    found: Images | Signals, recipe: Recipe | InitializedRecipe, pairs: np.ndarray, *, workers: int | None = None
) -> Generator[Fitted]:
    """Fit (signal row, view) pairs to the recipe's target PSNR, begun in that order, yielding networks on the host as
    they are done. Closing the iterator, or an exception in the loop that reads it (Ctrl-C), abandons the others."""
    started = initialized(recipe)
    recipe, signals = started.recipe, as_signals(found, started.recipe)
    check_recipe(recipe, signals)
    check_pairs(pairs, signals, recipe)
    threads, devices = workers_of(workers), fit_devices()
    waiting, done, stop = queue.SimpleQueue(), queue.SimpleQueue(), threading.Event()
    for pair in pairs:
        waiting.put(pair)

    def work(device: Any) -> None:
        try:
            for fitted in _one_worker(signals, started, waiting, stop, device):
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
    signals: Signals, started: InitializedRecipe, waiting: queue.SimpleQueue, stop: threading.Event, device: Any
) -> Iterator[Fitted]:
    """One set of slots, refilled from the queue until it is empty and every network done."""
    recipe, count = started.recipe, started.recipe.slots
    pairs: list[np.ndarray | None] = [None] * count
    nothing = signals.take(np.zeros(count, int))
    requests = Requests(nothing.points, nothing.values, nothing.index, np.zeros(count, np.int32), np.ones(count, bool))
    started = jax.device_put(as_fitted(started), device)
    empty = jax.eval_shape(_slots, started, requests)
    slots = jax.device_put(jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), empty), device)
    while not stop.is_set():
        requests = _refilled(signals, requests, pairs, waiting)
        if all(pair is None for pair in pairs):
            return
        slots, mse = advance_slots(started, jax.device_put(requests, device), slots)
        quality, steps = np.asarray(psnr(mse, signals.peak), np.float32), np.asarray(slots.steps)
        assert recipe.target_psnr is not None
        ended = ~(quality < recipe.target_psnr) | (steps >= recipe.steps)  # a NaN has ended too
        rows = np.array([i for i, pair in enumerate(pairs) if pair is not None and ended[i]], int)
        if len(rows):
            own = np.stack([pairs[i] for i in rows])
            kept = as_stored(recipe, jax.tree.map(lambda leaf, rows=rows: np.asarray(leaf)[rows], slots.weights))
            fitted = Fitted(kept, own[:, 0], own[:, 1], quality[rows], steps[rows])
            check_fitted(fitted, signals)
            yield fitted
        for i in rows:
            pairs[i] = None


def _slots(started: InitializedRecipe, requests: Requests) -> Slots:
    """What slots look like, for `jax.eval_shape`."""
    recipe = started.recipe
    weights = jax.vmap(lambda number, view: initial_weights(started, number, view))(requests.number, requests.view)
    return Slots(weights, jax.vmap(optimizer_of(recipe).init)(weights), jnp.zeros(recipe.slots, jnp.int32))


def _refilled(
    signals: Signals, requests: Requests, pairs: list[np.ndarray | None], waiting: queue.SimpleQueue
) -> Requests:
    """Every empty slot with the next pair in it; where none waits, the slot goes on with what it has, unused."""
    points = requests.points if signals.shared else requests.points.copy()
    values, number, view = requests.values.copy(), requests.number.copy(), requests.view.copy()
    fresh = np.zeros(len(pairs), bool)
    for slot in (i for i, pair in enumerate(pairs) if pair is None):
        try:
            pair = waiting.get_nowait()
        except queue.Empty:
            break
        pairs[slot], fresh[slot] = pair, True
        if not signals.shared:
            points[slot] = signals.points[pair[0]]
        values[slot] = signals.values[pair[0]]
        number[slot], view[slot] = signals.index[pair[0]], pair[1]
    return Requests(points, values, number, view, fresh)
