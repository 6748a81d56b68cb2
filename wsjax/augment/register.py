"""What makes a function an augmentation: a name, and a factory that binds its settings and gives a transform."""

import functools
import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Concatenate, Literal, NamedTuple, ParamSpec, TypeAlias, TypedDict, Unpack, get_args, overload

from jax.tree_util import Partial

from wsjax.augment.compose import bound, check_key
from wsjax.augment.statistics import Statistics
from wsjax.errors import as_integer, check_choice, check_number, listing, nearest
from wsjax.symmetry import Symmetry
from wsjax.typing import Key, Transform, X

P = ParamSpec("P")
Effect: TypeAlias = Literal["preserves", "transforms", "perturbs", "mixes"]
Level: TypeAlias = Literal["network", "batch"]

BOUND = ("symmetry", "statistics", "transform", "pool")
"""Arguments that are no settings: the networks' Symmetry, the data set's statistics, steps on networks, partners."""

TYPES: dict[str, type] = {"symmetry": Symmetry, "statistics": Statistics}
"""Of those that come first by position, where a setting is easily written in their place."""

RESERVED: set[str] = set()
"""Names in a SPEC that are no augmentations: the presets and the combinators, which the grammar adds."""


class Range(NamedTuple):
    """The numbers that a setting may be, low itself unless `open_low`, and the one at which nothing changes, if any."""

    low: float = 0.0
    high: float = math.inf
    open_low: bool = False
    identity: float | None = None


MAGNITUDE, FRACTION, POSITIVE = Range(identity=0.0), Range(high=1.0, identity=0.0), Range(open_low=True)


@dataclass(frozen=True)
class Augmentation:
    """One augmentation.

    function: `(key, x, *, settings) -> x`, which `register` was given; effect: on the function that a network computes;
    level: whether x is one network or a batch; formula: in one line; identity: the settings at which x stays; ranges:
    what settings may be.
    """

    name: str
    function: Callable[..., Any]
    effect: Effect
    level: Level
    formula: str
    identity: Mapping[str, float] = field(default_factory=dict)
    ranges: Mapping[str, Range] = field(default_factory=dict)

    @property
    def settings(self) -> dict[str, Any]:
        """Names and defaults: numbers, text, or None for a number that another setting stands in for."""
        return {n: p.default for n, p in self._named.items() if n not in BOUND}

    @property
    def needs(self) -> tuple[str, ...]:
        """Which of `BOUND` it takes."""
        return tuple(name for name in BOUND if name in self._named)

    @property
    def required(self) -> tuple[str, ...]:
        """Which of them it cannot do without."""
        return tuple(name for name in self.needs if self._named[name].default is inspect.Parameter.empty)

    def check(self, settings: Mapping[str, Any]) -> None:
        """Raise ValueError where a number is outside of its range, or has a fraction where its default is an int."""
        for name, (low, high, open_low, _) in self.ranges.items():
            if (value := settings.get(name)) is not None:
                integer = isinstance(self._named[name].default, int)
                value = as_integer(value) if integer else value
                check_number(name, value, low=low, high=high, open_low=open_low, integer=integer)

    @functools.cached_property
    def _named(self) -> dict[str, inspect.Parameter]:
        return dict(list(inspect.signature(self.function).parameters.items())[2:])


CATALOGUE: dict[str, Augmentation] = {}
"""Every augmentation by name, those of the library and those that users register. The tests run over this table."""


class Declared(TypedDict, total=False):
    """The arguments of `register` beside the function."""

    effect: Effect
    level: Level
    formula: str
    identity: Mapping[str, float] | None
    ranges: Mapping[str, tuple[float, float] | Range] | None


@overload
def register(
    function: Callable[Concatenate[Key, X, P], X], **declared: Unpack[Declared]
) -> Callable[P, Transform[X]]: ...
@overload
def register(
    **declared: Unpack[Declared],
) -> Callable[[Callable[Concatenate[Key, X, P], X]], Callable[P, Transform[X]]]: ...
def register(
    function: Callable[..., Any] | None = None,
    *,
    effect: Effect = "perturbs",
    level: Level = "network",
    formula: str = "",
    identity: Mapping[str, float] | None = None,
    ranges: Mapping[str, tuple[float, float] | Range] | None = None,
) -> Any:
    """Make a function `(key, x, *, settings) -> x` an augmentation: a factory that binds its settings, known by name.

    `noise(std=0.05)` is then a transform `(key, x) -> x`, a `jax.tree_util.Partial` whose numbers are leaves: as an
    argument of a jitted function they are traced, so other values compile nothing again. Text is static. The name can
    be used in a SPEC, `augment.parse("rotate(10) | noise(std=0.05)", spec)`, and on the command line. A function may
    be registered again, with another formula or identity.

    Args:
        function: of a key and one network's weights, or of a key and a `Batch`; settings have defaults. Arguments named
            `symmetry`, `statistics`, `pool` or `transform` are given by `parse`. Without it, `register` is a decorator.
        effect: `"preserves"`, `"transforms"`, `"perturbs"` or `"mixes"` what the network computes.
        level: `"network"`, for each network by itself, or `"batch"`.
        formula: in one line.
        identity: the settings at which it changes nothing, such as `{"std": 0.0}`, for `at_strength`.
        ranges: the lowest and the highest number that a setting may be, such as `{"std": (0, math.inf)}`; others are
            refused where they are bound and where they run, and fractions where the default is an int.

    Raises: ValueError: a name that no SPEC can hold or that is taken, another effect or level, fewer than two
    arguments, a setting without a default, or an identity or a range of no numeric setting.

    Example:
        >>> import jax
        >>> def shrink(key, weights, *, factor=0.9):
        ...     return jax.tree.map(lambda w: factor * w, weights)
        >>> shrink = register(shrink, identity={"factor": 1.0})
        >>> shrink(factor=0.5)(jax.random.key(0), {"w": 4.0}), jax.tree.leaves(shrink(factor=0.5))
        ({'w': 2.0}, [0.5])
        >>> del CATALOGUE["shrink"]
    """
    if function is None:
        options = {"effect": effect, "level": level, "formula": formula, "identity": identity, "ranges": ranges}
        return functools.partial(register, **options)
    name = getattr(function, "__name__", repr(function))
    limits = {n: limit if isinstance(limit, Range) else Range(*limit) for n, limit in (ranges or {}).items()}
    known = {n: limit.identity for n, limit in limits.items() if limit.identity is not None}
    entry = Augmentation(name, function, effect, level, formula, known | dict(identity or {}), limits)
    _check(entry)
    CATALOGUE[name] = entry = replace(entry, function=_checking(entry))
    return _factory(entry)


def _checking(entry: Augmentation) -> Callable[..., Any]:
    """The function, which refuses what is no key and numbers out of their range."""
    thing = list(inspect.signature(entry.function).parameters)[1]

    @functools.wraps(entry.function)
    def run(*args: Any, **settings: Any) -> Any:
        if args:
            check_key(entry.name, args[0], thing)
        entry.check(settings)
        return entry.function(*args, **settings)

    return run


def _factory(entry: Augmentation) -> Callable[..., Partial]:
    """The function without its key and its networks, which gives a transform of these."""
    signature = inspect.signature(entry.function)
    _, thing, *own = signature.parameters.values()
    takes = inspect.Signature(own, return_annotation=Transform)

    @functools.wraps(entry.function)
    def factory(*args: Any, **settings: Any) -> Partial:
        try:
            given = takes.bind(*args, **settings).arguments
        except TypeError as error:
            first = [n for n, p in takes.parameters.items() if p.kind is not p.KEYWORD_ONLY]
            named = [*first, *[f"{n}=..." for n in takes.parameters if n not in first][:1]]
            hint = (
                f"; settings are named: {entry.name}({', '.join(named)})" if len(args) > len(first) < len(named) else ""
            )
            near = "".join(nearest(n, takes.parameters) for n in settings if n not in takes.parameters)
            hint += near and "." + near
            raise TypeError(
                f"{entry.name}({', '.join(takes.parameters)}) gives a transform, which is called with a key and "
                f"{thing.name}, {entry.name}(...)(key, {thing.name}): {error}{hint}"
            ) from None
        for name, kind in TYPES.items():
            if name in given and not isinstance(given[name], kind):
                raise TypeError(
                    f"{entry.name} has a {type(given[name]).__name__} for its {name}, {given[name]!r:.40}; expected a "
                    f"{kind.__name__}: settings are named, {entry.name}({name}, setting=value)"
                )
        entry.check(given)
        if "transform" in given:
            given["transform"] = bound(given["transform"])
        return bound(Partial(entry.function, **given))

    factory.__signature__ = takes  # type: ignore[attr-defined]
    return factory


def _check(entry: Augmentation) -> None:
    name = entry.name
    if not name.isidentifier():
        raise ValueError(
            f"{name!r} is no name that a SPEC can hold; write it as def my_augmentation(key, weights, ...)"
        )
    other = CATALOGUE.get(name)
    path = lambda entry: (entry.function.__module__, entry.function.__qualname__)
    if name in RESERVED or (other is not None and path(other) != path(entry)):
        raise ValueError(f"the name {name!r} is taken in a SPEC; give the function another name")
    check_choice(f"effect of {name}", entry.effect, get_args(Effect))
    check_choice(f"level of {name}", entry.level, get_args(Level))
    signature = inspect.signature(entry.function)
    first = [p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in signature.parameters.values()][:2]
    if first != [True, True]:
        raise ValueError(f"{name}{signature} takes no key and weights; expected {name}(key, weights, *, settings)")
    for setting, default in entry.settings.items():
        if default is inspect.Parameter.empty:
            raise ValueError(f"the setting {setting!r} of {name} has no default; give it one: {setting}=0.1")
    numbers = [n for n, default in entry.settings.items() if isinstance(default, int | float)]
    for setting in entry.ranges:
        if not isinstance(entry.settings.get(setting, ""), int | float | None):
            raise ValueError(
                f"{name} has a range for {setting!r}, no setting that is a number; it has: {listing(numbers)}"
            )
    for setting, value in entry.identity.items():
        if setting not in numbers or not isinstance(value, int | float):
            raise ValueError(
                f"identity of {name} has {setting}={value!r}; expected numbers for settings whose defaults are "
                f"numbers, of which it has: {listing(numbers) or 'none'}"
            )
