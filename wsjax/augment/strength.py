"""One number for the strength of a pipeline: it scales every setting towards its identity."""

import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.tree_util import Partial

from wsjax.augment.compose import RUNS, bound, function_of
from wsjax.augment.register import CATALOGUE, Augmentation
from wsjax.typing import Scalar, Transform, X


def at_strength(transform: Transform[X], strength: Scalar) -> Transform[X]:
    """A pipeline whose augmentations are as strong as they were, times `strength`.

        setting' = identity + strength (setting - identity)

    with `identity` the value at which the augmentation leaves its argument as it is (`CATALOGUE[name].identity`): 0 for
    magnitudes and probabilities, 1 for the bounds of MixUp's coefficient. Settings that are integers are rounded. So 1
    is the pipeline itself and 0 the identity; only `permute` and `rotate_uniform`, which have no strength, stay as they
    are, as do the weights of `one_of` and the chance of `with_probability`. The strength may be traced: a schedule of
    it compiles once.

    Args:
        transform: what `parse_batch` or the combinators make.
        strength: a factor of 0 or more; above 1 settings may leave their ranges.

    Raises:
        ValueError: an augmentation with settings that was registered without its identity, or a function that was not
            registered.

    Example:
        >>> import jax
        >>> from wsjax.augment import parse_batch
        >>> from wsjax.symmetry import siren
        >>> pipeline = parse_batch("rotate(max_degrees=30) | mixup(low=0.5)", siren((2, 8, 1)))
        >>> jax.tree.leaves(at_strength(pipeline, 0.5))   # degrees; high, low
        [15.0, 1.0, 0.75]
    """

    def scaled(step: Callable[..., Any]) -> Any:
        atom = bound(step)
        function = function_of(atom)
        if function in RUNS:
            return Partial(atom.func, *jax.tree.map(within, atom.args, is_leaf=callable))
        entry = CATALOGUE.get(getattr(function, "__name__", ""))
        if (
            entry is None
            or inspect.unwrap(entry.function) is not inspect.unwrap(function)
            or (entry.settings and not entry.identity)
        ):
            name = getattr(function, "__name__", repr(function))
            raise ValueError(
                f"{name} is no augmentation whose strength is known; say at which of its settings it is the identity: "
                f"augment.register({name}, identity={{'setting': value}})"
            )
        return moved(atom, entry)

    def within(part: Any) -> Any:
        return scaled(part) if callable(part) else part

    def moved(atom: Partial, entry: Augmentation) -> Partial:
        settings = {name: within(value) for name, value in atom.keywords.items()}
        for name, value in entry.identity.items():
            default = entry.settings[name]
            given: Any = settings.get(name, default)
            new = value + strength * (given - value)
            settings[name] = jnp.round(new) if isinstance(default, int) else new
        return Partial(atom.func, *jax.tree.map(within, atom.args, is_leaf=callable), **settings)

    return scaled(transform)
