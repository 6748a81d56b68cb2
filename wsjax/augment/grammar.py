"""The SPEC grammar: pipelines of the catalogue as one readable line of text.

    rotate(max_degrees=30) | leave_out("output", noise(std=0.1)) | mixup(alpha=0.4)

`|` chains from left to right. A name alone takes its defaults; settings in their order need no names, `rotate(30)`; a
name of `PRESETS` stands for its steps. Around steps go `one_of(a, b)`, which applies one of its arguments,
`with_probability(0.5, a)`, which applies one with a chance, and `leave_out("bias", a)`, which keeps some arrays as they
were; arguments may be pipes themselves, as may be what `mixup_self(a | b, alpha=0.4)` does to a network's copy. Steps
on networks run for each network with its own draws, steps on batches on the whole labeled batch, in any order. A SPEC
is text: it prints, edits, goes to the command line and into a run's record as it is. It is parsed, never evaluated.
"""

import ast
import itertools
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jax.tree_util import Partial

from wsjax.augment.compose import batched, bound, chain, leave_out, on, one_of, with_probability
from wsjax.augment.presets import PRESETS
from wsjax.augment.register import CATALOGUE, RESERVED, Augmentation, Level
from wsjax.augment.statistics import Statistics
from wsjax.errors import listing, nearest
from wsjax.symmetry import Symmetry
from wsjax.typing import Batch, Transform, Weights

Literals: TypeAlias = tuple[float | str, ...]
LONGEST = 10_000
"""Characters of a SPEC."""


@dataclass(frozen=True)
class Call:
    """One parsed step: a name, its settings, and for a step around others what leads and the pipes it takes."""

    name: str
    settings: tuple[tuple[str, Any], ...] = ()
    pipes: tuple[tuple["Call", ...], ...] = ()
    head: Literals = ()

    def __str__(self) -> str:
        pipes = (format_spec(p) for p in self.pipes)
        arguments = [*map(repr, self.head), *pipes, *(f"{k}={v!r}" for k, v in self.settings)]
        return f"{self.name}({', '.join(arguments)})" if arguments else self.name


class Combinator(NamedTuple):
    """A step around others: what it takes, in words, whether it was given that, and how it is made."""

    takes: str
    accepts: Callable[[Literals, int], bool]
    make: Callable[[Literals, list[Transform[Any]], Symmetry], Transform[Any]]


COMBINATORS: dict[str, Combinator] = {
    "one_of": Combinator(
        "two steps or more", lambda head, pipes: not head and pipes >= 2, lambda head, pipes, symmetry: one_of(*pipes)
    ),
    "with_probability": Combinator(
        "a number from 0 to 1 and one step",
        lambda head, pipes: len(head) == pipes == 1 and not isinstance(head[0], str) and 0 <= head[0] <= 1,
        lambda head, pipes, symmetry: with_probability(head[0], pipes[0]),  # type: ignore[arg-type]
    ),
    "leave_out": Combinator(
        "names of arrays in quotes and one step",
        lambda head, pipes: bool(head) and all(isinstance(name, str) for name in head) and pipes == 1,
        lambda head, pipes, symmetry: leave_out(pipes[0], symmetry=symmetry, arrays=head),  # type: ignore[arg-type]
    ),
}
"""The steps around others, by name."""
RESERVED.update(COMBINATORS, PRESETS)
WHERE = f"in augment.CATALOGUE and augment.presets.PRESETS, beside {listing(COMBINATORS)}"


REMEDIES = {
    "statistics": (
        "is in units of the data set and was given no statistics of it; pass "
        "augment.statistics.statistics_of(dataset.weights) as the third argument of parse_batch"
    ),
    "pool": (
        "draws partners out of a pool and was given none; pass pool=Batch(networks, labels) to parse_batch, such as "
        "those of the training split"
    ),
}
"""What is missing where a step needs more than its settings, and the remedy."""


def format_spec(steps: tuple[Call, ...]) -> str:
    """The text of parsed steps; parsing it again gives the same steps."""
    return " | ".join(map(str, steps))


def read_spec(spec: str) -> tuple[Call, ...]:
    """Parse a SPEC into steps, checking every name, argument and value; presets become their steps."""
    if not isinstance(spec, str):
        raise TypeError(f"the augmentation is a {type(spec).__name__}; expected text, such as 'noise(std=0.1)'")
    if not spec.strip():
        return ()
    if len(spec) > LONGEST:
        raise ValueError(f"the augmentation has {len(spec)} characters; expected at most {LONGEST}: {spec[:60]!r}...")
    try:
        return _pipe(ast.parse(spec.strip(), mode="eval").body, spec)
    except (RecursionError, MemoryError):
        raise ValueError(
            f"the augmentation {spec[:60]!r}... is nested too deeply to read; expected some tens of steps: compose "
            f"longer ones by augment.chain"
        ) from None
    except SyntaxError as error:
        raise ValueError(
            f"cannot read the augmentation {spec!r} (near column {error.offset or len(spec)}); "
            f"write it like: rotate(max_degrees=30) | noise(std=0.1) | mixup(alpha=0.4)"
        ) from None


def _pipe(node: ast.expr, spec: str) -> tuple[Call, ...]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return (*_pipe(node.left, spec), *_pipe(node.right, spec))
    if isinstance(node, ast.Name):
        node = ast.Call(node, [], [])
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
        raise ValueError(
            f"{ast.unparse(node)!r} in the augmentation {spec!r} is no step; a step is a name with settings, "
            f"such as noise(std=0.1), and '|' stands between steps"
        )
    name = node.func.id
    if name not in (known := (*CATALOGUE, *COMBINATORS, *PRESETS)):
        raise ValueError(
            f"unknown augmentation {name!r} in {spec!r}.{nearest(name, known)} All {len(known)} are {WHERE}. "
            f"For one of your own, import the module that registers it first (augment.register; --import MODULE on the "
            f"command line)"
        )
    if name in PRESETS:
        if node.args or node.keywords:
            raise ValueError(f"the preset {name!r} in {spec!r} takes no settings; write its steps out: {PRESETS[name]}")
        return read_spec(PRESETS[name])
    return (_combinator(name, node, spec) if name in COMBINATORS else _augmentation(CATALOGUE[name], node, spec),)


def _combinator(name: str, node: ast.Call, spec: str) -> Call:
    literals = list(itertools.takewhile(_is_literal, node.args))
    head = tuple(_value(n, name, spec) for n in literals)
    pipes = tuple(_pipe(n, spec) for n in node.args[len(literals) :])
    plain = all(_is_number(value) or isinstance(value, str) for value in head)
    if node.keywords or not plain or not COMBINATORS[name].accepts(head, len(pipes)):
        raise ValueError(
            f"{ast.unparse(node)!r} in {spec!r}: {name} takes {COMBINATORS[name].takes}, and no settings of its own; "
            f"put '|' inside to chain steps"
        )
    step = Call(name, pipes=pipes, head=tuple(v if isinstance(v, str) else float(v) for v in head))
    if name == "leave_out":
        _check_on_networks(step, spec)
    return step


def _is_literal(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant | ast.UnaryOp)


def _augmentation(entry: Augmentation, node: ast.Call, spec: str) -> Call:
    # A pipe of steps on networks comes first where one is taken; further arguments without a name are settings.
    pipes = list(itertools.takewhile(lambda n: "transform" in entry.needs and not _is_literal(n), node.args))
    places, names = node.args[len(pipes) :], list(entry.settings)
    if len(pipes) > 1 or len(places) > len(names):
        pipe = "at most one pipe of steps on networks, then " if "transform" in entry.needs else ""
        raise ValueError(
            f"{ast.unparse(node)!r} in {spec!r} has too many arguments; {entry.name} takes: "
            f"{pipe}{listing(names) or 'none'}"
        )
    named = [ast.keyword(name, place) for name, place in zip(names, places, strict=False)]
    node = ast.Call(node.func, [], [*named, *node.keywords])
    step = Call(entry.name, _settings(entry, node, spec), tuple(_pipe(n, spec) for n in pipes))
    _check_on_networks(step, spec)
    return step


def _settings(entry: Augmentation, node: ast.Call, spec: str) -> tuple[tuple[str, Any], ...]:
    valid = entry.settings
    found: list[tuple[str, Any]] = []
    for keyword in node.keywords:
        if keyword.arg in dict(found):
            raise ValueError(f"{entry.name} in {spec!r} has {keyword.arg!r} twice; give it once")
        if keyword.arg not in valid:
            shown = listing(f"{k} (default {v!r})" for k, v in valid.items()) or "none"
            hint = nearest(keyword.arg, valid)
            raise ValueError(f"{entry.name} in {spec!r} has no setting {keyword.arg!r}; it takes: {shown}.{hint}")
        value, default = _value(keyword.value, entry.name, spec), valid[keyword.arg]
        fits = isinstance(value, str) if isinstance(default, str) else _is_number(value) or value is default is None
        if not fits:
            wanted = f"text, such as {default!r}" if isinstance(default, str) else "a finite number"
            raise ValueError(f"{entry.name}({keyword.arg}={value!r}) in {spec!r}: expected {wanted}")
        found.append((keyword.arg, float(value) if _is_number(value) else value))
    return tuple(found)


def _is_number(value: Any) -> bool:
    """Whether it is a finite number that a float holds."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= sys.float_info.max if isinstance(value, int) else math.isfinite(value)


def _value(node: ast.expr, name: str, spec: str) -> Any:
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, MemoryError, RecursionError):
        raise ValueError(
            f"{ast.unparse(node)!r} in {name} of {spec!r} is no number or quoted text; write it out, as in 0.1"
        ) from None


def _check_on_networks(step: Call, spec: str) -> None:
    found = [inner.name for pipe in step.pipes for inner in pipe if _level(inner) == "batch"]
    if found:
        raise ValueError(
            f"{str(step)!r} in {spec!r}: {step.name} takes steps on single networks, and {listing(found)} works on "
            f"whole batches; put it after {step.name}, behind a '|'"
        )


def _level(step: Call) -> Level:
    if step.name in CATALOGUE:
        return CATALOGUE[step.name].level
    return "batch" if any(_level(s) == "batch" for pipe in step.pipes for s in pipe) else "network"


def needs(spec: str) -> set[str]:
    """What the steps of a SPEC, at any depth, take besides settings: `"statistics"` and `"pool"` are for `parse_batch`.

    `mixup_with` must have a pool; `mixup_views` finds its partners in the batch where it has none.
    """
    return {need for step in _all_steps(read_spec(spec)) for need in CATALOGUE[step.name].needs}


def _all_steps(steps: tuple[Call, ...]) -> list[Call]:
    """The augmentations in some steps, at any depth."""
    inner = [found for step in steps for pipe in step.pipes for found in _all_steps(pipe)]
    return [step for step in steps if step.name in CATALOGUE] + inner


def parse_batch(
    spec: str, symmetry: Symmetry, statistics: Statistics | None = None, pool: Batch | None = None
) -> Transform[Batch]:
    """Build the pipeline that a SPEC describes, for labeled batches of networks of one Symmetry.

    The transform is a pytree of its numbers, of the statistics and of the pool; text in it is static.

    Args:
        spec: such as `"flip_signs | rotate(max_degrees=30) | mixup(alpha=0.4)"`; empty is the identity.
        symmetry: the networks' Symmetry.
        statistics: of the training networks, `augment.statistics.statistics_of(dataset.weights)`.
        pool: stacked networks with their labels, and their objects where a step needs them, to draw partners from.

    Raises: ValueError: a SPEC that does not parse, a setting out of its range, a step that the Symmetry does not allow,
    or one that needs statistics or a pool without them, each before any data is seen. TypeError: a SPEC that is no
    text, or a symmetry that is no Symmetry.

    Example:
        >>> from wsjax.symmetry import siren
        >>> pipeline = parse_batch("noise(std=0.5) | mixup(alpha=0.4)", siren((2, 8, 1)))
        >>> jax.tree.leaves(pipeline)
        [0.5, 0.4]
    """
    pipeline = _chain(read_spec(spec), _given(symmetry=symmetry, statistics=statistics, pool=pool), "batch")
    networks = symmetry.unflatten([jax.ShapeDtypeStruct((2, *shape), jnp.float32) for shape in symmetry.shapes])
    label = jax.ShapeDtypeStruct((2, 2), jnp.float32)
    if pool is not None:
        label = jax.tree.map(lambda y: jax.ShapeDtypeStruct((2, *jnp.shape(y)[1:]), y.dtype), pool.label)
    example = Batch(networks, label, jax.ShapeDtypeStruct((2,), jnp.int32))
    jax.eval_shape(lambda batch: pipeline(jax.random.key(0), batch), example)
    return pipeline


def parse(spec: str, symmetry: Symmetry, statistics: Statistics | None = None) -> Transform[Weights]:
    """Build the pipeline that a SPEC of steps on networks describes, for ONE network.

    The draws are not those that `parse_batch` makes for a network of a batch.

    Args:
        spec, symmetry, statistics: as `parse_batch` takes them.

    Raises: as `parse_batch`, and ValueError for a step that works on whole batches.

    Example:
        >>> from wsjax.networks import siren_init
        >>> from wsjax.symmetry import siren
        >>> pipeline = parse("flip_signs | translate(max_shift=0.1)", siren((2, 8, 1)))
        >>> pipeline(jax.random.key(0), siren_init(jax.random.key(1), (2, 8, 1)))[0].kernel.shape
        (2, 8)
    """
    steps = read_spec(spec)
    if whole := [step.name for step in steps if _level(step) == "batch"]:
        raise ValueError(
            f"{listing(whole)} in {spec!r} works on whole batches; expected steps on single networks: leave it out, or "
            f"call parse_batch for a pipeline of batches"
        )
    pipeline = _chain(steps, _given(symmetry=symmetry, statistics=statistics), "network")
    network = symmetry.unflatten([jax.ShapeDtypeStruct(shape, jnp.float32) for shape in symmetry.shapes])
    jax.eval_shape(lambda weights: pipeline(jax.random.key(0), weights), network)
    return pipeline


def _given(**known: Any) -> dict[str, Any]:
    """What steps can be bound to."""
    if not isinstance(known["symmetry"], Symmetry):
        raise TypeError(
            f"symmetry is a {type(known['symmetry']).__name__}; expected a Symmetry: dataset.symmetry, or of "
            f"weights of your own symmetry.dense(weights, layers, activation=...)"
        )
    return {name: value for name, value in known.items() if value is not None}


def _chain(steps: tuple[Call, ...], given: dict[str, Any], level: Level) -> Transform[Any]:
    """Steps as a transform of a batch, or of one network where all of them are of that level."""
    return chain(*[_bind(step, given, level) for step in steps])


def _bind(step: Call, given: dict[str, Any], level: Level) -> Transform[Any]:
    own = _level(step)
    if step.name in COMBINATORS:
        made = COMBINATORS[step.name].make(step.head, [_chain(p, given, own) for p in step.pipes], given["symmetry"])
    else:
        made = _atom(CATALOGUE[step.name], step, given)
    return on("weights", batched(made)) if (own, level) == ("network", "batch") else made


def _atom(entry: Augmentation, step: Call, given: dict[str, Any]) -> Partial:
    for need, remedy in REMEDIES.items():
        if need in entry.required and need not in given:
            raise ValueError(f"{entry.name} {remedy}")
    known = {name: given[name] for name in entry.needs if name in given}
    if step.pipes:
        known["transform"] = _chain(step.pipes[0], given, "network")
    return bound(Partial(entry.function, **dict(step.settings), **known))
