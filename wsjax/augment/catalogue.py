"""The registry of every augmentation, and the SPEC grammar that composes them in one readable line.

    rotate(max_degrees=30) | noise(std=0.1) | mixup(alpha=0.4)

`|` chains from left to right. A name alone takes its defaults. `one_of(a, b)` applies one of its arguments and
`with_probability(0.5, a)` one with a chance; arguments may be pipes themselves. Steps on networks run for each
network with its own draws, steps on batches on the whole labelled batch; both may stand in any order. A SPEC is
text: it prints, edits, goes to the command line and into a run's record as it is. It is parsed, never evaluated.
"""

import ast
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import jax
import jax.numpy as jnp
from jax.tree_util import Partial

from wsjax.augment.compose import batched, chain, on, one_of, with_probability
from wsjax.augment.coordinates import rotate, scale, translate
from wsjax.augment.exact import flip_signs, permute, shift_phase
from wsjax.augment.mix import label_smoothing, mixup, mixup_uniform
from wsjax.augment.perturb import noise
from wsjax.errors import check_choice, listing
from wsjax.symmetry import Symmetry
from wsjax.typing import Batch, Transform

Effect: TypeAlias = Literal["preserves", "transforms", "perturbs", "mixes"]
Level: TypeAlias = Literal["network", "batch"]


@dataclass(frozen=True)
class Entry:
    """One augmentation: what it does to the function, on what it works, and its settings' names and defaults."""

    name: str
    function: Callable[..., Any]
    effect: Effect
    level: Level

    @property
    def settings(self) -> dict[str, Any]:
        parameters = inspect.signature(self.function).parameters.values()
        return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY and p.name != "symmetry"}

    @property
    def takes_symmetry(self) -> bool:
        return "symmetry" in inspect.signature(self.function).parameters

    def __str__(self) -> str:
        return f"{self.name}({', '.join(f'{k}={v!r}' for k, v in self.settings.items())})"


def _entries(effect: Effect, level: Level, *functions: Callable[..., Any]) -> dict[str, Entry]:
    return {f.__name__: Entry(f.__name__, f, effect, level) for f in functions}


CATALOGUE: dict[str, Entry] = {
    **_entries("preserves", "network", permute, flip_signs, shift_phase),
    **_entries("transforms", "network", rotate, translate, scale),
    **_entries("perturbs", "network", noise),
    **_entries("mixes", "batch", mixup, mixup_uniform, label_smoothing),
}
"""Every augmentation by name. Tests run the laws over this table."""

RECOMMENDED = "flip_signs | rotate(max_degrees=15) | scale(max_log=0.1) | translate(max_shift=0.1)"
"""The pipeline that `wsjax demo` uses for fields of small pictures; README.md says what was tried."""


@dataclass(frozen=True)
class Call:
    """One parsed step: a name, its settings, and for a combinator the pipes it takes."""

    name: str
    settings: tuple[tuple[str, Any], ...] = ()
    pipes: tuple[tuple["Call", ...], ...] = ()
    probability: float | None = None

    def __str__(self) -> str:
        head = [] if self.probability is None else [repr(self.probability)]
        arguments = [*head, *(format_spec(p) for p in self.pipes), *(f"{k}={v!r}" for k, v in self.settings)]
        return f"{self.name}({', '.join(arguments)})" if arguments else self.name


def format_spec(steps: tuple[Call, ...]) -> str:
    """The text of parsed steps; parsing it again gives the same steps.

    Example:
        >>> format_spec(read_spec("noise( std = .1 )|permute"))
        'noise(std=0.1) | permute'
    """
    return " | ".join(map(str, steps))


def read_spec(spec: str) -> tuple[Call, ...]:
    """Parse a SPEC into steps, checking every name, argument and value.

    Args:
        spec: the text; empty is the identity.

    Raises:
        ValueError: what is wrong and where, with the valid names or arguments.

    Example:
        >>> [step.name for step in read_spec("rotate(max_degrees=30) | mixup")]
        ['rotate', 'mixup']
    """
    if not spec.strip():
        return ()
    try:
        tree = ast.parse(spec.strip(), mode="eval").body
    except SyntaxError as error:
        raise ValueError(
            f"cannot read the augmentation {spec!r} (near column {error.offset}); "
            f"write it like: rotate(max_degrees=30) | noise(std=0.1) | mixup(alpha=0.4)"
        ) from None
    return _pipe(tree, spec)


def _pipe(node: ast.expr, spec: str) -> tuple[Call, ...]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return (*_pipe(node.left, spec), *_pipe(node.right, spec))
    return (_step(node, spec),)


def _step(node: ast.expr, spec: str) -> Call:
    if isinstance(node, ast.Name):
        node = ast.Call(node, [], [])
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
        raise ValueError(
            f"{ast.unparse(node)!r} in the augmentation {spec!r} is no step; a step is a name with settings, "
            f"such as noise(std=0.1), and '|' stands between steps"
        )
    name = node.func.id
    check_choice(f"augmentation in {spec!r}", name, (*CATALOGUE, "one_of", "with_probability"))
    if name == "one_of":
        return Call(name, pipes=_branches(name, node.args, node.keywords, 2, spec))
    if name == "with_probability":
        probability = _value(node.args[0], name, spec) if node.args else None
        if isinstance(probability, bool) or not isinstance(probability, int | float) or not 0 <= probability <= 1:
            raise ValueError(
                f"with_probability in {spec!r} takes a number from 0 to 1 first, then a step: {probability!r}"
            )
        pipes = _branches(name, node.args[1:], node.keywords, 1, spec)
        return Call(name, pipes=pipes, probability=float(probability))
    return Call(name, _settings(CATALOGUE[name], node, spec))


def _branches(name: str, nodes: list[ast.expr], keywords: list[ast.keyword], least: int, spec: str) -> tuple:
    exact = name == "with_probability"
    if keywords or len(nodes) < least or (exact and len(nodes) != least):
        wanted = "a number and one step" if exact else "two steps or more"
        raise ValueError(
            f"{name} in {spec!r} takes {wanted}, and no settings of its own; put '|' inside to chain steps"
        )
    return tuple(_pipe(node, spec) for node in nodes)


def _settings(entry: Entry, node: ast.Call, spec: str) -> tuple[tuple[str, Any], ...]:
    valid = entry.settings
    if node.args:
        raise ValueError(
            f"{ast.unparse(node)!r} in {spec!r}: name the settings; {entry.name} takes: {listing(valid) or 'none'}"
        )
    found = []
    for keyword in node.keywords:
        if keyword.arg not in valid:
            shown = listing(f"{k} (default {v!r})" for k, v in valid.items()) or "none"
            raise ValueError(f"{entry.name} in {spec!r} has no setting {keyword.arg!r}; it takes: {shown}")
        value = _value(keyword.value, entry.name, spec)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"{entry.name}({keyword.arg}={value!r}) in {spec!r}: expected a number")
        found.append((keyword.arg, float(value)))
    return tuple(found)


def _value(node: ast.expr, name: str, spec: str) -> Any:
    try:
        return ast.literal_eval(node)
    except ValueError:
        raise ValueError(
            f"{ast.unparse(node)!r} in {name} of {spec!r} is not a number; write it out, as in 0.1"
        ) from None


def from_spec(spec: str, symmetry: Symmetry) -> Transform[Batch]:
    """Build the pipeline that a SPEC describes, for labelled batches of networks of one Symmetry.

    Args:
        spec: such as `"flip_signs | rotate(max_degrees=30) | mixup(alpha=0.4)"`; empty is the identity.
        symmetry: the networks' Symmetry, bound to the steps that need it.

    Returns:
        A transform of a `Batch`, a pytree of its settings.

    Raises:
        ValueError: a SPEC that does not parse, a setting out of its range, or a step that the Symmetry does not
            allow, each before any data is seen.

    Example:
        >>> import jax
        >>> from wsjax.symmetry import siren
        >>> pipeline = from_spec("noise(std=0.5) | mixup(alpha=0.4)", siren((2, 8, 1)))
        >>> jax.tree.leaves(pipeline)
        [0.5, 0.4]
    """
    pipeline = chain(*[_bind(step, symmetry, "batch") for step in read_spec(spec)])
    networks = symmetry.unflatten([jax.ShapeDtypeStruct((2, *shape), jnp.float32) for shape in symmetry.shapes])
    example = Batch(networks, jax.ShapeDtypeStruct((2, 2), jnp.float32))
    jax.eval_shape(lambda batch: pipeline(jax.random.key(0), batch), example)
    return pipeline


def _bind(step: Call, symmetry: Symmetry, level: Level) -> Partial:
    """One step as a transform of a batch, or of one network inside a branch that holds only such steps."""
    if step.pipes:
        inner: Level = "network" if level == "network" or _only_networks(step) else "batch"
        branches = [chain(*[_bind(s, symmetry, inner) for s in pipe]) for pipe in step.pipes]
        made = one_of(*branches) if step.probability is None else with_probability(step.probability, branches[0])
    else:
        entry = CATALOGUE[step.name]
        inner = entry.level
        bound = {"symmetry": symmetry} if entry.takes_symmetry else {}
        made = Partial(entry.function, **dict(step.settings), **bound)
    lift = inner == "network" and level == "batch"
    return on("weights", batched(made)) if lift else made  # type: ignore[return-value]


def _only_networks(step: Call) -> bool:
    if step.pipes:
        return all(_only_networks(s) for pipe in step.pipes for s in pipe)
    return CATALOGUE[step.name].level == "network"
