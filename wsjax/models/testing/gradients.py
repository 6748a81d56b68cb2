"""Whether every parameter can learn."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, ArrayLike, PyTree

from wsjax.errors import check_number, leaf_names
from wsjax.models.build import trainable
from wsjax.models.testing.precise import Module, generator, in_float64, network, to_float64
from wsjax.symmetry import Symmetry
from wsjax.typing import Key, Weights


def check_gradients(
    reader: Module,
    symmetry: Symmetry,
    weights: Weights | None = None,
    *,
    draws: int = 64,
    share: float = 1.0,
    key: Key,
    tolerance: float = 1e-12,
) -> float:
    """Prove that the gradient reaches every parameter: some network, parameters and direction give it one.

    For each draw the parameters are drawn anew (normal, as large as they were), so that a ReLU that is off or a
    scale that starts at zero hides nothing, and a random direction of the output is differentiated, in float64.

    Args:
        reader: `reader(weights) -> output`, for one network.
        symmetry: the networks' Symmetry.
        weights: one network's weights; None draws another for each draw.
        draws: how many gradients are looked at; a weight between two ReLU has one in about a quarter of them.
        share: the least share of an array's entries that must get a gradient; 0 asks for one entry of each array.
        key: a typed key.
        tolerance: a gradient below it, as a share of the largest, counts as none.

    Returns:
        The share of entries with a gradient, of the array where it is smallest.

    Raises:
        AssertionError: naming each array with parameters that no gradient reaches, or a gradient that is not finite.
        ValueError: a reader without parameters that train, or weights that do not fit the Symmetry.

    Example:
        >>> import equinox as eqx, jax
        >>> from wsjax.symmetry import mlp
        >>> layer = eqx.nn.Linear(4, 3, key=jax.random.key(0))
        >>> reader = jax.tree_util.Partial(lambda layer, weights: layer(weights[0].bias), layer)
        >>> check_gradients(reader, mlp((2, 4, 1)), key=jax.random.key(1))
        1.0
    """
    check_number("draws", draws, low=1, whole=True)
    check_number("share", share, low=0, high=1)
    with in_float64():
        reader = to_float64(reader)
        varying, rest = eqx.partition(reader, trainable(reader))
        if not jax.tree.leaves(varying):
            raise ValueError("the reader has no parameters that train; expected a module, or a Partial of one")
        rng = generator(key)
        sizes = jax.tree.map(lambda leaf: float(np.sqrt(np.mean(np.asarray(leaf) ** 2))) if leaf.size else 0.0, varying)
        redraw = lambda leaf, size: (size or 0.1) * rng.normal(size=leaf.shape)
        largest = jax.tree.map(lambda leaf: np.zeros(leaf.shape), varying)
        for _ in range(draws):
            drawn, angle = network(symmetry, weights, rng), np.asarray(rng.uniform(0, 2 * np.pi))
            slopes = _slopes(jax.tree.map(redraw, varying, sizes), rest, drawn, angle)
            largest = jax.tree.map(lambda a, b: np.maximum(a, np.abs(b)), largest, slopes)
    names, seen = leaf_names(largest, "reader"), jax.tree.leaves(largest)
    broken = [name for name, leaf in zip(names, seen, strict=True) if not np.isfinite(leaf).all()]
    if broken:
        raise AssertionError(
            f"the gradient of {', '.join(broken)} is not finite; expected finite numbers: look for a root, a division "
            f"or a norm at zero"
        )
    floor = tolerance * max(float(leaf.max(initial=0.0)) for leaf in seen)
    reached = [int((leaf > floor).sum()) for leaf in seen]
    dead = [
        f"{name} ({n} of its {leaf.size} entries get one)"
        for name, leaf, n in zip(names, seen, reached, strict=True)
        if leaf.size and n < max(1, share * leaf.size)
    ]
    if dead:
        raise AssertionError(
            f"no gradient reaches {'; '.join(dead)}: expected {share:.0%} of each array's entries, and one at least, "
            f"with a gradient above {tolerance:.2g} of the largest in one of {draws} draws. Use these parameters on "
            f"the way to the output, or remove them."
        )
    return min(n / leaf.size for n, leaf in zip(reached, seen, strict=True) if leaf.size)


@eqx.filter_jit
def _slopes(parameters: PyTree, rest: PyTree, weights: Weights, angle: ArrayLike) -> PyTree:
    """Along a direction of the output, which an angle gives: to draw it here would be compiled as well."""

    def along(parameters: PyTree) -> Array:
        output = ravel_pytree(eqx.combine(parameters, rest)(weights))[0]
        return output @ jnp.cos(angle * jnp.arange(1, output.size + 1))

    return jax.grad(along)(parameters)
