"""Combinators: a few functions that build pipelines out of transforms `(key, x) -> x`.

A transform is any such function; the augmentations are factories of transforms, `noise(std=0.05)`. Every combinator
returns a `jax.tree_util.Partial`, so a pipeline is a pytree of its own settings: pass it to a jitted function as an
argument and its settings trace (change them, no recompile); close over it and they compile in.

    one = chain(permute(spec), one_of(noise(std=0.05), noise(std=0.2)))
    train = chain(on("weights", batched(one)), mixup(alpha=0.4))
    batch = jax.jit(lambda t, k, b: t(k, b))(train, key, batch)

Order replaces flags: `batched(one_of(a, b))` chooses for each network, `one_of(batched(a), batched(b))` once a
batch. Under `vmap`, `one_of` and `with_probability` compute every branch.

Settings of a function of your own are bound by `Partial`, whose numbers trace; `functools.partial` compiles in what it
holds. Text cannot be a leaf: the factories and the combinators bind it by `static`, and for a `Partial` that is itself
an argument of `jit`, do so yourself: `Partial(static(mine, kind="light"), gain=2.0)`.

Keys are derived with `fold_in(key, position)`, and nested chains are flattened, so grouping changes no draw and a
step added at the end changes none before it. Branches go to `lax.switch` inside lambdas: it hashes its callables,
and a `Partial` with traced settings has no hash. Under `eqx.filter_jit` Python floats are static; use `jax.jit`.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.tree_util import Partial
from jaxtyping import ArrayLike, PyTree

from wsjax.errors import check_choice, check_number, check_several, leaf_names
from wsjax.floats import uncut
from wsjax.symmetry import Symmetry
from wsjax.symmetry.group import Role
from wsjax.typing import Key, Scalar, Transform, Weights, X


def bound(transform: Callable) -> Partial:
    """A transform as a `Partial` that passes through `jit`: settings that are text are bound by `static`."""
    if not callable(transform):
        text = repr(transform) if isinstance(transform, str) else "spec"
        raise TypeError(
            f"a {type(transform).__name__}, {transform!r:.40}, stands for a transform; expected a function (key, x) -> "
            f"x, such as augment.noise(std=0.1), or of text augment.parse({text:.40}, symmetry)"
        )
    if not isinstance(transform, Partial):
        return Partial(transform)
    text = {name: value for name, value in transform.keywords.items() if isinstance(value, str)}
    numbers = {name: value for name, value in transform.keywords.items() if name not in text}
    return Partial(static(transform.func, **text), *transform.args, **numbers) if text else transform


def check_key(name: str, key: Any, thing: str = "x") -> None:
    """Raise TypeError unless this is a key of `jax.random.key`, or of `jax.random.PRNGKey`, which are integers."""
    dtype = getattr(key, "dtype", None)
    if dtype is None or not (jnp.issubdtype(dtype, jax.dtypes.prng_key) or (dtype == jnp.uint32 and key.ndim == 1)):
        raise TypeError(
            f"{name} has a {type(key).__name__} for its key; expected a key, jax.random.key(0), which comes first: "
            f"{name}(...)(key, {thing})"
        )


def stack_size(stack: PyTree, name: str) -> int:
    """How many things are stacked; raises ValueError for an array without a row for each.

    Rows beyond an array's end would be its last one in silence.
    """
    leaves = jax.tree.leaves(stack)
    size = jnp.shape(leaves[0])[:1] if leaves else ()
    for i, leaf in enumerate(leaves):
        if not size or jnp.shape(leaf)[:1] != size:
            names = leaf_names(stack, name)
            rows = f"{size[0]} rows, one for each network, as {names[0]} has" if size else "a row for each network"
            raise ValueError(f"{names[i]} has shape {jnp.shape(leaf)}; expected {rows}: stack all of them alike")
    return size[0] if size else 0


def chain(*transforms: Transform[X]) -> Transform[X]:
    """Apply transforms in order, each with its own key `fold_in(key, i)`; an empty chain is the identity.

    Example:
        >>> add = lambda key, x: x + 1.0
        >>> chain(add, chain(add, add))(jax.random.key(0), 0.0)
        3.0
    """
    steps: list[Partial] = []
    for transform in transforms:
        flat = isinstance(transform, Partial) and transform.func is _run_chain
        steps.extend(transform.args[0] if flat else [bound(transform)])  # type: ignore[union-attr]
    return Partial(_run_chain, tuple(steps))


def _run_chain(steps: tuple[Partial, ...], key: Key, x: Any) -> Any:
    check_key("chain", key)
    for i, step in enumerate(steps):
        x = step(jax.random.fold_in(key, i), x)
    return x


def one_of(*transforms: Transform[X], weights: ArrayLike | None = None) -> Transform[X]:
    """Apply one of several transforms, drawn uniformly or in proportion to `weights`.

    Raises: ValueError: no transform, not as many weights as transforms, a negative weight, or all of them 0.

    Example:
        >>> t = one_of(lambda key, x: x + 1, lambda key, x: x - 1, weights=jnp.array([0.0, 1.0]))
        >>> float(t(jax.random.key(0), jnp.float32(5)))
        4.0
    """
    check_number("number of transforms in one_of", len(transforms), low=1)
    chances = np.ones(len(transforms), np.float32) if weights is None else jnp.asarray(weights, jnp.float32)
    if chances.shape != (len(transforms),):
        raise ValueError(f"one_of has {len(transforms)} transforms but weights of shape {chances.shape}; give one each")
    if not isinstance(chances, Tracer):
        known = np.asarray(chances)
        if not (np.isfinite(known).all() and (known >= 0).all() and known.any()):
            raise ValueError(f"one_of has weights {known.tolist()}; expected numbers of 0 or more that are not all 0")
    return Partial(_run_one_of, tuple(map(bound, transforms)), chances)


def _run_one_of(transforms: tuple[Partial, ...], weights: ArrayLike, key: Key, x: Any) -> Any:
    check_key("one_of", key)
    choice = jax.random.categorical(jax.random.fold_in(key, 0), jnp.log(jnp.asarray(weights)))
    inner, x = jax.random.fold_in(key, 1), jax.tree.map(uncut, x)
    if not isinstance(choice, Tracer):  # an eager switch would compile its branches anew at every call
        return transforms[int(choice)](inner, x)
    return jax.lax.switch(choice, [lambda x, t=t: t(inner, x) for t in transforms], x)


def with_probability(probability: Scalar, transform: Transform[X]) -> Transform[X]:
    """Apply a transform with the given probability, else leave its argument as it is.

    Raises: ValueError: a probability outside [0, 1].

    Example:
        >>> never = with_probability(0.0, lambda key, x: x + 1)
        >>> float(never(jax.random.key(0), jnp.float32(5)))
        5.0
    """
    check_number("probability", probability, low=0, high=1)
    return Partial(_run_with_probability, probability, bound(transform))


def _run_with_probability(probability: Scalar, transform: Partial, key: Key, x: Any) -> Any:
    check_key("with_probability", key)
    applies = jax.random.bernoulli(jax.random.fold_in(key, 0), probability)
    inner, x = jax.random.fold_in(key, 1), jax.tree.map(uncut, x)
    if not isinstance(applies, Tracer):
        return transform(inner, x) if applies else x
    return jax.lax.cond(applies, lambda x: transform(inner, x), lambda x: x, x)


def batched(transform: Transform[X]) -> Transform[X]:
    """Lift a transform of one thing to a stack of them, each with a key of its own.

    Example:
        >>> batched(lambda key, x: x + jax.random.normal(key))(jax.random.key(0), jnp.zeros(3)).shape
        (3,)
    """
    return Partial(_run_batched, bound(transform))


def _run_batched(transform: Partial, key: Key, x: Any) -> Any:
    check_key("batched", key)
    return jax.vmap(transform)(jax.random.split(key, stack_size(x, "x")), x)


def on(field: str, transform: Transform[Any]) -> Transform[Any]:
    """Apply a transform to one field of a NamedTuple, `on("weights", ...)` for a `Batch`.

    Raises: ValueError: the argument has no such field.

    Example:
        >>> from wsjax.typing import Batch
        >>> double = on("weights", lambda key, w: 2 * w)
        >>> double(jax.random.key(0), Batch(jnp.float32(3), jnp.float32(1))).weights
        Array(6., dtype=float32)
    """
    return Partial(static(_run_on, field=field), bound(transform))


def _run_on(transform: Partial, key: Key, x: Any, *, field: str) -> Any:
    check_key("on", key)
    if not hasattr(x, field):
        raise ValueError(
            f"no field {field!r} in {type(x).__name__}; it has {getattr(x, '_fields', ())}: pass a NamedTuple with it, "
            f"such as wsjax.typing.Batch(weights, label)"
        )
    return x._replace(**{field: transform(key, getattr(x, field))})


def leave_out(transform: Transform[Weights], *, symmetry: Symmetry, arrays: tuple[str, ...]) -> Transform[Weights]:
    """Apply a transform of ONE network, but keep some of its arrays as they were, to the bit.

    Args:
        transform: of one network.
        symmetry: the network's Symmetry, which says what each array is.
        arrays: one or more of `"bias"` and `"kernel"` (an array of two axes or more that is no bias), `"input"` and
            `"output"` (arrays along an axis of that role), or an array's path as `symmetry.names` has it.

    Raises:
        ValueError: a name of no array in this Symmetry, or none at all. TypeError: one name alone, as text.

    Example:
        >>> from wsjax import networks, symmetry
        >>> w, spec = networks.siren_init(jax.random.key(0), (2, 4, 1)), symmetry.siren((2, 4, 1))
        >>> double = lambda key, w: jax.tree.map(lambda x: 2 * x, w)
        >>> moved = leave_out(double, symmetry=spec, arrays=("output",))(jax.random.key(1), w)
        >>> [a.kernel is b.kernel for a, b in zip(moved, w)]
        [False, True]
    """
    named = _arrays_by_name(symmetry)
    check_several("arrays", arrays)
    check_number("number of arrays to leave out", len(arrays), low=1)
    for name in arrays:
        check_choice("array to leave out", name, tuple(named))
    kept = frozenset().union(*(named[name] for name in arrays))
    return Partial(static(_run_leave_out, symmetry=symmetry, kept=kept), bound(transform))


def _run_leave_out(
    transform: Partial, key: Key, weights: Weights, *, symmetry: Symmetry, kept: frozenset[int]
) -> Weights:
    check_key("leave_out", key, "weights")
    before, after = symmetry.leaves(weights), symmetry.leaves(transform(key, weights))
    return symmetry.unflatten([b if i in kept else a for i, (b, a) in enumerate(zip(before, after, strict=True))])


def _arrays_by_name(symmetry: Symmetry) -> dict[str, frozenset[int]]:
    """The names that `leave_out` takes, and the positions of the leaves that each name means."""

    def along(role: Role) -> set[int]:
        fixed = {name for name, axis in symmetry.fixed.items() if axis.role == role}
        return {i for i, axes in enumerate(symmetry.axes) if fixed & set(axes.names)}

    table = {
        "bias": {i for i, axes in enumerate(symmetry.axes) if axes.bias},
        "kernel": {i for i, axes in enumerate(symmetry.axes) if not axes.bias and len(axes.entries) > 1},
        "input": along("input"),
        "output": along("output"),
        **{name: {i} for i, name in enumerate(symmetry.names)},
    }
    return {name: frozenset(places) for name, places in table.items() if places}


def static(function: Callable[..., Any], **settings: Hashable) -> Callable[..., Any]:
    """Bind settings that cannot be traced, such as text, so that a `Partial` of the result passes through `jit`.

    Two of one function and equal settings are equal, so making one again compiles nothing again; other settings
    compile anew. Bind numbers and arrays with `Partial`.

    Example:
        >>> power = lambda key, x, *, kind, factor: factor * (x * x if kind == "square" else x)
        >>> step = Partial(static(power, kind="square"), factor=2.0)
        >>> float(jax.jit(lambda t, x: t(jax.random.key(0), x))(step, 3.0))
        18.0
    """
    if isinstance(function, _Static):
        function, settings = function.function, {**dict(function.settings), **settings}
    return _Static(function, tuple(sorted(settings.items())))


@dataclass(frozen=True)
class _Static:
    function: Callable[..., Any]
    settings: tuple[tuple[str, Hashable], ...]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **dict(self.settings), **kwargs)


def function_of(bound: Partial) -> Callable[..., Any]:
    """The function that a `Partial` calls, behind settings that `static` bound."""
    return bound.func.function if isinstance(bound.func, _Static) else bound.func


RUNS = (_run_chain, _run_one_of, _run_with_probability, _run_batched, _run_on, _run_leave_out)
"""What the functions above bind, each to the transforms and numbers that it was given."""


def compiled(transform: Transform[X]) -> Transform[X]:
    """A transform as one compiled program that passes on, uncopied, the arrays that it leaves as they are.

    `jax.jit` copies whatever a program returns, also what it was given: of a 2-32-32-1 network a rotation moves 64
    weights, and 1,121 would be copied. Within a larger compiled program, such as a training step, nothing is copied,
    and the transform serves there as it is. The settings of a `Partial` are arguments of the program.

    **Preserves** the transform: the same arrays as `jax.jit(transform)` gives, for the same key.

    Example:
        >>> from wsjax import augment, networks, symmetry
        >>> spec, w = symmetry.siren((2, 4, 1)), networks.siren_init(jax.random.key(0), (2, 4, 1))
        >>> turned = compiled(augment.rotate(spec, max_degrees=30.0))(jax.random.key(1), w)
        >>> turned[1].kernel is w[1].kernel, turned[0].kernel is w[0].kernel
        (True, False)
    """
    step = bound(transform)

    def run(key: Key, x: X) -> X:
        given = jax.tree.leaves(x)
        whole = lambda part: given[part.place] if isinstance(part, Unchanged) else part
        return jax.tree.map(whole, _changed(step, key, x), is_leaf=lambda part: isinstance(part, Unchanged))

    return run


@jax.tree_util.register_static
@dataclass(frozen=True)
class Unchanged:
    """In place of an array that a transform left as it was: which one of its argument's."""

    place: int


@jax.jit
def _changed(transform: Partial, key: Key, x: PyTree) -> PyTree:
    """What a transform makes, with `Unchanged` in place of the arrays that it gives back."""
    given = {id(leaf): i for i, leaf in enumerate(jax.tree.leaves(x))}
    return jax.tree.map(lambda leaf: Unchanged(given[id(leaf)]) if id(leaf) in given else leaf, transform(key, x))
