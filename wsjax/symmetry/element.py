"""Group elements as public values: invert one, compose two (`sample` draws them, `act` applies them).

For every group an element holds what happens to its pre-activations z (for a sine, z = w0 (x W + b)):

    z'[j] = gain[j] * z[permutation[j]] + phase[j] * pi

The neurons' outputs then change by the factor gain * (-1)^phase, which the arrays that consume the group
divide out. `gain` is -1 or +1 for odd activations and positive for homogeneous ones. A part that is None does
nothing and costs nothing. Because an element is a value, the one drawn for a network can act on its target too.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Int

from wsjax.symmetry.spec import Symmetry


class Move(NamedTuple):
    """What one group's neurons undergo: z'[j] = gain[j] z[permutation[j]] + phase[j] pi."""

    permutation: Int[ArrayLike, " neurons"] | None = None
    gain: Float[ArrayLike, " neurons"] | None = None
    phase: Int[ArrayLike, " neurons"] | None = None


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

    gain = b.gain * a.gain[b.permutation], phase = b.phase + sign(b.gain) * a.phase[b.permutation].

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
    return Element(first.symmetry, {name: _compose(second.moves[name], move) for name, move in first.moves.items()})


def _compose(b: Move, a: Move) -> Move:
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
    return Element(element.symmetry, {name: _inverse(move) for name, move in element.moves.items()})


def _inverse(move: Move) -> Move:
    gain = None if move.gain is None else 1 / jnp.asarray(move.gain)
    phase = None if move.phase is None else -jnp.asarray(move.phase)
    if phase is not None and gain is not None:
        phase = phase * jnp.sign(gain).astype(phase.dtype)
    if move.permutation is None:
        return Move(None, gain, phase)
    back = jnp.argsort(jnp.asarray(move.permutation))
    take = lambda x: None if x is None else jnp.take(x, back)
    return Move(back, take(gain), take(phase))
