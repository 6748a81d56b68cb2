"""Suite `fit`: the time of one Adam step of one 2-32-32-1 SIREN on 784 pixels, and of other work, on two CPU cores.

wsjax        `fit_groups` over many groups, all host threads: a whole fit as `wsjax fit` runs it
plain vmap   points-major `jnp.sin` layers, one program for 16 or 64 networks; the better counts
torch loop   one network at a time; 1 or 2 threads, foreach or fused Adam; the best counts

All start from the same weights, fit the same images by the same Adam and schedule, and must reach the same PSNR.
"""

import itertools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.speed import fit_cases, fit_sine, harness
from benchmarks.speed.fit_contestants import check_quality, everyone, fastest, torch_problem
from benchmarks.speed.harness import Contestant, Outcome
from benchmarks.torch import loop as torch_loop
from wsjax.data.pool import workers_of
from wsjax.data.recipe import Recipe
from wsjax.data.sources.images import Images
from wsjax.data.sources.signals import as_signals
from wsjax.networks import Network
from wsjax.networks.sine import sine

CASE = "fit/siren_2-32-32-1_784"
NETWORK = Network("siren", (2, 32, 32, 1), w0=(30.0,), offset=0.5)
MARK = 1311.0  # us a step of the PyTorch loop, measured before on two AVX-512 cores, torch 2.13.0
MARK_RATE = 450.0  # GFLOP/s of a large matrix product on those cores


@dataclass(frozen=True)
class Size:
    """How much is measured: Adam steps, rounds, groups for each worker of wsjax, slots of plain vmap, edges."""

    steps: int = 300
    rounds: int = 7
    groups: int = 4
    slots: tuple[int, ...] = (16, 64)
    pixels: int = 28
    product: int = 2048


QUICK = Size(steps=20, rounds=3, groups=2)


def run(*, quick: bool) -> dict[str, Any]:
    """Measure on two cores and report."""
    torch_loop.load_torch()
    jax.config.update("jax_platforms", "cpu")

    def measured(load: float) -> Outcome:
        first = contest(QUICK if quick else Size(), load)
        others = fit_cases.contest(fit_cases.QUICK if quick else fit_cases.Size())
        sines = fit_sine.contest(fit_sine.QUICK if quick else fit_sine.Size())
        return [*first[0], *others[0], *sines[0]], first[1] | others[1] | sines[1], [*first[2], *others[2], *sines[2]]

    return harness.run("fit", measured, quick=quick)


def contest(size: Size, load: float) -> Outcome:
    """Rows, every contestant's times, and notes.

    Args:
        size: how much to measure.
        load: the machine's load average before; a note may cite it.

    Raises:
        ValueError: the contestants did not reach the same PSNR, so their times do not compare.
    """
    recipe = Recipe(NETWORK, steps=size.steps, learning_rate=1e-3)
    count = max(size.groups * workers_of() * recipe.slots, *size.slots, size.rounds)
    signals = as_signals(smooth_images(count, size.pixels), recipe)
    settings = list(itertools.product(("foreach", "fused"), (1, 2)))
    fits, loops, vmaps = everyone(recipe, signals, rounds=size.rounds, loops=settings, slots=size.slots)
    product, sines = product_contestant(size.product), sine_contestant(recipe, size.pixels**2)
    timings = harness.measure([fits, *loops, *vmaps, product, sines], size.rounds)
    quality = check_quality({c.name: timings[c.name].made for c in (fits, *loops, *vmaps)}, fits.name)

    times = {name: 1e6 * timing.seconds for name, timing in timings.items()}
    ours, loop, plain = times[fits.name], fastest(timings, loops), fastest(timings, vmaps)
    products = operations(NETWORK, size.pixels**2) * times[product.name]
    rows = [
        harness.compare(f"{CASE}/vs_torch_loop", ours, loop, times[loop], "us"),
        harness.compare(f"{CASE}/vs_plain_vmap", ours, plain, times[plain], "us"),
        harness.compare(f"{CASE}/vs_products", ours, "its matrix products alone", products, "us"),
        harness.compare(f"{CASE}/vs_floor", ours, "its products and sines alone", products + times[sines.name], "us"),
        harness.compare(f"{CASE}/torch_loop_vs_mark", times[loop], "the earlier mark", MARK, "us"),
    ]
    adam, threads = settings[[c.name for c in loops].index(loop)]
    parts = torch_loop.parts(torch_problem(recipe, signals, 0), recipe.steps, threads=threads, adam=adam)
    rate = 1e-3 / float(np.median(times[product.name]))
    return rows, timings, [quality, *notes(rows[-1].value, parts, rate, load)]


def product_contestant(edge: int, repeats: int = 8) -> Contestant:
    """A large matrix product: what the cores can do. Its unit of work is one floating-point operation."""
    square = jnp.full((edge, edge), 0.5, jnp.float32)
    multiply = jax.jit(lambda a: a @ a)
    return Contestant("large product", lambda _: [multiply(square) for _ in range(repeats)], repeats * 2.0 * edge**3)


def sine_contestant(recipe: Recipe, points: int) -> Contestant:
    """The sines of one step alone, and their derivatives, of as many networks as one group, on every worker."""
    widths, workers = NETWORK.widths[1:-1], workers_of()
    angles = tuple(jnp.linspace(-20.0, 20.0, width * points).reshape(width, points) for width in widths)

    def step(_, carry):
        def one(angle):
            value, back = jax.vjp(sine, angle)
            return back(value)[0]

        return jax.lax.map(lambda slot: tuple(one(angle) for angle in slot), carry)

    steps = max(1, recipe.steps // 10)
    stacked = tuple(jnp.broadcast_to(angle, (recipe.slots, *angle.shape)) for angle in angles)
    sines = jax.jit(lambda x: jax.lax.fori_loop(0, steps, step, x))

    def run(_: int) -> None:
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(lambda _: jax.block_until_ready(sines(stacked)), range(workers)))

    return Contestant("sines", run, workers * recipe.slots * steps)


def smooth_images(count: int, edge: int) -> Images:
    """Random gray images of soft blobs; nothing to download."""
    coarse = jnp.asarray(np.random.default_rng(0).random((count, 7, 7, 1), np.float32))
    pixels = np.clip(np.asarray(jax.image.resize(coarse, (count, edge, edge, 1), "cubic")), 0, 1)
    label, split = np.zeros(count, np.int32), np.zeros(count, np.int8)
    return Images("smooth", pixels, label, split, np.arange(count, dtype=np.int32), ("blobs",))


def operations(network: Network, points: int) -> float:
    """Floating-point operations of one step's matrix products: forward, weights' and activations' gradients.

    Example:
        >>> operations(NETWORK, 784) / 1e6
        5.168128
    """
    products = [a * b for a, b in itertools.pairwise(network.widths)]
    return 2.0 * points * (3 * sum(products) - products[0])


def notes(loop: float, parts: np.ndarray, rate: float, load: float) -> list[str]:
    """How the PyTorch loop stands to its mark, and why where it is far above.

    Args:
        loop: us a step.
        parts: us of its forward, backward and Adam.
        rate: of a large matrix product here, GFLOP/s.
        load: the machine's load average before.
    """
    forward, backward, adam = parts.tolist()
    found = [
        f"A large matrix product runs at {rate:.0f} GFLOP/s here; it ran at {MARK_RATE:.0f} where the mark was taken.",
        f"The PyTorch loop takes {loop:.0f} us a step, {loop / MARK:.2f} times the mark of {MARK:.0f} us; by parts: "
        f"forward {forward:.0f}, backward {backward:.0f}, Adam {adam:.0f} us.",
    ]
    if loop > harness.UNEXPLAINED * MARK:
        slower, busy = MARK_RATE / rate, sum(parts.tolist()) < loop / harness.UNEXPLAINED
        why = (
            f"its parts alone, timed right after, sum to {sum(parts.tolist()):.0f} us: other work held the cores; "
            f"measure again on a quiet machine"
            if busy
            else f"these cores are {slower:.1f} times slower in a large matrix product"
        )
        found.append(f"Why more than {harness.UNEXPLAINED:g} times the mark: {why} (load average before: {load:.2f}).")
    return found
