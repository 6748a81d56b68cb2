"""Suite `compile`: the time of first calls: tracing, lowering, XLA, and the whole call.

augment_recommended   the recommended pipeline made of its SPEC, compiled, and a batch drawn
align                 two networks aligned over permutations, signs and phases
fit                   a group of `digits` fitted by the default recipe
build_READER          an untrained reader
step_READER           its first training step, and the scores of a training and a validation split after it

Every sample is a first call: JAX forgets all that it compiled before it. Networks are 2-32-32-1 SIRENs.
"""

import functools
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.speed import harness
from benchmarks.speed.harness import Contestant, Outcome
from benchmarks.speed.readers_step import CLASSES, Subject
from wsjax import augment, data, models, symmetry
from wsjax.train import Run, TrainConfig
from wsjax.train.model import apart, made
from wsjax.train.source import Pipelines, Resident
from wsjax.train.state import init_states, packing_of
from wsjax.train.step import advance
from wsjax.train.task import Classification
from wsjax.typing import Batch

LIMIT = 10.0
"""Seconds that a first call may take on two slow cores."""

PHASES = {
    "/jax/core/compile/jaxpr_trace_duration": "trace",
    "/jax/core/compile/jaxpr_to_mlir_module_duration": "lower",
    "/jax/core/compile/backend_compile_duration": "xla",
}


@dataclass(frozen=True)
class Size:
    """How much is measured: widths of the networks, how many at once, readers, rounds."""

    widths: tuple[int, ...] = (2, 32, 32, 1)
    batch: int = 128
    names: tuple[str, ...] = tuple(models.READERS)
    rounds: int = 3


QUICK = Size(batch=16, names=("dws", "mlp"), rounds=1)


class Span(NamedTuple):
    """A time in which a thread was in one phase."""

    phase: str
    start: float
    end: float
    thread: int = 0


class First(NamedTuple):
    """One first call: its seconds, those of each phase, and how many programs XLA compiled for it."""

    seconds: float
    phases: dict[str, float]
    programs: int


def seconds_of(spans: Iterable[Span]) -> dict[str, float]:
    """Seconds of each phase; a span within another of its thread counts for its own phase alone.

    Example:
        >>> seconds_of([Span("trace", 0.0, 5.0), Span("trace", 1.0, 2.0), Span("xla", 3.0, 4.0)])
        {'trace': 4.0, 'lower': 0.0, 'xla': 1.0}
    """
    found = dict.fromkeys(PHASES.values(), 0.0)
    around: list[Span] = []
    for span in sorted(spans, key=lambda one: (one.thread, one.start, -one.end)):
        while around and (around[-1].thread != span.thread or around[-1].end <= span.start):
            around.pop()
        if around:
            found[around[-1].phase] -= span.end - span.start
        found[span.phase] += span.end - span.start
        around.append(span)
    return found


def first_call(call: Callable[[], Any]) -> First:
    """Call once with nothing compiled, and watch JAX."""
    spans: list[Span] = []

    def note(event: str, duration_secs: float, **_: Any) -> None:
        if event in PHASES:
            now = time.perf_counter()
            spans.append(Span(PHASES[event], now - duration_secs, now, threading.get_ident()))

    jax.clear_caches()
    jax.monitoring.register_event_duration_secs_listener(note)
    try:
        began = time.perf_counter()
        jax.block_until_ready(call())
        seconds = time.perf_counter() - began
    finally:
        jax.monitoring.unregister_event_duration_listener(note)
    return First(seconds, seconds_of(spans), sum(span.phase == "xla" for span in spans))


def subjects(size: Size) -> dict[str, Callable[[], Any]]:
    """What is called for the first time, by name."""
    some = Subject("mlp", {}, size.widths, size.batch)
    spec, networks = some.network.symmetry, some.networks()
    batch = Batch(networks, jax.nn.one_hot(some.label, CLASSES), None)
    mine, other = (jax.tree.map(lambda leaf, i=i: leaf[i], networks) for i in range(2))
    digits = data.limit(data.load_images("digits"), 16)
    calls: dict[str, Callable[[], Any]] = {
        "augment_recommended": lambda: jax.jit(augment.parse_batch("recommended", spec))(jax.random.key(0), batch),
        "align": lambda: symmetry.align(mine, other, spec),
        "fit": lambda: data.fit(digits, recipe=data.recipe_named("digits"), progress=False).weights,
    }
    for name in size.names:
        subject = Subject(name, {}, size.widths, size.batch)
        calls[f"build_{name}"] = subject.reader
        calls[f"step_{name}"] = step_of(subject)
    return calls


def step_of(subject: Subject) -> Callable[[], Any]:
    """A training of one epoch of one step, as `wsjax.train` runs it."""
    config = TrainConfig(epochs=1, evaluate_every=1, batch_size=subject.batch)
    parameters, frozen = made(lambda key: subject.reader(), [0])
    states = init_states(config, [Run().filled(config)], parameters)
    arrays, static = apart(frozen)
    training = Resident(subject.networks(), jnp.asarray(subject.label, jnp.int32))
    few = jax.tree.map(lambda leaf: leaf[: subject.batch // 2], training)
    packing, pipelines = packing_of(config, states), Pipelines(augment.parse_batch("", subject.network.symmetry))
    fixed = (config, Classification(CLASSES), static, packing, arrays, pipelines)
    return functools.partial(advance, *fixed, packing.pack(states), training, few, None)


def run(*, quick: bool) -> dict[str, Any]:
    """Measure on two cores, or on an accelerator, and report."""
    return harness.run("compile", lambda _: contest(QUICK if quick else Size()), quick=quick)


def contest(size: Size) -> Outcome:
    """Rows, every first call's times, and notes."""
    calls = subjects(size)
    watched = [Contestant(name, lambda _, call=call: first_call(call), 1.0) for name, call in calls.items()]
    timings = harness.measure(watched, size.rounds)
    rows, programs = [], []
    for name, timing in timings.items():
        whole = np.array([made.seconds for made in timing.made])
        rows.append(harness.compare(f"compile/{name}/first_call", whole, "the limit", LIMIT, "s"))
        for phase in PHASES.values():
            part = np.array([max(made.phases[phase], 1e-6) for made in timing.made])
            rows.append(harness.compare(f"compile/{name}/{phase}", part, "its first call", whole, "s"))
        programs.append(f"{name} {timing.made[-1].programs}")
    return rows, timings, [f"Programs that XLA compiled: {', '.join(programs)}."]
