"""Fit thousands of small networks to images, many at once.

One compiled program fits a *group* of `lanes` networks by `vmap`, all its steps in one `scan`; a pool of host
threads, one a core, runs that program on one group after another. On a CPU the products of a small network are
too small to split over cores, so two groups side by side run twice as fast as one group on two cores, and a group
of 16 stays in a core's cache. Every network's key is `fold_in(fold_in(key(seed), image), view)`, and a short last
group is padded, so a network does not depend on its lane, its neighbours, the order or the number of workers.

`jax.config.update("jax_cpu_enable_async_dispatch", False)`, before JAX is first used, lets the threads run their
programs themselves and is another tenth faster; the command line sets it.
"""

import functools
import itertools
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, PyTree

from wsjax.data.images import Images
from wsjax.data.recipe import Recipe, optimiser_of, start_of
from wsjax.errors import DataError, check_number
from wsjax.networks import grid


class Fitted(NamedTuple):
    """Stacked networks on the host, and for each the row of its image, its view, its PSNR in dB and its steps."""

    weights: PyTree
    row: np.ndarray
    view: np.ndarray
    psnr: np.ndarray
    steps: np.ndarray

    def take(self, rows: np.ndarray) -> "Fitted":
        """Some of them, in that order."""
        return jax.tree.map(lambda leaf: leaf[rows], self)


def psnr(mse: Array, peak: float = 1.0) -> Array:
    """Peak signal-to-noise ratio, 10 log10(peak^2 / mse), in dB.

    Example:
        >>> import jax.numpy as jnp
        >>> float(psnr(jnp.float32(0.01)))
        20.0
    """
    return 10 * jnp.log10(peak**2 / jnp.maximum(mse, 1e-20))


@functools.partial(jax.jit, static_argnums=0)
def fit_group(
    recipe: Recipe,
    points: Float[Array, "points inputs"],
    values: Float[Array, "lanes points channels"],
    image: Int[Array, " lanes"],
    view: Int[Array, " lanes"],
    given: PyTree = None,
) -> tuple[PyTree, Float[Array, " lanes"]]:
    """Fit one group by all of the recipe's steps: weights with a leading axis of lanes, and each final squared error.

    Args:
        recipe: architecture and schedule; static.
        points: coordinates, shared by the group.
        values: what each network should give at the points.
        image, view: numbers from which each network's key derives.
        given: the weights that all start from, where the recipe says so.

    Example:
        >>> import jax.numpy as jnp
        >>> from wsjax.networks import Network, grid
        >>> recipe = Recipe(Network("siren", (2, 8, 1), w0=(10.0,)), steps=2, lanes=3)
        >>> _, mse = fit_group(recipe, grid((4, 4)), jnp.zeros((3, 16, 1)), jnp.arange(3), jnp.zeros(3, jnp.int32))
        >>> mse.shape
        (3,)
    """
    network = recipe.network
    optimiser = optimiser_of(recipe)

    def loss(weights: PyTree, target: Array) -> Array:
        return jnp.mean(jnp.square(network.apply(weights, points) - target))

    def step(carry, _):
        weights, state = carry
        gradient = jax.vmap(jax.grad(loss))(weights, values)
        with jax.numpy_dtype_promotion("standard"):
            updates, state = optimiser.update(gradient, state, weights)
            return (optax.apply_updates(weights, updates), state), None

    weights = jax.vmap(lambda image, view: start_of(recipe, image, view, given))(image, view)
    (weights, _), _ = jax.lax.scan(step, (weights, optimiser.init(weights)), None, length=recipe.steps)
    return weights, jax.vmap(loss)(weights, values)


def default_workers() -> int:
    """One a core on a CPU, one a device on accelerators."""
    if jax.default_backend() != "cpu":
        return jax.local_device_count()
    # The cores this process may use, where the system tells.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def workers_of(workers: int | None) -> int:
    """How many workers were asked for, or the default.

    Raises:
        ValueError: fewer than one.
    """
    if workers is None:
        return default_workers()
    check_number("workers", workers, low=1, whole=True)
    return workers


def fit_devices() -> list[Any]:
    """Where groups are fitted: every local accelerator, or the one CPU, which the threads share."""
    return jax.local_devices()[:1] if jax.default_backend() == "cpu" else jax.local_devices()


def groups(recipe: Recipe, images: int) -> list[np.ndarray]:
    """The jobs of a whole fit, (image row, view) pairs in groups of `lanes`; the last may be short."""
    jobs = np.stack(np.meshgrid(np.arange(images), np.arange(recipe.views), indexing="ij"), axis=-1).reshape(-1, 2)
    return [jobs[i : i + recipe.lanes] for i in range(0, len(jobs), recipe.lanes)]


def targets(images: Images, recipe: Recipe, rows: np.ndarray) -> Float[np.ndarray, "images points channels"]:
    """What networks should give: some images' pixels, in the recipe's range of values."""
    pixels = images.pixels[rows]
    low, high = recipe.value_range
    values = pixels if (low, high) == (0.0, 1.0) else np.float32(low) + np.float32(high - low) * pixels
    return values.reshape(len(rows), -1, pixels.shape[-1])


def points_of(images: Images, recipe: Recipe) -> Float[Array, "points 2"]:
    """The coordinates of the images' pixels, once the recipe's network is known to fit them.

    Raises:
        ValueError: other numbers of inputs or outputs.
    """
    _, rows, columns, channels = images.pixels.shape
    if recipe.network.widths[0] != 2 or recipe.network.widths[-1] != channels:
        raise ValueError(
            f"the recipe's network has widths {recipe.network.widths}; images of {images.name} need 2 inputs and "
            f"{channels} outputs: set the widths so"
        )
    return grid((rows, columns), order=recipe.coordinate_order)


def check_fitted(fitted: Fitted, images: Images) -> None:
    """Raise DataError for a network that ended in NaN or infinity, naming its image and view."""
    finite = np.isfinite(fitted.psnr)
    for leaf in jax.tree.leaves(fitted.weights):
        finite &= np.isfinite(leaf.reshape(len(leaf), -1)).all(axis=1)
    if not finite.all():
        row = int(np.flatnonzero(~finite)[0])
        raise DataError(
            f"the network of image {images.index[fitted.row[row]]}, view {fitted.view[row]}, of {images.name} ended in "
            f"numbers that are not finite after {fitted.steps[row]} steps; lower the learning rate and fit into "
            f"another directory, or leave that image out"
        )


def fit_groups(
    images: Images, recipe: Recipe, jobs: list[np.ndarray], *, workers: int | None = None, given: PyTree = None
) -> Iterator[Fitted]:
    """Fit groups of (image row, view) pairs by all of the recipe's steps, yielding each on the host, in order.

    Groups go to the accelerators in turn, to as many as there are workers. Closing the iterator, or an exception in
    the loop that reads it (Ctrl-C), abandons the groups not yet begun.

    Raises:
        ValueError: a network whose widths do not fit the images.
        DataError: a network that ended in NaN or infinity, naming its image and view.

    Example:
        >>> from wsjax.data import limit, load_images
        >>> from wsjax.networks import Network
        >>> few = limit(load_images("digits"), 5)
        >>> recipe = Recipe(Network("siren", (2, 4, 1)), steps=2, lanes=4)
        >>> [len(fitted.row) for fitted in fit_groups(few, recipe, groups(recipe, 5))]
        [4, 1]
    """
    points = points_of(images, recipe)
    threads = workers_of(workers)
    devices = fit_devices()[:threads]

    def work(group: np.ndarray, device) -> Fitted:
        padded = group[np.arange(recipe.lanes) % len(group)]
        numbers = (images.index[padded[:, 0]], padded[:, 1].astype(np.int32))
        inputs = (points, targets(images, recipe, padded[:, 0]), *numbers, given)
        weights, mse = fit_group(recipe, *jax.device_put(inputs, device))
        kept = jax.tree.map(lambda x: np.asarray(x)[: len(group)], weights)
        quality = np.asarray(psnr(mse, recipe.peak), np.float32)[: len(group)]
        fitted = Fitted(kept, group[:, 0], group[:, 1], quality, np.full(len(group), recipe.steps, np.int32))
        check_fitted(fitted, images)
        return fitted

    with ThreadPoolExecutor(threads) as pool:
        pending = deque(pool.submit(work, group, device) for group, device in zip(jobs, itertools.cycle(devices)))
        try:
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()


def concatenate(parts: list[Fitted]) -> Fitted:
    """Stack fitted groups in order."""
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)
