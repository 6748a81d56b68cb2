"""Alignment: bring one network as near to another as its symmetry group allows.

Weight matching by coordinate descent over the groups. For each group in turn, with the others as they are, the best
element of that group is found: the best sign or phase for each pair of neurons in closed form, the best scale by
Newton's method (`match.pairs`), then one exact linear assignment of neurons (`assignment.assign`), where the group
allows permutations; of a linear group the nearest matrix (`matrices.nearest`). Where others lie within a group, as the
dimensions of a head within it, bringing one of its indices to another costs what the best elements of these leave. A
step that would raise the squared distance is not taken.

The first pass grows from what is fixed: a group is matched on the arrays whose other groups are matched already, the
first layer on the inputs alone, so that neurons not yet in order do not blur it. It is kept where it lowers the
distance.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, Int

from wsjax.errors import check_choice, check_number, check_same_shapes
from wsjax.floats import common, floating, inexact, widened
from wsjax.symmetry.act import act
from wsjax.symmetry.assignment import Solver, assign, in_optimal_order
from wsjax.symmetry.draws import varying_as
from wsjax.symmetry.element import Element, Move, compose, identity, spread
from wsjax.symmetry.group import Action, Group
from wsjax.symmetry.match import Slices, pairs, slices
from wsjax.symmetry.matrices import Nearest, nearest
from wsjax.symmetry.sample import sample_permutation, sample_signs
from wsjax.symmetry.spec import Symmetry
from wsjax.typing import Key, Weights

Over: TypeAlias = Literal["permutation", "signed", "full"]
OVER: dict[Over, tuple[Action, ...]] = {
    "permutation": (),
    "signed": ("sign",),
    "full": ("sign", "phase", "rescale", "linear"),
}
"""What else than permutations may act."""

STEPS_OF_A_PAIR = 2  # towards the nearest matrix, where there is one for each pair of indices
LEAST_GAIN = 1e-6  # of the distance in one sweep; less is rounding


class Alignment(NamedTuple):
    """The aligned weights, the element that was applied, their squared distance to the reference, and the sweeps."""

    weights: Weights
    element: Element
    distance: Float[Array, ""]
    sweeps: Int[Array, ""]


def align(
    weights: Weights,
    reference: Weights,
    symmetry: Symmetry,
    *,
    group: Over = "full",
    restarts: int = 0,
    key: Key | None = None,
    max_sweeps: int = 50,
    solver: Solver = "auto",
) -> Alignment:
    """The element g that brings `weights` near to `reference`: min over g of |act(g, weights) - reference|^2.

    A local minimum of the squared distance over all floating-point arrays, found by coordinate descent; each step is
    the minimum over one group, exact but for scales, matrices and a group whose axes meet in one array. The result is
    never farther from the reference than the weights were. It runs under `jax.jit` and `jax.vmap`.

    **Preserves** the function, up to rounding.

    Args:
        weights, reference: the network to move and the one to meet, both of the symmetry.
        symmetry: any: dense, convolutions, residual connections that tie axes.
        group: `"permutation"`; `"signed"`, permutations and the signs that the network allows; `"full"`, all that it
            allows: signs and phases (sine), signs (tanh), positive scales (ReLU), matrices (linear). Nearer weights are
            no lower loss in between: for ReLU classifiers canonicalize both networks and take `"permutation"`
            (docs/alignment.md).
        restarts, key: further descents from random elements, drawn with a typed key; the best of all is returned.
        max_sweeps: passes over all groups; descent ends before where nothing changes.
        solver: of the assignments: `"host"` (SciPy), `"device"` (JAX), or `"auto"`, which chooses by the backend.

    Raises:
        ValueError: weights or reference that are not of that Symmetry, hold complex numbers, are not finite (the leaf
            is named) or have squares that overflow, an unknown group or solver, `"signed"` for a network without
            signs, or restarts without a key.

    Source: weight matching of Git Re-Basin (arXiv 2209.04836, section 3.2), here over signs, phases and scales too.
    The code of arXiv 2402.04081 matches permutations only: from a permuted and sign-flipped copy of a SIREN it
    recovers nothing.

    Example:
        >>> import jax
        >>> from wsjax import networks, symmetry as ws
        >>> spec, w = ws.siren((2, 8, 1)), networks.siren_init(jax.random.key(0), (2, 8, 1))
        >>> moved = jax.jit(lambda w: ws.act(ws.sample(jax.random.key(1), spec), w))(w)
        >>> bool(ws.align(moved, w, spec).distance < 1e-6)
        True
    """
    check_choice("group", group, tuple(OVER))
    check_number("restarts", restarts, low=0, integer=True)
    check_number("max_sweeps", max_sweeps, low=1, integer=True)
    if group == "signed" and not any(g.allows("sign") for g in symmetry.groups.values()):
        raise ValueError(f"{symmetry} allows no signs; align over 'permutation', or over 'full' for what it allows")
    if restarts and key is None:
        raise ValueError(f"restarts is {restarts} and there is no key; pass key=jax.random.key(0), or no restarts")
    mine, goal = floats_as_one(symmetry, weights), floats_as_one(symmetry, reference)
    settings = _Settings(symmetry, OVER[group], solver, max_sweeps)
    element, distance, sweeps = _search(mine, goal, key, settings=settings, restarts=restarts)
    if not isinstance(distance, Tracer) and not np.isfinite(distance):
        raise ValueError(_not_finite(symmetry, mine, goal))
    return Alignment(act(element, weights), element, distance, sweeps)


def _not_finite(symmetry: Symmetry, mine: list[Array], goal: list[Array]) -> str:
    """Why two networks have no distance."""
    for what, leaves in (("the weights", mine), ("the reference", goal)):
        for name, leaf in zip(symmetry.names, leaves, strict=True):
            if not np.isfinite(leaf).all():
                return f"{name} of {what} is not finite; expected finite numbers: leave that network out"
    largest = max(float(np.abs(leaf).max(initial=0)) for leaf in (*mine, *goal))
    return (
        f"the squared distance of the two networks overflows {mine[0].dtype}, as weights are as large as "
        f"{largest:.2g}; expected smaller ones: divide both networks by one number, or align them in float64"
    )


@functools.partial(jax.jit, static_argnames=("settings", "restarts"))
def _search(
    mine: list[Array], goal: list[Array], key: Key | None, *, settings: "_Settings", restarts: int
) -> tuple[Element, Array, Array]:
    """The best element found, the distance it leaves, and the sweeps; compiled once for a Symmetry and settings."""
    neutral = _neutral(settings, mine[0].dtype)

    def run(start: Element, grow: bool) -> tuple[Element, Array, Array]:
        found = _State(*_moved(start, mine, goal), start)
        if grow:
            found = _nearer(_grown(settings, found, goal), found)
        return _descend(settings, found, goal)

    best = run(neutral, grow=True)
    if restarts and key is not None:
        draw = lambda i: _random(jax.random.fold_in(key, i), settings, mine[0].dtype)
        others = jax.vmap(lambda i: run(compose(draw(i), neutral), grow=False))(jnp.arange(restarts))
        winner = jax.tree.map(lambda x: x[jnp.argmin(others[1])], others)
        best = jax.tree.map(lambda a, b: jnp.where(winner[1] < best[1], b, a), best, winner)
    return best


def squared_distance(a: Weights, b: Weights) -> Float[Array, ""]:
    """sum over all floating-point and complex arrays of |a - b|^2, for one network; half types are summed in float32.

    Raises:
        ValueError: the two differ in structure or in a shape (the leaf is named), or have no such array.

    Example:
        >>> import jax.numpy as jnp
        >>> float(squared_distance({"w": jnp.array([3.0, 0.0])}, {"w": jnp.array([0.0, 4.0])}))
        25.0
    """
    check_same_shapes(a, b, "the other network")
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    arrays = [(widened(x), widened(y)) for x, y in pairs if inexact(x) or inexact(y)]
    if not arrays:
        raise ValueError("the networks hold no floating-point array; expected one at least, as others have no distance")
    return _squared(arrays)


def _squared(arrays: list[tuple[Array, Array]]) -> Array:
    return jnp.sum(jnp.stack([jnp.sum(jnp.square(jnp.abs(x - y))) for x, y in arrays]))


class _Settings(NamedTuple):
    symmetry: Symmetry
    actions: tuple[Action, ...]
    solver: Solver
    max_sweeps: int


class _State(NamedTuple):
    leaves: list[Array]
    distance: Array
    element: Element


def floats_as_one(symmetry: Symmetry, weights: Weights) -> list[Array]:
    """The arrays in one dtype, at least float32; those that are not floating point as zeros, which change no step."""
    leaves = symmetry.leaves(weights)
    for name, leaf in zip(symmetry.names, leaves, strict=True):
        if inexact(leaf) and not floating(leaf):
            raise ValueError(
                f"{name} holds {leaf.dtype}; expected real numbers, as complex ones have no order and no sign: "
                f"describe real and imaginary parts as two arrays"
            )
    dtype = common(leaves)
    return [leaf.astype(dtype) if floating(leaf) else jnp.zeros(leaf.shape, dtype) for leaf in leaves]


def _neutral(settings: _Settings, dtype: np.dtype) -> Element:
    """The identity with every part written out that a step may change, so that a loop can carry it."""

    def move(name: str, group: Group) -> Move:
        allowed = {action for action in settings.actions if group.allows(action)}
        if "linear" in allowed:
            eye = jnp.eye(group.size, dtype=dtype)
            return spread(Move(matrix=eye, inverse=eye), settings.symmetry.lead(name))
        one = Move(
            jnp.arange(group.size, dtype=jnp.int32),
            jnp.ones(group.size, dtype) if allowed else None,
            jnp.zeros(group.size, jnp.int32) if "phase" in allowed else None,
        )
        return spread(one, settings.symmetry.lead(name))

    return Element(settings.symmetry, {name: move(name, group) for name, group in settings.symmetry.groups.items()})


def _random(key: Key, settings: _Settings, dtype: np.dtype) -> Element:
    order = sample_permutation(jax.random.fold_in(key, 0), settings.symmetry)
    if "sign" not in settings.actions:
        return order
    signs = sample_signs(jax.random.fold_in(key, 1), settings.symmetry)
    return compose(jax.tree.map(lambda x: x.astype(dtype) if floating(x) else x, signs), order)


def _moved(element: Element, leaves: list[Array], goal: list[Array]) -> tuple[list[Array], Array]:
    symmetry = element.symmetry
    moved = symmetry.leaves(act(element, symmetry.unflatten(leaves)))
    return moved, _squared(list(zip(moved, goal, strict=True)))


def _nearer(a: _State, b: _State) -> _State:
    return jax.tree.map(lambda x, y: jnp.where(a.distance < b.distance, x, y), a, b)


def _step(
    settings: _Settings,
    name: str,
    state: _State,
    goal: list[Array],
    *,
    known: frozenset[str] | None = None,
    going: Array | None = None,
) -> _State:
    """The best element of one group, applied. `going` is given where the order may well be the best already."""
    symmetry = settings.symmetry
    inner = {n: g for n, g in symmetry.groups.items() if g.within == name}
    among = None if known is None else known | {name}
    both = lambda *which: tuple(slices(symmetry, leaves, *which) for leaves in (state.leaves, goal))
    own, others = both(name, known, frozenset(inner)), [both(n, among) for n in inner]
    matched = functools.partial(_matched, settings, symmetry.groups[name], [*inner.values()], going=going)
    for _ in symmetry.lead(name):
        matched = jax.vmap(matched)
    found, *within = matched(own, others)
    moves = {**identity(symmetry).moves, name: found, **dict(zip(inner, within, strict=True))}
    one = Element(symmetry, moves)
    leaves, distance = _moved(one, state.leaves, goal)
    return _State(leaves, distance, compose(one, state.element))


def _matched(
    settings: _Settings,
    group: Group,
    inner: list[Group],
    own: tuple[Slices, ...],
    others: list[tuple[Slices, ...]],
    *,
    going: Array | None,
) -> list[Move]:
    """The best move of a group, and of each group within it, from slices of the weights and the reference."""
    if group.allows("linear") and "linear" in settings.actions:
        return [_as_move(nearest(own[0], own[1]))]
    found = pairs(group, own[0], own[1], settings.actions)
    cost, tables = found.cost, []
    for one, (mine, theirs) in zip(inner, others, strict=True):
        # Of the reference's index i and the weights' j: the matrix forms of each are computed once for all pairs.
        best = functools.partial(_best_within, settings, one)
        table = jax.vmap(jax.vmap(best, (0, None)), (None, 0))(mine, theirs)
        cost, tables = cost + table[0], [*tables, table[1]]
    order = rows = jnp.arange(group.size, dtype=jnp.int32)
    if group.allows("permute"):
        wanted = True if going is None else going & ~in_optimal_order(cost)
        order = assign(cost, wanted, solver=settings.solver)
    pick = lambda table: None if table is None else table[rows, order]
    return [Move(order, pick(found.gain), pick(found.phase)), *(jax.tree.map(pick, table) for table in tables)]


def _best_within(settings: _Settings, group: Group, weights: Slices, reference: Slices) -> tuple[Array, Move]:
    """What the best move of a group costs, but for terms that are the same for every one, and this move."""
    if group.allows("linear") and "linear" in settings.actions:
        found = nearest(weights, reference, steps=STEPS_OF_A_PAIR)
        return found.cost, _as_move(found)
    (move,) = _matched(settings, group, [], (weights, reference), [], going=None)
    cost = pairs(group, weights, reference, settings.actions).cost
    return jnp.sum(cost[jnp.arange(group.size), move.permutation]), move


def _as_move(found: Nearest) -> Move:
    return Move(matrix=found.matrix, inverse=found.inverse)


def _grown(settings: _Settings, state: _State, goal: list[Array]) -> _State:
    known: frozenset[str] = frozenset()
    for name in growth_order(settings.symmetry):
        state = _step(settings, name, state, goal, known=known)
        known |= {name}
    return state


def growth_order(symmetry: Symmetry) -> list[str]:
    """The groups from what is fixed inwards: next comes the first with an array whose other groups came before."""
    arrays = [[n for n in axes.names if n in symmetry.groups] for axes in symmetry.axes if len(axes.names) > 1]
    near = lambda n, order: any(names.count(n) == 1 and {*names} <= {n, *order} for names in arrays)
    return ready_first(list(symmetry.groups), near)


def ready_first(names: Sequence[str], ready: Callable[[str, list[str]], bool]) -> list[str]:
    """Names in a new order: next comes the first that is ready after those before it, or the first where none is."""
    order: list[str] = []
    while left := [name for name in names if name not in order]:
        order.append(next((name for name in left if ready(name, order)), left[0]))
    return order


def _descend(settings: _Settings, state: _State, goal: list[Array]) -> tuple[Element, Array, Array]:
    def sweep(carry: tuple[_State, Array, Array]) -> tuple[_State, Array, Array]:
        before, going, count = carry
        state = before
        for name in settings.symmetry.groups:
            # A group whose axes meet in one array makes the distance quadratic in its order: keep only what helps.
            state = _nearer(_step(settings, name, state, goal, going=going), state)
        return state, state.distance < before.distance * (1 - LEAST_GAIN), count + 1

    start = varying_as(state.distance, (state, jnp.asarray(True), jnp.asarray(0)))
    state, _, count = jax.lax.while_loop(lambda c: c[1] & (c[2] < settings.max_sweeps), sweep, start)
    return state.element, state.distance, count
