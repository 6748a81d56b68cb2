"""The time of the recommended pipeline beside a training step of a DWS reader."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.speed import harness
from benchmarks.speed.augment_subjects import CLASSES, Subject, subject_of
from benchmarks.speed.harness import Contestant, Row, Timing, versus
from wsjax.augment import parse_batch
from wsjax.augment.presets import RECOMMENDED
from wsjax.data import WeightDataset
from wsjax.models import NamedReader
from wsjax.train import Run, TrainConfig
from wsjax.train.model import apart, made
from wsjax.train.source import Pipelines, Resident
from wsjax.train.state import init_states, packing_of
from wsjax.train.step import advance
from wsjax.train.task import task_for
from wsjax.typing import Batch, Transform


@dataclass(frozen=True)
class Steps:
    """Networks a step, steps a call, and which pipelines are measured within a step too."""

    batch: int = 128
    count: int = 20
    within: tuple[str, ...] = ("pipeline", "pipeline_mixup")


def step_rows(channels: int, steps: Steps, rounds: int) -> tuple[list[Row], dict[str, Timing]]:
    """For a DWS reader, pipelines alone against one step without, and the step with them against that without."""
    subject = subject_of("pipeline", steps.batch)
    specs = {"pipeline": RECOMMENDED, "pipeline_mixup": f"{RECOMMENDED} | mixup"}
    plain = step_contestant("", f"step of DWS {channels}", subject, channels, steps.count, rounds)
    within = {
        n: step_contestant(specs[n], f"{plain.name}, {n}", subject, channels, steps.count, rounds) for n in steps.within
    }
    alone = {
        n: alone_contestant(spec, f"{n} of a DWS {channels} step", subject, steps.count, rounds)
        for n, spec in specs.items()
    }
    timings = harness.measure([plain, *within.values(), *alone.values()], rounds)
    where = "" if channels == 8 else f"/channels_{channels}"
    shares = [versus(f"augment/{n}_share_of_step{where}", timings, c.name, plain.name) for n, c in alone.items()]
    whole = [versus(f"augment/{n}_in_step/channels_{channels}", timings, c.name, plain.name) for n, c in within.items()]
    return [*shares, *whole], timings


def step_contestant(spec: str, name: str, subject: Subject, channels: int, count: int, rounds: int) -> Contestant:
    """Training steps as `wsjax train` runs them, all in one compiled program and one step an epoch."""
    batch = len(subject.batch.label)
    label = np.arange(batch) % CLASSES
    networks = [jax.tree.map(lambda leaf, i=i: np.asarray(leaf[i]), subject.batch.weights) for i in range(batch)]
    dataset = WeightDataset.from_networks(networks, label, symmetry=subject.symmetry)
    config = TrainConfig(spec, epochs=count, evaluate_every=count, batch_size=batch)
    parameters, frozen = made(NamedReader("dws", dataset.metadata, {"channels": channels}), [0])
    state = init_states(config, [Run().filled(config)], parameters)
    arrays, static = apart(frozen)
    training = Resident(subject.batch.weights, jnp.asarray(label, jnp.int32), subject.batch.object)
    few = jax.tree.map(lambda leaf: leaf[:1], training)
    packing, pipelines = packing_of(config, state), Pipelines(parse_batch(spec, subject.symmetry))
    packed = jax.device_put(packing.pack(state))
    states = [packed._replace(key=jax.random.key(i)[None]) for i in range(rounds)]

    def run(number: int) -> None:
        fixed = (config, task_for(dataset), static, packing, arrays, pipelines)
        jax.block_until_ready(advance(*fixed, states[number], training, few, None))

    return Contestant(name, run, count)


def alone_contestant(spec: str, name: str, subject: Subject, count: int, rounds: int) -> Contestant:
    """A pipeline on one step's batch, in a program of its own that keeps its settings as arguments."""
    pipeline: Transform[Batch] = parse_batch(spec, subject.symmetry)
    transform = jax.jit(lambda pipeline, key, batch: pipeline(key, batch))
    keys = list(jax.random.split(jax.random.key(2), rounds * count))

    def run(number: int) -> None:
        for key in keys[number * count : (number + 1) * count]:
            jax.block_until_ready(transform(pipeline, key, subject.batch))

    return Contestant(name, run, count)
