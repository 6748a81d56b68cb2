"""The loss barrier on the straight path between two networks."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, PyTree

from wsjax.errors import check_number, check_same_shapes
from wsjax.floats import floating, wide, widened
from wsjax.typing import Weights


class Barrier(NamedTuple):
    """Along (1 - fraction) a + fraction b: the loss at each fraction, its PSNR in dB, and the highest excess loss."""

    fraction: Float[Array, " steps"]
    loss: Float[Array, " steps"]
    psnr: Float[Array, " steps"]
    height: Float[Array, ""]


def interpolation_barrier(
    apply: Callable[..., Array],
    a: Weights,
    b: Weights,
    points: PyTree[ArrayLike],
    *,
    steps: int = 11,
    loss: Callable[[Array], Array] | None = None,
    peak: float = 1.0,
) -> Barrier:
    """The loss on the straight line between two networks: height = max over s of L(s) - ((1 - s) L(0) + s L(1)).

    Without a `loss`, L(s) is the mean squared difference between the network at (1 - s) a + s b and the same mixture
    of the two networks' outputs: what a mixed label promises. PSNR is 10 log10(peak^2 / L).

    Args:
        apply: `apply(weights, points) -> outputs`.
        a, b: the ends, of one structure; leaves that are not floating point are those of a.
        points: where the outputs are taken.
        steps: points on the path, ends included; at least 3.
        loss: of the outputs, for networks with a task of their own, such as their error on data.
        peak: [] largest value of the outputs, for the PSNR.

    Raises:
        ValueError: fewer than 3 steps, a peak of 0, or ends that differ in structure or in a shape; the leaf is named.

    Source: the loss barrier of arXiv 2209.04836, section 2, and of arXiv 1912.05671.

    Example:
        >>> import jax.numpy as jnp
        >>> barrier = jax.jit(lambda a, b: interpolation_barrier(lambda w, x: w * x, a, b, jnp.ones(4)).height)
        >>> float(barrier(1.0, 3.0))
        0.0
    """
    check_number("steps", steps, low=3, integer=True)
    check_number("peak", peak, low=0, open_low=True)
    check_same_shapes(a, b, "the other end")
    fraction = jnp.linspace(0.0, 1.0, steps)

    def between(s: Array) -> Weights:
        def blend(x: ArrayLike, y: ArrayLike) -> Array:
            leaf = jnp.asarray(x)
            if not floating(leaf):
                return leaf
            part = s.astype(wide(leaf))
            return ((1 - part) * widened(leaf) + part * widened(y, leaf)).astype(leaf.dtype)

        return jax.tree.map(blend, a, b)

    # In float32 at least: integers have no parts in between, and half types overflow where they are squared.
    first, last = widened(apply(a, points)), widened(apply(b, points))

    def at(s: Array) -> Array:
        outputs = apply(between(s), points)
        if loss is not None:
            return widened(loss(outputs))
        promised = (1 - s).astype(first.dtype) * first + s.astype(first.dtype) * last
        return jnp.mean(jnp.square(jnp.abs(widened(outputs) - promised)))

    along = jax.lax.map(at, fraction)
    weight = fraction.astype(along.dtype)
    excess = along - ((1 - weight) * along[0] + weight * along[-1])
    return Barrier(fraction, along, 10 * jnp.log10(peak**2 / jnp.maximum(along, 1e-20)), jnp.max(excess))
