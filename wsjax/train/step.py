"""The compiled part: gather, augment, mix, read, update; whole epochs under `scan`, all runs under `vmap`.

The data set lives on the device whole and comes in as an argument. The order of an epoch and the draws of a step
derive from the step number alone, so a scan split anywhere between epochs gives the same bits.
"""

import functools
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int, PyTree

from wsjax.augment import at_strength
from wsjax.devices import spread
from wsjax.floats import widened
from wsjax.models import computing_in
from wsjax.train.config import Plan
from wsjax.train.gradient import value_and_mean_gradient
from wsjax.train.inputs import Arrays
from wsjax.train.pipelines import Pipelines
from wsjax.train.scores import are_classes, scores, soft
from wsjax.train.state import Packing, Static, TrainState, updated
from wsjax.typing import Batch, Key, Reader, Transform


class Metrics(NamedTuple):
    """One evaluation of one run: the loss averaged over the epochs since the last, and the scores of two splits."""

    loss: Float[Array, ""]
    train: Float[Array, ""]
    validation: Float[Array, ""]


def steps_per_epoch(networks: int, batch_size: int) -> int:
    """Steps to see every network once; the last batch is filled up from the start of the epoch's order."""
    return -(-networks // batch_size)


def epoch_order(key: Key, epoch: Int[Array, ""], networks: int, batch_size: int) -> Int[Array, "steps batch"]:
    """A random order of all networks in rows of one batch, filled up from its own start.

    Example:
        >>> import jax
        >>> epoch_order(jax.random.key(0), jnp.int32(0), 5, 3).shape
        (2, 3)
    """
    order = jax.random.permutation(jax.random.fold_in(jax.random.fold_in(key, 0), epoch), networks)
    steps = steps_per_epoch(networks, batch_size)
    return order[jnp.arange(steps * batch_size) % networks].reshape(steps, batch_size)


def strengthened(plan: Plan, pipeline: Transform[Batch], done: Float[Array, ""]) -> Transform[Batch]:
    """The augmentation as strong as the plan wants it when so much of the training is done."""
    if plan.strength == "constant":
        return pipeline
    return at_strength(pipeline, done if plan.strength == "rising" else 1 - done)


@functools.partial(jax.jit, static_argnames=("plan", "static", "packing", "classes", "mesh"))
def advance(
    plan: Plan,
    static: Static,
    packing: Packing,
    frozen: PyTree,
    pipelines: Pipelines,
    states: TrainState,
    train: Arrays,
    validation: Arrays,
    classes: int,
    mesh: Mesh | None = None,
) -> tuple[TrainState, Metrics]:
    """`plan.evaluate_every` epochs of stacked runs and the evaluation after them, in one compiled program.

    The loss is the mean cross-entropy of classes, or the mean square of what targets, standardised, are missed by.

    Compiled once for a plan, a reader and shapes: the settings of runs and of the pipeline are arguments. Give them all
    by their places: JAX compiles a call by names a second time.

    Args:
        plan: the shared settings.
        static: the reader without arrays.
        packing: how the states are packed.
        frozen: the reader's arrays that do not train.
        pipelines: the augmentation, and the settings of it that are the runs' own.
        states: packed, every leaf with a leading axis of runs.
        train, validation: the splits, on the device.
        classes: how many there are; 0 where labels are targets.
        mesh: where to spread each batch; None keeps one device.

    Returns:
        The states and the metrics, every leaf with a leading axis of runs.
    """
    networks = len(train.label)
    steps = steps_per_epoch(networks, plan.batch_size)

    def reader(parameters: PyTree) -> Reader:
        return eqx.combine(packing.tree(parameters), frozen, static.tree)

    def loss(parameters: PyTree, part: tuple[Batch, Array], rate: Array) -> Array:
        batch, keys = part
        model = computing_in(reader(parameters), plan.compute)
        given = widened(jax.vmap(lambda w, k: model(w, key=k, rate=rate))(batch.weights, keys))
        if are_classes(train.label):
            return jnp.mean(optax.softmax_cross_entropy(given, batch.label))
        return jnp.mean(jnp.square(given - batch.label))

    def step(augment: Transform[Batch], state: TrainState, rows: Int[Array, " batch"]) -> tuple[TrainState, Array]:
        key = jax.random.fold_in(jax.random.fold_in(state.key, 1), state.step)
        label = soft(train.label[rows], classes)
        weights, shown = jax.tree.map(lambda x: x[rows], (train.weights, train.object))
        batch = spread(Batch(weights, label, shown), mesh)
        # The barrier keeps XLA from drawing the augmentation anew in every kernel that reads a weight.
        moved = strengthened(plan, augment, state.step / (steps * plan.epochs))
        batch = jax.lax.optimization_barrier(moved(jax.random.fold_in(key, 0), batch))
        read = batch._replace(object=None), jax.random.split(jax.random.fold_in(key, 1), len(rows))
        dropping = functools.partial(loss, rate=state.settings.dropout)
        value, gradient = value_and_mean_gradient(dropping, state.parameters, read, plan.microbatches)
        return updated(plan, state, gradient, steps * plan.epochs), value

    def epoch(augment: Transform[Batch], state: TrainState, _) -> tuple[TrainState, Array]:
        order = epoch_order(state.key, state.step // steps, networks, plan.batch_size)
        return jax.lax.scan(functools.partial(step, augment), state, order)

    def one_run(state: TrainState, own: PyTree) -> tuple[TrainState, Metrics]:
        augment = eqx.combine(own, pipelines.shared)
        state, losses = jax.lax.scan(functools.partial(epoch, augment), state, None, length=plan.evaluate_every)
        reached, fitted = scores(reader(state.scored), validation, train)
        better = reached > state.best_score
        keep = lambda new, old: jnp.where(better, new, old)
        state = state._replace(
            best=jax.tree.map(keep, state.scored, state.best),
            best_score=keep(reached, state.best_score),
            best_epoch=keep(state.step // steps, state.best_epoch),
        )
        return state, Metrics(jnp.mean(losses), fitted, reached)

    return jax.vmap(one_run)(states, pipelines.own)
