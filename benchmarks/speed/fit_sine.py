"""The sine of the suite `fit`: ours against `jnp.sin`, its value and its gradient, on JAX's default backend.

The suite runs on the CPU; `contest` alone compares them on an accelerator too.

polynomial   what `networks.sine` runs on a CPU: one reduction for the sine and the cosine
jnp.sin      XLA's own, which it runs elsewhere

One program on as many numbers as the hidden layers of one group of 2-32-32-1 networks have at 784 pixels; nanoseconds a
number, one thread a program on a CPU.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from benchmarks.speed import harness
from benchmarks.speed.harness import Contestant, Outcome
from wsjax.networks.sine import polynomial_sine, polynomial_sine_and_cosine
from wsjax.networks.sine import sine as public

LAYERS = (16, 2, 32, 784)
APPLICATIONS = 8  # in one program, each to what the one before gave, so that calling it counts little
BOUND = 1e-5  # between both sides' results, beyond which they did not do the same work


@dataclass(frozen=True)
class Size:
    """How much is measured: rounds, calls in each, and the shape of what is worked on."""

    rounds: int = 15
    calls: int = 8
    shape: tuple[int, ...] = LAYERS


QUICK = Size(rounds=3, calls=2)


def contest(size: Size) -> Outcome:
    """Rows, every contestant's times, and a note on what `networks.sine` takes here.

    Raises:
        ValueError: the two sides differ, so their times do not compare.
    """
    numbers = jnp.asarray(np.random.default_rng(0).uniform(-30, 30, size.shape).astype(np.float32))
    sides = {
        "value": {"polynomial": polynomial_sine, "jnp.sin": jnp.sin},
        "gradient": {"polynomial": polynomial_gradient, "jnp.sin": lambda x: jnp.sin(x) + jnp.cos(x)},
    }
    contestants = []
    for what, functions in sides.items():
        check_same(what, [jax.jit(function)(numbers) for function in functions.values()])
        for name, function in functions.items():
            program = jax.jit(functools.partial(again, function))
            contestants.append(_contestant(f"sine {what}, {name}", program, numbers, size))
    timings = harness.measure(contestants, size.rounds)
    rows = []
    for what in sides:
        ours, theirs = (1e9 * timings[f"sine {what}, {name}"].seconds for name in ("polynomial", "jnp.sin"))
        rows.append(harness.compare(f"fit/sine/{what}", ours, "jnp.sin", theirs, "ns"))
    taken = "the polynomial" if jnp.array_equal(public(numbers), polynomial_sine(numbers)) else "jnp.sin"
    return rows, timings, [f"fit/sine: on {jax.devices()[0].device_kind} `networks.sine` takes {taken}."]


def polynomial_gradient(x: Array) -> Array:
    """The sine and its derivative at the same numbers, as a step of a fit needs both; added, so that both are made."""
    value, derivative = polynomial_sine_and_cosine(x)
    return value + derivative


def again(function: Callable[[Array], Array], x: Array) -> Array:
    """A function applied several times, each to what the one before gave, spread over the whole range again."""
    return jax.lax.fori_loop(0, APPLICATIONS, lambda _, x: 20 * function(x), x)


def _contestant(name: str, program: Callable[[Array], Array], numbers: Array, size: Size) -> Contestant:
    work = float(size.calls * APPLICATIONS * numbers.size)
    return Contestant(name, lambda _: [jax.block_until_ready(program(numbers)) for _ in range(size.calls)], work)


def check_same(what: str, results: list[Array]) -> None:
    """Raise ValueError where two results are not the same numbers."""
    worst = float(jnp.abs(results[0] - results[1]).max())
    if not worst <= BOUND:
        raise ValueError(f"the {what} of the polynomial and that of jnp.sin differ by {worst:.2g}: no comparison")
