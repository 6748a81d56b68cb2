"""`TrainState`: arrays only, so that it checkpoints, shards and stacks over runs."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PyTree

from wsjax.models import head_arrays, trainable
from wsjax.train.config import Plan, Trial
from wsjax.typing import Key


class Settings(NamedTuple):
    """A run's settings as arrays: traced, so that runs with different ones share a compiled step."""

    learning_rate: Float[Array, ""]
    weight_decay: Float[Array, ""]
    dropout: Float[Array, ""]


class TrainState(NamedTuple):
    """Everything that changes, of one run. `step` is the whole random state: each step's key is fold_in(key, step).

    `best` holds the parameters at the highest validation score seen, first come first kept; `average` what is scored in
    their place, where the plan averages them.
    """

    parameters: PyTree
    optimiser: PyTree
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


def split(model: PyTree) -> tuple[PyTree, PyTree]:
    """A reader's trainable arrays, and all the rest; `eqx.combine` joins them again.

    Example:
        >>> import jax.numpy as jnp
        >>> from wsjax.models import Normaliser
        >>> split(Normaliser((jnp.zeros(()),), (jnp.ones(()),)))[0]
        Normaliser(shift=(None,), scale=(None,))
    """
    return eqx.partition(model, trainable(model))


class Static(NamedTuple):
    """What a reader holds beside arrays. Its modules cannot be hashed where they hold a dict; their structure can."""

    leaves: tuple[Any, ...]
    structure: Any

    @property
    def tree(self) -> PyTree:
        return jax.tree.unflatten(self.structure, self.leaves)


def apart(tree: PyTree) -> tuple[PyTree, Static]:
    """The arrays of a tree, and the rest as one value that a compiled step is known by.

    Example:
        >>> arrays, rest = apart({"w": jnp.ones(2), "rule": max})
        >>> rest.tree, hash(rest) == hash(apart({"w": jnp.zeros(2), "rule": max})[1])
        ({'rule': <built-in function max>, 'w': None}, True)
    """
    arrays, rest = eqx.partition(tree, eqx.is_array)
    leaves, structure = jax.tree.flatten(rest)
    return arrays, Static(tuple(leaves), structure)


def optimiser(plan: Plan, settings: Settings, steps: int) -> optax.GradientTransformation:
    """Adam with decoupled weight decay, clipped by global norm, linear warm-up and cosine decay to zero.

    The learning rate multiplies last, so that it may be traced. The warm-up takes one step at least and leaves one to
    the decay; a training of a single step has none. Where the head trains alone, only it is clipped and decays.
    """
    warmup = min(max(1, round(plan.warmup * steps)), steps - 1)
    schedule = optax.warmup_cosine_decay_schedule(0.0, 1.0, warmup, steps)
    rule = optax.chain(
        optax.clip_by_global_norm(plan.clip),
        optax.scale_by_adam(),
        optax.add_decayed_weights(settings.weight_decay),  # type: ignore[arg-type]
        optax.scale_by_learning_rate(schedule),
        optax.scale(settings.learning_rate),  # type: ignore[arg-type]
    )
    if plan.trains == "all":
        return rule
    return optax.partition({True: rule, False: optax.set_to_zero()}, head_arrays)


def init_state(plan: Plan, trial: Trial, parameters: PyTree) -> TrainState:
    """The state of a run before its first step. Its key is `jax.random.key(trial.seed)`."""
    numbers = (trial.learning_rate, trial.weight_decay, trial.dropout)
    settings = Settings(*[jnp.asarray(n, jnp.float32) for n in numbers])
    moments = optimiser(plan, settings, steps=1).init(parameters)  # the same for any number of steps
    start = (jnp.float32(-jnp.inf), jnp.int32(0), jnp.int32(0))
    average = parameters if plan.average else None
    return TrainState(parameters, moments, parameters, *start, jax.random.key(trial.seed), settings, average)


def updated(plan: Plan, state: TrainState, gradient: PyTree, steps: int) -> TrainState:
    """The state after one step of the optimiser, of so many in all."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        rule = optimiser(plan, state.settings, steps)
        updates, moments = rule.update(gradient, state.optimiser, state.parameters)
        parameters = optax.apply_updates(state.parameters, updates)
    average = None if state.average is None else averaged(plan.average, state.step, state.average, parameters)
    return state._replace(parameters=parameters, optimiser=moments, step=state.step + 1, average=average)


def averaged(decay: float, step: Int[Array, ""], average: PyTree, parameters: PyTree) -> PyTree:
    """d average + (1 - d) parameters with d = min(decay, (1 + step) / (10 + step)), so that the start is soon left.

    Example:
        >>> averaged(0.9, jnp.int32(0), jnp.float32(0), jnp.float32(1)).tolist()   # d = 1 / 10
        0.8999999761581421
    """
    share = jnp.minimum(jnp.float32(decay), (1 + step) / (10 + step)).astype(jnp.float32)
    return jax.tree.map(lambda mean, now: (mean + (1 - share) * (now - mean)).astype(mean.dtype), average, parameters)
