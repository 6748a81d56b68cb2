"""Optimizers by name: any of optax's, and those that a user registers."""

import functools
import hashlib
import inspect
from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import optax
from jaxtyping import PyTree

from wsjax.errors import nearest
from wsjax.networks import Network

Factory: TypeAlias = Callable[..., optax.GradientTransformation]
"""Takes a learning rate, or a schedule of it, and settings by name, as optax's own functions do."""

ELEMENTWISE = (
    *("adabelief", "adadelta", "adagrad", "adam", "adamax", "adamaxw", "adamw", "adan", "amsgrad", "lion", "nadam"),
    *("nadamw", "optimistic_gradient_descent", "radam", "rmsprop", "rprop", "sgd", "sign_sgd", "yogi"),
)
"""Optimizers of optax that treat each number by itself: stacked networks may share one state."""

OTHER = "take one of optax's, such as 'adam', or register one of your own, by data.register_optimizer"

_registered: dict[str, Factory] = {}


def register_optimizer(name: str, factory: Factory) -> None:
    """Give an optimizer of your own a name, which a `Recipe` takes and the metadata of what it fits records.

    A stored data set opens without it; to go on with a fit, or to repeat one, the name must be registered again, so do
    it where your program begins. Give a factory that does something else another name.

    Args:
        name: none of optax's.
        factory: `factory(learning_rate, **settings)` gives any of optax's gradient transformations for ONE network;
            `learning_rate` is a number, or a schedule where the recipe has one.

    Raises:
        ValueError: a name of optax's, or one that another factory has, or a factory that cannot be called.

    Example:
        >>> from wsjax.data import Recipe
        >>> from wsjax.networks import Network
        >>> def clipped(learning_rate, norm=1.0):
        ...     return optax.chain(optax.clip_by_global_norm(norm), optax.adam(learning_rate))
        >>> register_optimizer("clipped_adam", clipped)
        >>> recipe = Recipe(Network("siren", (2, 4, 1)), optimizer="clipped_adam", optimizer_settings=(("norm", 0.5),))
    """
    if callable(getattr(optax, name, None)):
        raise ValueError(f"{name!r} is the name of one of optax's; expected a name of your own for another optimizer")
    if not callable(factory):
        raise ValueError(f"the factory of {name!r} is {factory!r}; expected a function of a learning rate: pass that")
    # Programs that were compiled know an optimizer by its name.
    if _registered.setdefault(name, factory) is not factory:
        raise ValueError(
            f"the optimizer {name!r} is registered with another factory; expected one for each name: take another name"
        )


def is_registered(name: str) -> bool:
    """Whether the name is a user's own."""
    return name in _registered


def factory_of(name: str) -> Factory:
    """What makes the optimizer of a name; raises ValueError where neither optax nor a user gave one that name."""
    factory: Factory | None = _registered.get(name) or getattr(optax, name, None)
    if not callable(factory):
        raise ValueError(
            f"unknown optimizer {name!r}; expected the name of one of optax's, such as 'adam', or one of your own: "
            f"register that first, by data.register_optimizer({name!r}, factory)."
            f"{nearest(name, (*dir(optax), *_registered))}"
        )
    return factory


def check_optimizer(name: str, settings: tuple[tuple[str, Any], ...], scheduled: bool, network: Network) -> None:
    """Raise ValueError unless an optimizer with these settings makes steps from a network's gradient alone.

    It is traced once, with or without a schedule of its learning rate, and nothing is computed.
    """
    factory = factory_of(name)
    if name not in _registered and "learning_rate" not in inspect.signature(factory).parameters:
        raise ValueError(f"optax's {name!r} is no optimizer: it takes no learning_rate; {OTHER}")
    if factory is optax.adam and not settings:
        return  # every recipe's default, which to trace would take a third of the time that `import wsjax.data` takes
    fault = _fault(factory, settings, scheduled, network)
    if fault and scheduled and not _fault(factory, settings, False, network):
        raise ValueError(f"the optimizer {name!r} takes no schedule of its learning rate; set schedule='constant'")
    if fault:
        raise ValueError(f"the optimizer {name!r} {fault}")


@functools.lru_cache(maxsize=256)  # every `dataclasses.replace` of a recipe checks again
def _fault(factory: Factory, settings: tuple[tuple[str, Any], ...], scheduled: bool, network: Network) -> str | None:
    """What is wrong with an optimizer, None where nothing is."""
    rate = optax.cosine_decay_schedule(0.01, 1) if scheduled else 0.01
    try:
        optimizer = factory(rate, **dict(settings))
    except Exception as error:  # whatever a factory of somebody's own may raise
        return f"cannot be made with the settings {dict(settings)}: {error}; give it settings that it takes"
    if not all(callable(getattr(optimizer, part, None)) for part in ("init", "update")):
        return f"is made as a {type(optimizer).__name__}; expected an optax.GradientTransformation: {OTHER}"

    def step() -> PyTree:
        weights = network.init(jax.random.key(0))
        return optimizer.update(weights, optimizer.init(weights), weights)

    try:
        with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
            jax.eval_shape(step)
    except Exception as error:
        return f"cannot make a step from a gradient alone: {error}; {OTHER}"
    return None


def over_slots(name: str, optimizer: optax.GradientTransformation) -> optax.GradientTransformation:
    """An optimizer of one network for networks with a leading axis, each by itself."""
    if name in ELEMENTWISE:
        return optimizer
    return optax.GradientTransformation(jax.vmap(optimizer.init), jax.vmap(optimizer.update))


def state_sha256(optimizer: optax.GradientTransformation, weights: PyTree) -> str:
    """SHA-256 of the structure, shapes and dtypes of an optimizer's state for one network."""
    state = jax.eval_shape(optimizer.init, weights)
    leaves = [f"{leaf.shape} {leaf.dtype}" for leaf in jax.tree.leaves(state)]
    return hashlib.sha256(f"{jax.tree.structure(state)} {leaves}".encode()).hexdigest()
