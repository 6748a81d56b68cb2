"""The compiled part of contrastive learning: gather, two views, read, compare, update."""

import functools
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from wsjax.floats import widened
from wsjax.models import computing_in
from wsjax.train.config import Plan
from wsjax.train.inputs import Arrays
from wsjax.train.nt_xent import agree, nt_xent
from wsjax.train.state import Static, TrainState, updated
from wsjax.train.step import epoch_order, steps_per_epoch
from wsjax.typing import Batch, Key, Reader, Transform


class Comparison(NamedTuple):
    """One evaluation of one run: the loss averaged over the epochs since the last, the accuracy on validation."""

    loss: Float[Array, ""]
    accuracy: Float[Array, ""]


@functools.partial(jax.jit, static_argnames=("plan", "static"))
def approach(
    plan: Plan,
    static: Static,
    frozen: PyTree,
    pipeline: Transform[Batch],
    temperature: Float[Array, ""],
    states: TrainState,
    train: Arrays,
    validation: Arrays,
) -> tuple[TrainState, Comparison]:
    """`plan.evaluate_every` epochs of stacked runs and the evaluation after them, in one compiled program.

    Args:
        plan: the shared settings.
        static: the reader without arrays.
        frozen: its arrays that do not train.
        pipeline: the augmentation, drawn twice.
        temperature: of the loss.
        states: every leaf with a leading axis of runs; their `best` stays as it is, as the last step is kept.
        train, validation: the splits, on the device, with placeholders for labels.

    Returns:
        The states and the evaluation, every leaf with a leading axis of runs.
    """
    networks = len(train.label)
    steps = steps_per_epoch(networks, plan.batch_size)

    def reader(parameters: PyTree) -> Reader:
        return eqx.combine(parameters, frozen, static.tree)

    def loss(parameters: PyTree, seen: PyTree, shown: Array, keys: Array, rate: Array) -> Array:
        model = computing_in(reader(parameters), plan.compute)
        given = widened(jax.vmap(lambda w, k: model(w, key=k, rate=rate))(seen, keys))
        return nt_xent(given, shown, temperature)

    def step(state: TrainState, rows: Int[Array, " batch"]) -> tuple[TrainState, Array]:
        key = jax.random.fold_in(jax.random.fold_in(state.key, 1), state.step)
        batch, shown = _gather(train, rows)
        seen = _two_views(pipeline, jax.random.fold_in(key, 0), batch)
        keys = jax.random.split(jax.random.fold_in(key, 1), 2 * len(rows))
        value, gradient = jax.value_and_grad(loss)(state.parameters, seen, shown, keys, state.settings.dropout)
        return updated(plan, state, gradient, steps * plan.epochs), value

    def epoch(state: TrainState, _) -> tuple[TrainState, Array]:
        return jax.lax.scan(step, state, epoch_order(state.key, state.step // steps, networks, plan.batch_size))

    def one_run(state: TrainState) -> tuple[TrainState, Comparison]:
        state, losses = jax.lax.scan(epoch, state, None, length=plan.evaluate_every)
        # The key of the views of validation is the same after every epoch.
        key = jax.random.fold_in(state.key, 2)
        reached = contrastive_accuracy(reader(state.parameters), pipeline, key, validation, plan.batch_size)
        return state, Comparison(jnp.mean(losses), reached)

    return jax.vmap(one_run)(states)


def contrastive_accuracy(
    model: Reader, pipeline: Transform[Batch], key: Key, data: Arrays, batch_size: int
) -> Float[Array, ""]:
    """The share of a split's views whose nearest is the other view of their own network, among those of a batch.

    Batches are whole, and what is left over beyond them is not read; a split smaller than one is a batch of its own.
    """
    size = min(batch_size, len(data.label))
    rows = jnp.arange(len(data.label) // size * size).reshape(-1, size)

    def right(places: tuple[Int[Array, ""], Int[Array, " batch"]]) -> Float[Array, ""]:
        number, chosen = places
        batch, shown = _gather(data, chosen)
        given = jax.vmap(model)(_two_views(pipeline, jax.random.fold_in(key, number), batch))
        return jnp.mean(agree(given, shown).astype(jnp.float32))

    return jnp.mean(jax.lax.map(right, (jnp.arange(len(rows)), rows)))


def _gather(data: Arrays, rows: Int[Array, " batch"]) -> tuple[Batch, Int[Array, " batch"]]:
    """A batch, and what tells its networks apart: their objects, or where none are known their rows."""
    weights, label, shown = jax.tree.map(lambda x: x[rows], tuple(data))
    return Batch(weights, label, shown), rows if shown is None else shown


def _two_views(pipeline: Transform[Batch], key: Key, batch: Batch) -> PyTree:
    """The batch's weights augmented by two draws, one view of all networks after the other."""
    one, other = (pipeline(jax.random.fold_in(key, i), batch).weights for i in range(2))
    # The barrier keeps XLA from drawing the augmentation anew in every kernel that reads a weight.
    return jax.lax.optimization_barrier(jax.tree.map(lambda a, b: jnp.concatenate([a, b]), one, other))
