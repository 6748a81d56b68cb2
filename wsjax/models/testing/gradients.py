"""Whether every parameter can learn."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, ArrayLike, PyTree

from wsjax.errors import check_number, leaf_names
from wsjax.models.testing.precise import Module, generator, in_float64, network, to_float64
from wsjax.symmetry import Symmetry
from wsjax.typing import Key, Weights


def check_gradients(
    reader: Module,
    symmetry: Symmetry,
    weights: Weights | None = None,
    *,
    draws: int = 64,
    fraction: float = 1.0,
    key: Key,
    tolerance: float = 1e-12,
) -> float:
    """Prove that the gradient reaches every parameter: some network, parameters and direction give it one.

    For each draw the parameters are drawn anew (normal, as large as they were), so that a ReLU that is off or a
    scale that is zero at initialization hides nothing, and a random direction of the output is differentiated, in
    float64.

    Args:
        reader, symmetry, key: as in `check_invariant`.
        weights: one network's weights; None draws another for each draw.
        draws: the number of gradients; a weight between two ReLU has one in about a quarter of them.
        fraction: the least fraction of an array's entries that must get a gradient; 0 asks for one entry of each array.
        tolerance: a gradient below it, as a fraction of the largest, counts as none.

    Returns: the fraction of entries with a gradient, of the array where it is smallest.

    Raises: AssertionError naming each array with parameters that no gradient reaches, or whose gradient is not finite;
    ValueError for a reader without parameters that train, or weights that do not fit the Symmetry.

    Example:
        >>> import equinox as eqx, jax
        >>> from wsjax.symmetry import mlp
        >>> layer = eqx.nn.Linear(4, 3, key=jax.random.key(0))
        >>> reader = jax.tree_util.Partial(lambda layer, weights: layer(weights[0].bias), layer)
        >>> check_gradients(reader, mlp((2, 4, 1)), key=jax.random.key(1))
        1.0
    """
    check_number("draws", draws, low=1, integer=True)
    check_number("fraction", fraction, low=0, high=1)
    with in_float64():
        reader = to_float64(reader)
        varying, rest = eqx.partition(reader, eqx.is_inexact_array)
        if not jax.tree.leaves(varying):
            raise ValueError("the reader has no parameters that train; expected a module, or a Partial of one")
        rng = generator(key)
        scales = jax.tree.map(
            lambda leaf: float(np.sqrt(np.mean(np.asarray(leaf) ** 2))) if leaf.size else 0.0, varying
        )
        redraw = lambda leaf, scale: (scale or 0.1) * rng.normal(size=leaf.shape)
        largest = jax.tree.map(lambda leaf: np.zeros(leaf.shape), varying)
        for _ in range(draws):
            drawn, angle = network(symmetry, weights, rng), np.asarray(rng.uniform(0, 2 * np.pi))
            gradients = _gradients(jax.tree.map(redraw, varying, scales), rest, drawn, angle)
            largest = jax.tree.map(lambda a, b: np.maximum(a, np.abs(b)), largest, gradients)
    found = dict(zip(leaf_names(largest, "reader"), jax.tree.leaves(largest), strict=True))
    broken = [name for name, leaf in found.items() if not np.isfinite(leaf).all()]
    if broken:
        raise AssertionError(
            f"the gradient of {', '.join(broken)} is not finite; expected finite numbers: look for a root, a division "
            f"or a norm at zero"
        )
    floor = tolerance * max(float(leaf.max(initial=0.0)) for leaf in found.values())
    sizes = {name: leaf.size for name, leaf in found.items() if leaf.size}
    reached = {name: int((found[name] > floor).sum()) for name in sizes}
    least = {name: max(1, fraction * size) for name, size in sizes.items()}
    dead = [f"{name} ({n} of its {sizes[name]} entries get one)" for name, n in reached.items() if n < least[name]]
    if dead:
        raise AssertionError(
            f"no gradient reaches {'; '.join(dead)}: expected {fraction:.0%} of each array's entries, and one at "
            f"least, with a gradient above {tolerance:.2g} of the largest in one of {draws} draws. Use these "
            f"parameters on the way to the output, or remove them."
        )
    return min(n / sizes[name] for name, n in reached.items())


@eqx.filter_jit
def _gradients(parameters: PyTree, rest: PyTree, weights: Weights, angle: ArrayLike) -> PyTree:
    """Along a direction of the output, which an angle gives: to draw it here would be compiled as well."""

    def along(parameters: PyTree) -> Array:
        output = ravel_pytree(eqx.combine(parameters, rest)(weights))[0]
        return output @ jnp.cos(angle * jnp.arange(1, output.size + 1))

    return jax.grad(along)(parameters)
