"""`TrainState`: arrays only, so that it checkpoints, shards and stacks over runs."""

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, PyTree

from wsjax.models.wrappers import head_arrays
from wsjax.train.config import Run, TrainConfig
from wsjax.typing import Key


class Settings(NamedTuple):
    """A run's settings as arrays: traced, so that runs with different ones share a compiled step."""

    learning_rate: Float[Array, ""]
    weight_decay: Float[Array, ""]
    dropout_rate: Float[Array, ""]


class TrainState(NamedTuple):
    """Everything that changes, of one run. `step` is the whole random state: each step's key is fold_in(key, step).

    `best` holds the parameters at the highest validation score, first come first kept; `average` what is scored in
    their place, where the configuration averages them.
    """

    parameters: PyTree
    optimizer: PyTree
    best: PyTree
    best_score: Float[Array, ""]
    best_epoch: Int[Array, ""]
    step: Int[Array, ""]
    key: Key
    settings: Settings
    average: PyTree = None

    @property
    def scored(self) -> PyTree:
        """The parameters that are scored and kept."""
        return self.parameters if self.average is None else self.average


class Packing(NamedTuple):
    """How the parameters of stacked runs become one vector a run, and arrays again; without a structure, not.

    The optimizer's rule looks at each number by itself, so that on one vector it is a few operations, and not a few on
    each of dozens of arrays, which takes seconds more to compile. A training packs its states on the host, where
    nothing is compiled, before its first step, and unpacks them where a model or a checkpoint is made of them.
    """

    structure: Any = None
    shapes: tuple[tuple[int, ...], ...] = ()

    def tree(self, vector: Float[Array, " numbers"] | PyTree) -> PyTree:
        """One run's arrays, inside a compiled program."""
        if self.structure is None:
            return vector
        parts = jax.lax.split(vector, self._sizes)
        leaves = [part.reshape(shape) for part, shape in zip(parts, self.shapes, strict=True)]
        return jax.tree.unflatten(self.structure, leaves)

    def pack(self, states: TrainState) -> TrainState:
        """States with a vector a run wherever they have a tree like the parameters: moments, best, average."""
        if self.structure is None:
            return states
        join = lambda tree: np.concatenate([np.asarray(x).reshape(len(x), -1) for x in jax.tree.leaves(tree)], axis=1)
        alike = lambda node: jax.tree.structure(node) == self.structure
        return jax.tree.map(lambda node: join(node) if alike(node) else node, states, is_leaf=alike)

    def unpack(self, states: TrainState) -> TrainState:
        """Packed states with the trees again, on the host; what else they hold is one number a run."""
        if self.structure is None:
            return states

        def cut(leaf: Array | np.ndarray) -> PyTree:
            if leaf.ndim == 1:
                return leaf
            parts = zip(np.split(np.asarray(leaf), np.cumsum(self._sizes)[:-1], axis=1), self.shapes, strict=True)
            return jax.tree.unflatten(self.structure, [part.reshape(len(part), *shape) for part, shape in parts])

        return jax.tree.map(cut, states)

    @property
    def _sizes(self) -> list[int]:
        return [math.prod(shape) for shape in self.shapes]


def packing_of(config: TrainConfig, states: TrainState) -> Packing:
    """How stacked states are packed: not where the rule asks which arrays are the head's, or they differ in dtype."""
    leaves, structure = jax.tree.flatten(states.parameters)
    if config.freeze is not None or len({leaf.dtype for leaf in leaves}) != 1 or len(leaves) == 1:
        return Packing()
    return Packing(structure, tuple(leaf.shape[1:] for leaf in leaves))


def optimizer(config: TrainConfig, settings: Settings, steps: int) -> optax.GradientTransformation:
    """Adam with decoupled weight decay, clipped by global norm, linear warm-up and cosine decay to zero.

    The learning rate multiplies last, so that it may be traced. The warm-up takes one step at least and leaves one to
    the decay; a training of a single step has none. Where the head trains alone, only it is clipped and decays.
    """
    warmup = min(max(1, round(config.warmup * steps)), steps - 1)
    schedule = optax.warmup_cosine_decay_schedule(0.0, 1.0, warmup, steps)
    rule = optax.chain(
        optax.clip_by_global_norm(config.max_grad_norm),
        optax.scale_by_adam(),
        optax.add_decayed_weights(settings.weight_decay),  # type: ignore[arg-type]
        optax.scale_by_learning_rate(schedule),
        optax.scale(settings.learning_rate),  # type: ignore[arg-type]
    )
    if config.freeze is None:
        return rule
    return optax.partition({True: rule, False: optax.set_to_zero()}, head_arrays)


def init_states(config: TrainConfig, runs: Sequence[Run], parameters: PyTree) -> TrainState:
    """The states of runs, whose settings are filled in, before their first step: every leaf has an axis of runs.

    A run's key is `jax.random.key(run.seed)`.
    """
    numbers = np.array([(run.learning_rate, run.weight_decay, run.dropout_rate) for run in runs], np.float32)
    settings = Settings(*map(jax.device_put, numbers.T))
    fill = lambda value, dtype: jax.device_put(np.full(len(runs), value, dtype))
    start = fill(-np.inf, np.float32), fill(0, np.int32), fill(0, np.int32)
    keys = jnp.stack([jax.random.key(run.seed) for run in runs])
    average = parameters if config.ema_decay else None
    return TrainState(parameters, _moments(config, settings, parameters), parameters, *start, keys, settings, average)


@functools.partial(jax.jit, static_argnums=0)
def _moments(config: TrainConfig, settings: Settings, parameters: PyTree) -> PyTree:
    # The same for any number of steps.
    return jax.vmap(lambda own, run: optimizer(config, own, steps=1).init(run))(settings, parameters)


def updated(config: TrainConfig, state: TrainState, gradient: PyTree, steps: int) -> TrainState:
    """The state after one step of the optimizer, of so many in all."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        rule = optimizer(config, state.settings, steps)
        updates, moments = rule.update(gradient, state.optimizer, state.parameters)
        parameters = optax.apply_updates(state.parameters, updates)
    average = None if state.average is None else averaged(config.ema_decay, state.step, state.average, parameters)
    return state._replace(parameters=parameters, optimizer=moments, step=state.step + 1, average=average)


def averaged(decay: float, step: Int[Array, ""], average: PyTree, parameters: PyTree) -> PyTree:
    """d average + (1 - d) parameters with d = min(decay, (1 + step) / (10 + step)), so that the start is soon left."""
    d = jnp.minimum(jnp.float32(decay), (1 + step) / (10 + step)).astype(jnp.float32)
    return jax.tree.map(lambda mean, now: (mean + (1 - d) * (now - mean)).astype(mean.dtype), average, parameters)
