"""Group elements as public values: invert one, compose two (`sample` draws them, `act` applies them).

For every group an element holds what happens to its pre-activations z (for a sine, z = w0 (x W + b)):

    z'[j] = gain[j] * z[permutation[j]] + phase[j] * pi

The neurons' outputs then change by the factor gain * (-1)^phase, which the arrays that consume the group
divide out. `gain` is -1 or +1 for odd activations and positive for homogeneous ones. Where the neurons are linear, a
matrix may stand in place of all three,

    z'[j] = sum_i matrix[i, j] z[i]

and what consumes the group is multiplied by its inverse, which the element holds too. A part that is None does
nothing and costs nothing. Because an element is a value, the one drawn for a network can act on its target too.

A group within another axis (`Group.within`) has such a move for each index of it: its parts have one leading axis
more. The index is the new one: z'[o, j] = gain[o, j] z[order[o], permutation[o, j]], with the order of what is outside.
"""

import functools
from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Int

from wsjax.symmetry.spec import Symmetry


class Move(NamedTuple):
    """What one group's neurons undergo: z'[j] = gain[j] z[permutation[j]] + phase[j] pi, or z' = z matrix.

    A matrix comes with its inverse and without the other parts. Leading axes are those that the group lies within.
    """

    permutation: Int[ArrayLike, "*within neurons"] | None = None
    gain: Float[ArrayLike, "*within neurons"] | None = None
    phase: Int[ArrayLike, "*within neurons"] | None = None
    matrix: Float[ArrayLike, "*within neurons neurons"] | None = None
    inverse: Float[ArrayLike, "*within neurons neurons"] | None = None


@jax.tree_util.register_pytree_node_class
class Element:
    """An element of a network's symmetry group: a `Move` for each group, and the Symmetry it belongs to."""

    def __init__(self, symmetry: Symmetry, moves: dict[str, Move]):
        self.symmetry = symmetry
        self.moves = moves

    def tree_flatten(self):
        return tuple(self.moves.values()), (self.symmetry, tuple(self.moves))

    @classmethod
    def tree_unflatten(cls, aux, children):
        symmetry, names = aux
        return cls(symmetry, dict(zip(names, children, strict=True)))

    def __repr__(self) -> str:
        return f"Element({self.moves})"


def identity(symmetry: Symmetry) -> Element:
    """The element that does nothing."""
    return Element(symmetry, {name: Move() for name in symmetry.groups})


def compose(second: Element, first: Element) -> Element:
    """The element that acts as `first`, then `second`: act(compose(b, a), w) = act(b, act(a, w)).

    gain = b.gain * a.gain[b.permutation], phase = b.phase + sign(b.gain) * a.phase[b.permutation], and
    matrix = a.matrix @ b.matrix. Moves within another axis compose for each new index of it.

    Raises:
        ValueError: the two belong to different Symmetries.

    Example:
        >>> import jax
        >>> from wsjax.symmetry import mlp, sample
        >>> flip = sample(jax.random.key(0), mlp((2, 3, 1), "tanh"), actions=("sign",))
        >>> compose(flip, flip).moves["h1"].gain.tolist()
        [1.0, 1.0, 1.0]
    """
    if second.symmetry != first.symmetry:
        raise ValueError(
            f"cannot compose elements of {second.symmetry} and {first.symmetry}; use one Symmetry for both"
        )
    moves = {}
    for name, move in first.moves.items():
        carried = _carried(move, name, second.symmetry, second.moves)
        moves[name] = _of_each(_compose, name, second.symmetry, second.moves[name], carried)
    return Element(first.symmetry, moves)


def _of_each(of_one: Callable[..., Move], name: str, symmetry: Symmetry, *moves: Move) -> Move:
    """A function of moves, for each index of what a group lies within."""
    lead = symmetry.lead(name)
    if not lead:
        return of_one(*moves)
    if not jax.tree.leaves(moves):
        return Move()
    for _ in lead:
        of_one = jax.vmap(of_one)
    return of_one(*(spread(move, lead) for move in moves))


def spread(move: Move, lead: tuple[int, ...]) -> Move:
    """A move with the leading axes of what its group lies within; one without them is the same for every index."""
    ranks = (1, 1, 1, 2, 2)
    parts = (None if x is None else jnp.asarray(x) for x in move)
    return Move(
        *(x if x is None else jnp.broadcast_to(x, (*lead, *x.shape[-r:])) for x, r in zip(parts, ranks, strict=True))
    )


def _carried(move: Move, name: str, symmetry: Symmetry, moves: Mapping[str, Move]) -> Move:
    """A group's moves in a new order of the axes that it lies within, which their own moves say."""
    if not jax.tree.leaves(move):
        return move
    lead = symmetry.lead(name)
    for depth, outer in enumerate(symmetry.chain(name)):
        if (order := moves.get(outer, Move()).permutation) is None:
            continue
        index = jnp.broadcast_to(jnp.asarray(order), lead[: depth + 1])
        take = lambda x, i=index, d=depth: jnp.take_along_axis(x, i.reshape(*i.shape, *[1] * (x.ndim - i.ndim)), axis=d)
        move = jax.tree.map(take, spread(move, lead))
    return move


def _as_matrix(move: Move, like: Array) -> tuple[Array, Array]:
    """The matrix of a move and its inverse."""
    if move.matrix is not None and move.inverse is not None:
        return jnp.asarray(move.matrix).astype(like.dtype), jnp.asarray(move.inverse).astype(like.dtype)
    rows = jnp.arange(like.shape[-1])
    order = rows if move.permutation is None else jnp.asarray(move.permutation)
    gain = jnp.ones(len(rows), like.dtype) if move.gain is None else jnp.asarray(move.gain).astype(like.dtype)
    empty = jnp.zeros(like.shape, like.dtype)
    return empty.at[order, rows].set(gain), empty.at[rows, order].set(1 / gain)


def multiply(a: Array, b: Array) -> Array:
    """A matrix product in the full precision of its dtype."""
    return jnp.matmul(a, b, precision=jax.lax.Precision.HIGHEST)


def refined(inverse: Array, matrix: Array) -> Array:
    """One step of Newton's method towards the inverse: twice as many digits are right."""
    one = jnp.broadcast_to(jnp.eye(matrix.shape[-1], dtype=matrix.dtype), matrix.shape)
    return inverse + multiply(inverse, one - multiply(matrix, inverse))


def _compose(b: Move, a: Move) -> Move:
    if a.matrix is not None or b.matrix is not None:
        dtypes = [jnp.result_type(m.matrix) for m in (a, b) if m.matrix is not None]
        dtype = functools.reduce(np.promote_types, dtypes)
        like = jnp.asarray(b.matrix if a.matrix is None else a.matrix).astype(dtype)
        (first, first_back), (then, then_back) = _as_matrix(a, like), _as_matrix(b, like)
        return Move(matrix=multiply(first, then), inverse=multiply(then_back, first_back))

    def reorder(x: ArrayLike | None) -> Array | None:
        return None if x is None else (jnp.asarray(x) if b.permutation is None else jnp.take(x, b.permutation))

    permutation, gain, phase = reorder(a.permutation), reorder(a.gain), reorder(a.phase)
    permutation = b.permutation if permutation is None else permutation
    if phase is not None and b.gain is not None:
        phase = phase * jnp.sign(b.gain).astype(phase.dtype)
    gain = b.gain if gain is None else (gain if b.gain is None else gain * b.gain)
    phase = b.phase if phase is None else (phase if b.phase is None else phase + b.phase)
    return Move(permutation, gain, phase)


def inverse(element: Element) -> Element:
    """The element that undoes this one: compose(inverse(g), g) is the identity.

    For a scale, 1/(1/s) may differ from s in the last bit.

    Example:
        >>> import jax
        >>> from wsjax.symmetry import sample, siren
        >>> g = sample(jax.random.key(0), siren((2, 3, 1)))
        >>> compose(inverse(g), g).moves["h1"].permutation.tolist()
        [0, 1, 2]
    """
    symmetry, moves = element.symmetry, dict[str, Move]()
    for name in sorted(element.moves, key=lambda name: len(symmetry.chain(name))):
        undone = _of_each(_inverse, name, symmetry, element.moves[name])
        moves[name] = _carried(undone, name, symmetry, moves)
    return Element(symmetry, {name: moves[name] for name in element.moves})


def _inverse(move: Move) -> Move:
    if move.matrix is not None:
        return Move(matrix=move.inverse, inverse=move.matrix)
    gain = None if move.gain is None else 1 / jnp.asarray(move.gain)
    phase = None if move.phase is None else -jnp.asarray(move.phase)
    if phase is not None and gain is not None:
        phase = phase * jnp.sign(gain).astype(phase.dtype)
    if move.permutation is None:
        return Move(None, gain, phase)
    back = jnp.argsort(jnp.asarray(move.permutation))
    take = lambda x: None if x is None else jnp.take(x, back)
    return Move(back, take(gain), take(phase))
