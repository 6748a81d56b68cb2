"""One number for the strength of a pipeline: it scales every setting towards its identity."""

import inspect
from typing import Any

import jax
import jax.numpy as jnp
from jax.tree_util import Partial

from wsjax.augment.compose import RUNS, bound, function_of
from wsjax.augment.register import CATALOGUE
from wsjax.errors import check_number
from wsjax.typing import Scalar, Transform, X


def at_strength(transform: Transform[X], strength: Scalar) -> Transform[X]:
    """A pipeline whose augmentations are as strong as they were, times `strength`.

        setting' = identity + strength (setting - identity)

    with `identity` the value at which the augmentation leaves its argument as it is (`CATALOGUE[name].identity`): 0 for
    magnitudes and probabilities, 1 for the bounds of MixUp's coefficient. Settings that are integers are rounded. So 1
    is the pipeline itself and 0 the identity; only `permute`, `mix_basis` and `rotate_uniform`, which are the identity
    at no setting, stay as they are, as do the weights of `one_of` and the chance of `with_probability`. The strength
    may be traced: a schedule of it compiles once.

    Args:
        transform: what `parse_batch` or the combinators make.
        strength: a factor of 0 or more; above 1 settings may leave their ranges.

    Raises: ValueError: a function that was not registered, or one with settings but no identity that does not preserve
    what a network computes; a negative strength.

    Example:
        >>> from wsjax.augment import parse_batch
        >>> from wsjax.symmetry import siren
        >>> pipeline = parse_batch("rotate(max_degrees=30) | mixup(low=0.5)", siren((2, 8, 1)))
        >>> jax.tree.leaves(at_strength(pipeline, 0.5))   # degrees; high, low
        [15.0, 1.0, 0.75]
    """
    check_number("strength", strength, low=0)

    def scaled(part: Any) -> Any:
        if not callable(part):
            return part
        step = bound(part)
        function, args = function_of(step), jax.tree.map(scaled, step.args, is_leaf=callable)
        if function in RUNS:
            return Partial(step.func, *args)
        name = getattr(function, "__name__", repr(function))
        entry = CATALOGUE.get(name)
        registered = entry is not None and inspect.unwrap(entry.function) is inspect.unwrap(function)
        if entry is None or not registered or (entry.settings and not entry.identity and entry.effect != "preserves"):
            raise ValueError(
                f"{name} is no augmentation whose strength is known; say at which of its settings it is the identity: "
                f"augment.register({name}, identity={{'setting': value}})"
            )
        settings = {setting: scaled(value) for setting, value in step.keywords.items()}
        for setting, value in entry.identity.items():
            default = entry.settings[setting]
            given: Any = settings.get(setting, default)
            new = value + strength * (given - value)
            settings[setting] = jnp.round(new) if isinstance(default, int) else new
        return Partial(step.func, *args, **settings)

    return scaled(bound(transform))
