"""How strong a pipeline is: one number that moves every setting towards the value at which it does nothing."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.tree_util import Partial

from wsjax.augment.catalogue import CATALOGUE, Entry
from wsjax.augment.compose import function_of
from wsjax.typing import Scalar, Transform, X


def at_strength(transform: Transform[X], strength: Scalar) -> Transform[X]:
    """A pipeline whose augmentations are as strong as they were, times `strength`.

        setting' = nothing + strength (setting - nothing)

    with `nothing` the value at which the augmentation leaves its argument as it is (`CATALOGUE[name].nothing`): 0 for
    magnitudes and chances, 1 for the range of MixUp's shares. Settings that count half turns or turns are rounded. So
    1 is the pipeline itself and 0 the identity; only `permute` and `rotate_uniform`, which have no strength, and
    functions that the catalogue does not know stay as they are, as do the weights of `one_of` and the chance of
    `with_probability`. The number may be traced: a schedule of it compiles once.

    Args:
        transform: what `from_spec` or the combinators make.
        strength: a factor of 0 or more; above 1 settings may leave their ranges.

    Example:
        >>> import jax
        >>> from wsjax.augment import from_spec
        >>> from wsjax.symmetry import siren
        >>> pipeline = from_spec("rotate(max_degrees=30) | mixup(low=0.5)", siren((2, 8, 1)))
        >>> jax.tree.leaves(at_strength(pipeline, 0.5))   # degrees; high, low
        [15.0, 1.0, 0.75]
    """
    known = lambda node: _entry(node) is not None
    return jax.tree.map(lambda node: _scaled(node, strength), transform, is_leaf=known)


def _entry(node: Any) -> Entry | None:
    """What the catalogue knows of a bound augmentation."""
    function = function_of(node) if isinstance(node, Partial) else None
    entry = CATALOGUE.get(getattr(function, "__name__", ""))
    return entry if entry is not None and entry.function is function else None


def _scaled(atom: Any, strength: Scalar) -> Any:
    entry = _entry(atom)
    if entry is None:
        return atom
    moved = dict(atom.keywords)
    for name, nothing in entry.nothing.items():
        default = entry.settings[name]
        value = nothing + strength * (moved.get(name, default) - nothing)
        moved[name] = jnp.round(value) if isinstance(default, int) else value
    if "transform" in moved:
        moved["transform"] = at_strength(moved["transform"], strength)
    return Partial(atom.func, *atom.args, **moved)
