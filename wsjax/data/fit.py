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
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, PyTree
from tqdm import tqdm

from wsjax.data.images import Images
from wsjax.errors import check_finite, check_number
from wsjax.networks import Network, grid


@dataclass(frozen=True)
class Recipe:
    """How networks are fitted: the architecture and Adam with a cosine schedule down to zero.

    `lanes` networks are fitted at once by one program; the count changes the last bits of the result, so it is
    fixed, and recorded. `views` independently initialised networks are fitted to each image.
    """

    network: Network
    steps: int = 300
    learning_rate: float = 1e-2
    lanes: int = 16
    views: int = 1
    seed: int = 0

    def __post_init__(self):
        check_number("steps", self.steps, low=1)
        check_number("learning_rate", self.learning_rate, low=0, open_low=True)
        check_number("lanes", self.lanes, low=1)
        check_number("views", self.views, low=1)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "Recipe":
        return cls(**{**fields, "network": Network.from_json(fields["network"])})


class Fitted(NamedTuple):
    """Stacked networks on the host, and for each the row of its image, its view and its PSNR in dB."""

    weights: PyTree
    row: np.ndarray
    view: np.ndarray
    psnr: np.ndarray


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
) -> tuple[PyTree, Float[Array, " lanes"]]:
    """Fit one group: weights with a leading axis of lanes, and each network's final mean squared error.

    Args:
        recipe: architecture and schedule; static.
        points: coordinates, shared by the group.
        values: what each network should give at the points.
        image, view: numbers from which each network's key derives.

    Example:
        >>> import jax.numpy as jnp
        >>> from wsjax.networks import Network, grid
        >>> recipe = Recipe(Network("siren", (2, 8, 1), w0=(10.0,)), steps=2, lanes=3)
        >>> _, mse = fit_group(recipe, grid((4, 4)), jnp.zeros((3, 16, 1)), jnp.arange(3), jnp.zeros(3, jnp.int32))
        >>> mse.shape
        (3,)
    """
    network = recipe.network
    optimiser = optax.adam(optax.cosine_decay_schedule(recipe.learning_rate, recipe.steps))

    def loss(weights: PyTree, target: Array) -> Array:
        return jnp.mean(jnp.square(network.apply(weights, points) - target))

    def step(carry, _):
        weights, state = carry
        gradient = jax.vmap(jax.grad(loss))(weights, values)
        with jax.numpy_dtype_promotion("standard"):
            updates, state = optimiser.update(gradient, state, weights)
            return (optax.apply_updates(weights, updates), state), None

    def start(image: Array, view: Array) -> PyTree:
        return network.init(jax.random.fold_in(jax.random.fold_in(jax.random.key(recipe.seed), image), view))

    weights = jax.vmap(start)(image, view)
    (weights, _), _ = jax.lax.scan(step, (weights, optimiser.init(weights)), None, length=recipe.steps)
    return weights, jax.vmap(loss)(weights, values)


def default_workers() -> int:
    """One a core on a CPU, one a device on accelerators."""
    if jax.default_backend() != "cpu":
        return jax.local_device_count()
    # The cores this process may use, where the system tells.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def fit_devices() -> list[Any]:
    """Where groups are fitted: every local accelerator, or the one CPU, which the threads share."""
    return jax.local_devices()[:1] if jax.default_backend() == "cpu" else jax.local_devices()


def groups(recipe: Recipe, images: int) -> list[np.ndarray]:
    """The jobs of a whole fit, (image row, view) pairs in groups of `lanes`; the last may be short."""
    jobs = np.stack(np.meshgrid(np.arange(images), np.arange(recipe.views), indexing="ij"), axis=-1).reshape(-1, 2)
    return [jobs[i : i + recipe.lanes] for i in range(0, len(jobs), recipe.lanes)]


def fit_groups(
    images: Images, recipe: Recipe, jobs: list[np.ndarray], *, workers: int | None = None
) -> Iterator[Fitted]:
    """Fit groups of (image row, view) pairs, yielding each on the host, in the order given.

    Groups go to the accelerators in turn, to as many as there are workers. Closing the iterator, or an exception in
    the loop that reads it (Ctrl-C), abandons the groups not yet begun.

    Raises:
        ValueError: a network whose widths do not fit the images.
        DataError: a network that ended in NaN or infinity, naming the rows.

    Example:
        >>> from wsjax.data import limit, load_images
        >>> few = limit(load_images("digits"), 5)
        >>> recipe = Recipe(Network("siren", (2, 4, 1)), steps=2, lanes=4)
        >>> [len(fitted.row) for fitted in fit_groups(few, recipe, groups(recipe, 5))]
        [4, 1]
    """
    _, rows, columns, channels = images.pixels.shape
    if recipe.network.widths[0] != 2 or recipe.network.widths[-1] != channels:
        raise ValueError(
            f"the recipe's network has widths {recipe.network.widths}; images of {images.name} need 2 inputs and "
            f"{channels} outputs: set the widths so"
        )
    points = grid((rows, columns))
    threads = workers or default_workers()
    devices = fit_devices()[:threads]

    def work(group: np.ndarray, device) -> Fitted:
        padded = group[np.arange(recipe.lanes) % len(group)]
        values = images.pixels[padded[:, 0]].reshape(recipe.lanes, rows * columns, channels)
        inputs = (points, values, images.index[padded[:, 0]], padded[:, 1].astype(np.int32))
        weights, mse = fit_group(recipe, *jax.device_put(inputs, device))
        kept = jax.tree.map(lambda x: np.asarray(x)[: len(group)], weights)
        quality = np.asarray(psnr(mse), np.float32)[: len(group)]
        check_finite(kept, f"fitting images {images.index[group[:, 0]].tolist()}", "Lower the learning rate.")
        return Fitted(kept, group[:, 0], group[:, 1], quality)

    with ThreadPoolExecutor(threads) as pool:
        pending = deque(pool.submit(work, group, device) for group, device in zip(jobs, itertools.cycle(devices)))
        try:
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()


def fit_jobs(
    images: Images, recipe: Recipe, jobs: list[np.ndarray], *, workers: int | None, progress: bool, done: int = 0
) -> Generator[Fitted]:
    """`fit_groups` with a progress bar that shows the mean PSNR so far; `done` networks were fitted before."""
    total, quality, count = done + sum(map(len, jobs)), 0.0, 0
    with tqdm(total=total, initial=done, unit="net", desc=f"fit {images.name}", disable=not progress) as bar:
        for fitted in fit_groups(images, recipe, jobs, workers=workers):
            quality, count = quality + float(fitted.psnr.sum()), count + len(fitted.row)
            bar.set_postfix(psnr=f"{quality / count:.1f} dB", refresh=False)
            bar.update(len(fitted.row))
            yield fitted


def fit_weights(images: Images, recipe: Recipe, *, workers: int | None = None, progress: bool = True) -> Fitted:
    """Fit every image (and view), in memory, with a progress bar that shows the mean PSNR so far.

    Args:
        images: what to fit.
        recipe: how.
        workers: host threads; None takes one a core on a CPU, one a device on accelerators.
        progress: show the bar.

    Example:
        >>> from wsjax.data import limit, load_images
        >>> recipe = Recipe(Network("siren", (2, 8, 1), w0=(10.0,)), steps=5, lanes=4)
        >>> fit_weights(limit(load_images("digits"), 6), recipe, progress=False).psnr.shape
        (6,)
    """
    jobs = groups(recipe, len(images.pixels))
    return concatenate(list(fit_jobs(images, recipe, jobs, workers=workers, progress=progress)))


def concatenate(parts: list[Fitted]) -> Fitted:
    """Stack fitted groups in order."""
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)
