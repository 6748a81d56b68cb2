"""The compiled part: gather, augment, apply, update; whole epochs under `scan`, all runs under `vmap`.

The data set is on the device whole and comes in as an argument. The order of an epoch and the draws of a step derive
from the step number alone, so a scan split anywhere between epochs gives the same bits.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int, PyTree

from wsjax.augment.strength import at_strength
from wsjax.devices import spread
from wsjax.floats import widened
from wsjax.models.wrappers import applied, computing_in
from wsjax.train.config import TrainConfig
from wsjax.train.model import Static
from wsjax.train.source import Pipelines, Resident
from wsjax.train.state import Packing, TrainState, updated
from wsjax.train.task import Task
from wsjax.typing import Batch, Key, Reader, Transform

Parameters = TypeVar("Parameters")


class Metrics(NamedTuple):
    """One evaluation of one run: the loss averaged over the epochs since the last, and the scores of two splits."""

    loss: Float[Array, ""]
    train: Float[Array, ""]
    validation: Float[Array, ""]


def steps_per_epoch(networks: int, batch_size: int) -> int:
    """Steps to take every network once; the last batch is filled up from the start of the epoch's order."""
    return -(-networks // batch_size)


def epoch_order(key: Key, epoch: Int[Array, ""], networks: int, batch_size: int) -> Int[Array, "steps batch"]:
    """A random order of all networks in rows of one batch, filled up from its own start."""
    order = jax.random.permutation(jax.random.fold_in(jax.random.fold_in(key, 0), epoch), networks)
    steps = steps_per_epoch(networks, batch_size)
    return order[jnp.arange(steps * batch_size) % networks].reshape(steps, batch_size)


def strengthened(config: TrainConfig, augment: Transform[Batch], done: Float[Array, ""]) -> Transform[Batch]:
    """The augmentation at the strength of the schedule when a fraction of the training is done."""
    if config.schedule == "constant":
        return augment
    return at_strength(augment, done if config.schedule == "rising" else 1 - done)


@functools.partial(jax.jit, static_argnames=("config", "task", "static", "packing", "mesh"))
def advance(
    config: TrainConfig,
    task: Task,
    static: Static,
    packing: Packing,
    frozen: PyTree,
    pipelines: Pipelines,
    states: TrainState,
    train: Resident,
    validation: Resident,
    mesh: Mesh | None,
) -> tuple[TrainState, Metrics]:
    """`config.evaluation_interval` epochs of stacked runs and the evaluation after them, in one compiled program.

    Compiled once for a configuration, a model's structure and shapes: the settings of runs and of the augmentation are
    arguments. All are given by position, as a call by name would compile anew. The model comes in two parts, its arrays
    that do not train (`frozen`) and all that is no array (`static`). Every leaf of the packed states and of the metrics
    has a leading axis of runs. `mesh` says where to spread each batch; None keeps one device.
    """
    networks = train.networks
    steps = steps_per_epoch(networks, config.batch_size)

    def model(parameters: PyTree) -> Reader:
        return eqx.combine(packing.tree(parameters), frozen, static.tree)

    def loss(parameters: PyTree, part: tuple[Batch, Array], rate: Array) -> Array:
        batch, keys = part
        call = computing_in(model(parameters), config.compute_dtype)
        outputs = widened(jax.vmap(lambda w, k: applied(call, w, k, rate))(batch.weights, keys))
        return task.loss(outputs, batch.label)

    def step(augment: Transform[Batch], state: TrainState, rows: Int[Array, " batch"]) -> tuple[TrainState, Array]:
        key = jax.random.fold_in(jax.random.fold_in(state.key, 1), state.step)
        batch = spread(train.batch(rows, task), mesh)
        # The barrier keeps XLA from drawing the augmentation anew in every kernel that takes a weight.
        moved = strengthened(config, augment, state.step / (steps * config.epochs))
        batch = jax.lax.optimization_barrier(task.drawn(moved, jax.random.fold_in(key, 0), batch))
        keys = jax.random.split(jax.random.fold_in(key, 1), len(jax.tree.leaves(batch.weights)[0]))
        dropping = functools.partial(loss, rate=state.settings.dropout_rate)
        value, gradient = value_and_mean_gradient(
            dropping, state.parameters, (batch._replace(object=None), keys), config.microbatches
        )
        return updated(config, state, gradient, steps * config.epochs), value

    def epoch(augment: Transform[Batch], state: TrainState, _) -> tuple[TrainState, Array]:
        order = epoch_order(state.key, state.step // steps, networks, config.batch_size)
        return jax.lax.scan(functools.partial(step, augment), state, order)

    def one_run(state: TrainState, own: PyTree) -> tuple[TrainState, Metrics]:
        combined = eqx.combine(own, pipelines.shared)
        state, losses = jax.lax.scan(functools.partial(epoch, combined), state, None, length=config.evaluation_interval)
        # The key of what an evaluation draws is the same after every epoch.
        key = jax.random.fold_in(state.key, 2)
        scored = eqx.nn.inference_mode(model(state.scored))
        reached, fitted = task.scores(scored, combined, key, validation, train, batch_size=config.batch_size)
        better = reached > state.best_score if task.selects else jnp.bool_(True)
        keep = lambda new, old: jnp.where(better, new, old)
        state = state._replace(
            best=jax.tree.map(keep, state.scored, state.best),
            best_score=keep(reached, state.best_score),
            best_epoch=keep(state.step // steps, state.best_epoch),
        )
        return state, Metrics(jnp.mean(losses), fitted, reached)

    return jax.vmap(one_run)(states, pipelines.own)


def value_and_mean_gradient(
    loss: Callable[[Parameters, PyTree], Float[Array, ""]], parameters: Parameters, batch: PyTree, microbatches: int = 1
) -> tuple[Float[Array, ""], Parameters]:
    """A loss that is a mean over networks, and its gradient, one microbatch after the other.

    `1/m sum_k L(p, B_k)` and its gradient over the m equal microbatches `B_k = batch[k::m]`: what the whole batch
    gives, up to rounding, with an m-th of what the backward pass keeps of the forward one. Each takes every m-th
    network, so that a batch spread over devices stays where it is.
    """
    if microbatches == 1:
        return jax.value_and_grad(loss)(parameters, batch)
    cut = jax.tree.map(lambda x: x.reshape(-1, microbatches, *x.shape[1:]).swapaxes(0, 1), batch)

    def add(total: PyTree, part: PyTree) -> tuple[PyTree, None]:
        return jax.tree.map(jnp.add, total, jax.value_and_grad(loss)(parameters, part)), None

    nothing = jnp.zeros(()), jax.tree.map(jnp.zeros_like, parameters)
    return jax.tree.map(lambda x: x / microbatches, jax.lax.scan(add, nothing, cut)[0])
