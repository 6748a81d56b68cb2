"""The contestants of the suite `fit`: wsjax, plain vmap, a PyTorch loop; and the check of the PSNR that they reach.

Every contestant makes, for each signal by its number, the PSNR in dB that it reached.
"""

import functools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, PyTree

from benchmarks.speed.harness import Contestant, Timing
from benchmarks.torch import loop as torch_loop
from wsjax.data.fitting.grouped import concatenate, fit_groups, groups, psnr
from wsjax.data.recipe import Recipe
from wsjax.data.sources.signals import Signals
from wsjax.networks import Network
from wsjax.typing import Layer

TOLERANCE = 1.0  # dB between contestants' mean PSNR on the same signals


def wsjax_contestant(recipe: Recipe, signals: Signals) -> Contestant:
    jobs = groups(recipe, len(signals.values))

    def run(_: int) -> dict[int, float]:
        return dict(enumerate(concatenate(list(fit_groups(signals, recipe, jobs))).psnr.tolist()))

    return Contestant("wsjax", run, len(signals.values) * recipe.steps)


def vmap_contestant(recipe: Recipe, signals: Signals, slots: int) -> Contestant:
    few = signals.take(np.arange(slots))
    arrays = [jnp.asarray(array) for array in (few.points, few.values, few.index)]

    def run(_: int) -> dict[int, float]:
        return dict(enumerate(psnr(plain_fit(recipe, *arrays), signals.peak).tolist()))

    return Contestant(f"plain vmap ({slots} at once)", run, slots * recipe.steps)


def torch_contestant(problems: Sequence[torch_loop.Problem], steps: int, adam: str, threads: int) -> Contestant:
    """One network a round, another signal each time, whose values run over a range of width 1."""

    def run(number: int) -> dict[int, float]:
        error, _ = torch_loop.fit(problems[number], steps, threads=threads, adam=adam)
        return {number: -10 * math.log10(error)}

    return Contestant(f"torch loop ({adam}, {threads} thread{'s' * (threads > 1)})", run, steps)


def torch_problem(recipe: Recipe, signals: Signals, row: int) -> torch_loop.Problem:
    """A signal and the weights from which wsjax begins on it, for PyTorch."""
    network = recipe.network
    weights = [np.asarray(leaf) for leaf in jax.tree.leaves(initial_weights(recipe, row))]
    points = signals.points if signals.shared else signals.points[row]
    settings = (network.w0, network.offset, recipe.learning_rate, recipe.batch_points)
    return torch_loop.Problem(weights, points, signals.values[row], *settings)


def everyone(
    recipe: Recipe, signals: Signals, *, rounds: int, loops: Sequence[tuple[str, int]], slots: Sequence[int]
) -> tuple[Contestant, list[Contestant], list[Contestant]]:
    """wsjax; PyTorch's loop with each Adam and number of threads; plain vmap over each number of slots."""
    problems = [torch_problem(recipe, signals, row) for row in range(rounds)]
    theirs = [torch_contestant(problems, recipe.steps, adam, threads) for adam, threads in loops]
    return wsjax_contestant(recipe, signals), theirs, [vmap_contestant(recipe, signals, count) for count in slots]


def fastest(timings: dict[str, Timing], contestants: Sequence[Contestant]) -> str:
    """The name of the fastest by median."""
    return min((c.name for c in contestants), key=lambda name: float(np.median(timings[name].seconds)))


def check_quality(made: dict[str, list[dict[int, float]]], reference: str, tolerance: float = TOLERANCE) -> str:
    """A note on the PSNR reached, once each contestant's mean is found to be the reference's on the same images.

    Args:
        made: for each contestant and round, the PSNR in dB by number.
        reference: the contestant to compare with.
        tolerance: dB that one may differ.

    Raises:
        ValueError: one differs by more; it is named with both numbers.
    """
    psnrs = {name: {number: db for one in rounds for number, db in one.items()} for name, rounds in made.items()}
    worst = 0.0
    for name, theirs in psnrs.items():
        found = float(np.mean(list(theirs.values())))
        expected = float(np.mean([psnrs[reference][number] for number in theirs]))
        if not abs(found - expected) <= tolerance:
            raise ValueError(
                f"{name} reached {found:.1f} dB and {reference} {expected:.1f} dB on the same {len(theirs)} signals; "
                f"expected at most {tolerance:g} dB between them: the comparison is void, mend that contestant"
            )
        worst = max(worst, abs(found - expected))
    mean = float(np.mean(list(psnrs[reference].values())))
    return f"Mean PSNR of {reference}: {mean:.1f} dB; every contestant within {worst:.2f} dB on those it fitted."


def plain_apply(
    network: Network, weights: tuple[Layer, ...], x: Float[Array, "points inputs"]
) -> Float[Array, "points outputs"]:
    """Points as rows and `jnp.sin`."""
    *hidden, last = weights
    for layer, w in zip(hidden, network.w0, strict=True):
        x = jnp.sin(w * (x @ layer.kernel + layer.bias[None, :]))
    return x @ last.kernel + last.bias[None, :] + network.offset


def initial_weights(recipe: Recipe, number: int | Int[Array, ""]) -> tuple[Layer, ...]:
    """The weights from which wsjax fits the first view of the signal of that number."""
    return recipe.network.init(jax.random.fold_in(jax.random.fold_in(jax.random.key(recipe.seed), number), 0))


@functools.partial(jax.jit, static_argnums=0)
def plain_fit(
    recipe: Recipe,
    points: Float[Array, "*slots points inputs"],
    values: Float[Array, "slots points channels"],
    number: Int[Array, " slots"],
) -> Float[Array, " slots"]:
    """Fit one network to each signal by Adam with the recipe's cosine schedule; each one's mean squared error."""
    optimizer = optax.adam(optax.cosine_decay_schedule(recipe.learning_rate, recipe.steps))
    own = 0 if points.ndim == 3 else None
    count = values.shape[1]

    def loss(weights: PyTree, points: Array, target: Array) -> Array:
        return jnp.mean(jnp.square(plain_apply(recipe.network, weights, points) - target))

    def step(carry, step):
        weights, state = carry
        batch = points, values
        if recipe.batch_points is not None:
            key = jax.random.fold_in(jax.random.key(recipe.seed), step)
            rows = jax.random.randint(key, (recipe.batch_points,), 0, count)
            batch = points[..., rows, :], values[:, rows]
        gradient = jax.vmap(jax.grad(loss), (0, own, 0))(weights, *batch)
        with jax.numpy_dtype_promotion("standard"):
            updates, state = optimizer.update(gradient, state, weights)
            return (optax.apply_updates(weights, updates), state), None

    weights = jax.vmap(functools.partial(initial_weights, recipe))(number)
    (weights, _), _ = jax.lax.scan(step, (weights, optimizer.init(weights)), jnp.arange(recipe.steps))
    return jax.vmap(loss, (0, own, 0))(weights, points, values)
