"""How strong a pipeline is: one number that moves every setting towards the value at which it does nothing."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax.tree_util import Partial

from wsjax.augment.catalogue import CATALOGUE
from wsjax.augment.compose import COMBINATORS, bound, function_of
from wsjax.typing import Scalar, Transform, X

Nothing = Mapping[Callable[..., Any], Mapping[str, float]]


def at_strength(transform: Transform[X], strength: Scalar, nothing: Nothing | None = None) -> Transform[X]:
    """A pipeline whose augmentations are as strong as they were, times `strength`.

        setting' = nothing + strength (setting - nothing)

    with `nothing` the value at which the augmentation leaves its argument as it is (`CATALOGUE[name].nothing`): 0 for
    magnitudes and chances, 1 for the range of MixUp's shares. Settings that count half turns or turns are rounded. So
    1 is the pipeline itself and 0 the identity; only `permute` and `rotate_uniform`, which have no strength, stay as
    they are, as do the weights of `one_of` and the chance of `with_probability`. The number may be traced: a schedule
    of it compiles once.

    Args:
        transform: what `from_spec` or the combinators make.
        strength: a factor of 0 or more; above 1 settings may leave their ranges.
        nothing: for each function of your own, its settings at which it is the identity; none, `{}`, for one that has
            no strength and stays as it is.

    Raises:
        ValueError: a function of your own of which `nothing` does not speak, or a setting of it that has no value.

    Example:
        >>> import jax
        >>> from wsjax.augment import chain, from_spec
        >>> from wsjax.symmetry import siren
        >>> pipeline = from_spec("rotate(max_degrees=30) | mixup(low=0.5)", siren((2, 8, 1)))
        >>> jax.tree.leaves(at_strength(pipeline, 0.5))   # degrees; high, low
        [15.0, 1.0, 0.75]
        >>> fade = lambda key, batch, *, gain: batch._replace(label=gain * batch.label)
        >>> mine = chain(pipeline, Partial(fade, gain=3.0))
        >>> jax.tree.leaves(at_strength(mine, 0.5, nothing={fade: {"gain": 1.0}}))
        [15.0, 1.0, 0.75, 2.0]
    """

    def scaled(step: Callable[..., Any]) -> Any:
        atom = bound(step)
        function = function_of(atom)
        own = [settings for mine, settings in (nothing or {}).items() if mine is function]
        if own:
            return moved(atom, own[0], {})
        if function in COMBINATORS:
            return Partial(atom.func, *jax.tree.map(within, atom.args, is_leaf=callable))
        entry = CATALOGUE.get(getattr(function, "__name__", ""))
        if entry is None or entry.function is not function or (entry.settings and not entry.nothing):
            name = getattr(function, "__name__", repr(function))
            raise ValueError(
                f"{name} is no augmentation whose strength is known; say at which of its settings it is the identity: "
                f"at_strength(..., nothing={{{name}: {{'setting': value}}}}), or {{}} if it is to stay as it is"
            )
        return moved(atom, entry.nothing, entry.settings)

    def within(part: Any) -> Any:
        return scaled(part) if callable(part) else part

    def moved(atom: Partial, identity: Mapping[str, float], defaults: Mapping[str, Any]) -> Partial:
        settings = {name: within(value) for name, value in atom.keywords.items()}
        for name, value in identity.items():
            if name not in {**defaults, **settings}:
                raise ValueError(
                    f"{getattr(function_of(atom), '__name__', atom)} has no value of {name!r}, which at_strength is to "
                    f"scale; it has {', '.join(settings) or 'none'}: bind it, as in Partial(..., {name}=1.0)"
                )
            default = defaults.get(name)
            given: Any = settings.get(name, default)
            new = value + strength * (given - value)
            settings[name] = jnp.round(new) if isinstance(default, int) else new
        return Partial(atom.func, *jax.tree.map(within, atom.args, is_leaf=callable), **settings)

    return scaled(transform)
