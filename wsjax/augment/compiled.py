"""`compiled`: a transform as one program of its own, for use outside of a compiled training step."""

from dataclasses import dataclass

import jax
from jax.tree_util import Partial
from jaxtyping import PyTree

from wsjax.augment.compose import bound
from wsjax.typing import Key, Transform, X


def compiled(transform: Transform[X]) -> Transform[X]:
    """A transform as one compiled program that passes on, uncopied, the arrays that it leaves as they are.

    `jax.jit` copies whatever a program returns, also what it was given: of a 2-32-32-1 network a rotation moves 64
    weights, and 1,121 would be copied. Within a larger compiled program, such as a training step, nothing is copied,
    and the transform serves there as it is.

    **Preserves** the transform: the same arrays as `jax.jit(transform)` gives, for the same key.

    Args:
        transform: any, of one network or of a batch. The settings of a `Partial` are arguments of the program: others
            compile nothing anew.

    Example:
        >>> import jax.numpy as jnp
        >>> from wsjax import augment, networks, symmetry
        >>> spec, w = symmetry.siren((2, 4, 1)), networks.siren_init(jax.random.key(0), (2, 4, 1))
        >>> turned = compiled(Partial(augment.rotate, symmetry=spec, max_degrees=30.0))(jax.random.key(1), w)
        >>> turned[1].kernel is w[1].kernel, turned[0].kernel is w[0].kernel
        (True, False)
    """
    step = bound(transform)

    def run(key: Key, x: X) -> X:
        given = jax.tree.leaves(x)
        made = _changed(step, key, x)
        return jax.tree.map(lambda part: given[part.place] if isinstance(part, Left) else part, made, is_leaf=_is_left)

    return run


@jax.tree_util.register_static
@dataclass(frozen=True)
class Left:
    """In place of an array that a transform left as it was: which one of its argument's."""

    place: int


def _is_left(part: PyTree) -> bool:
    return isinstance(part, Left)


@jax.jit
def _changed(transform: Partial, key: Key, x: PyTree) -> PyTree:
    """What a transform makes, with `Left` in place of the arrays that it gives back."""
    given = {id(leaf): i for i, leaf in enumerate(jax.tree.leaves(x))}
    return jax.tree.map(lambda leaf: Left(given[id(leaf)]) if id(leaf) in given else leaf, transform(key, x))
