"""Maps of vectors that a neuron's sign or positive scale multiplies: those it cannot change, those it moves along.

A neuron's gain g multiplies every channel of its vector x alike, and a weight from neuron j to neuron i has the gain
g_i / g_j. A map is *invariant* where f(g x) = f(x) and *equivariant* where f(g x) = g f(x). Nothing is added to a
vector that has a gain, but vectors of the same gain: no bias, no shift, no norm that centers.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from wsjax.models.layers import draws
from wsjax.typing import Key


class Gain(NamedTuple):
    """What may multiply a vector: signs, positive scales, both (every number but zero), or neither."""

    sign: bool = False
    rescale: bool = False

    def through(self, other: "Gain") -> "Gain":
        """What may multiply the product of two vectors of these gains."""
        return Gain(self.sign or other.sign, self.rescale or other.rescale)


def reciprocal_size(x: Float[Array, "*places channels"]) -> Float[Array, "*places 1"]:
    """One over the root mean square of a vector's channels; zero for a vector of zeros, and its gradient too.

    So `x * reciprocal_size(x)` is what no positive scale of x changes: exactly so, as there is no epsilon in it.
    """
    # The largest entry is divided out first, so that no square is lost below or above the range of floats. The result
    # does not depend on it, hence nor does the gradient.
    largest = jax.lax.stop_gradient(jnp.max(jnp.abs(x), axis=-1, keepdims=True))
    some = largest > jnp.finfo(x.dtype).tiny
    largest = jnp.where(some, largest, 1)
    square = jnp.mean(jnp.square(x / largest), axis=-1, keepdims=True)
    return jnp.where(some, jax.lax.rsqrt(jnp.where(some, square, 1)) / largest, 0)


def even(shift: Array, moved: Array, gain: Gain) -> Array:
    """silu(shift + moved), and where a sign may multiply `moved`, silu(shift + moved) + silu(shift - moved).

    The published rho(x) + rho(-x), with rho a dense layer: one product serves both halves.
    """
    one = jax.nn.silu(shift + moved)
    return one + jax.nn.silu(shift - moved) if gain.sign else one


class Invariant(eqx.Module):
    """What a gain cannot change of vectors: a layer norm of `even(b, x' A)`, with x' = x / |x| where scales may act.

    **Preserves**: f(g x) = f(x) for every g that the gain given at the call allows.

    Source: arXiv 2406.10685, section 4, whose invariant maps are dense layers on x / |x|, or rho(x) + rho(-x).
    """

    matrix: Array
    bias: Array
    norm: eqx.nn.LayerNorm

    def __init__(self, inputs: int, outputs: int, *, key: Key):
        self.matrix = normal(key, inputs, outputs)
        self.bias, self.norm = draws.full(outputs, 0.0), eqx.nn.LayerNorm(outputs)

    def __call__(self, x: Float[Array, "elements inputs"], gain: Gain) -> Float[Array, "elements outputs"]:
        moved = (x * reciprocal_size(x) if gain.rescale else x) @ self.matrix
        return jax.vmap(self.norm)(even(self.bias[None, :], moved, gain))


class Equivariant(eqx.Module):
    """A map of vectors that moves along with their gain: (x M) * (Inv(x) V + c), entry by entry.

    **Preserves** equivariance: f(g x) = g f(x) for every g that the gain given at the call allows.

    Source: arXiv 2406.10685, section 4, equation for scale equivariant maps. The second factor is about one at
    initialization.
    """

    matrix: Array
    invariant: Invariant
    factor: Array
    bias: Array

    def __init__(self, inputs: int, outputs: int, fraction: float, *, key: Key):
        """`fraction` multiplies what it gives at initialization."""
        keys = [jax.random.fold_in(key, i) for i in range(3)]
        self.matrix, self.factor = fraction * normal(keys[0], inputs, outputs), normal(keys[1], outputs, outputs)
        self.invariant, self.bias = Invariant(inputs, outputs, key=keys[2]), draws.full(outputs, 1.0)

    def __call__(self, x: Float[Array, "elements inputs"], gain: Gain) -> Float[Array, "elements outputs"]:
        return (x @ self.matrix) * (self.invariant(x, gain) @ self.factor + self.bias[None, :])


class Plain(eqx.Module):
    """A map of vectors that nothing multiplies: two dense layers, Inv(x) V + c."""

    invariant: Invariant
    matrix: Array
    bias: Array

    def __init__(self, inputs: int, outputs: int, fraction: float, *, key: Key):
        """`fraction` multiplies what it gives at initialization."""
        keys = [jax.random.fold_in(key, i) for i in range(2)]
        self.invariant = Invariant(inputs, outputs, key=keys[0])
        self.matrix, self.bias = fraction * normal(keys[1], outputs, outputs), draws.full(outputs, 0.0)

    def __call__(self, x: Float[Array, "elements inputs"], gain: Gain) -> Float[Array, "elements outputs"]:
        return self.invariant(x, gain) @ self.matrix + self.bias[None, :]


def normal(key: Key, inputs: int, outputs: int) -> Float[Array, "inputs outputs"]:
    """N(0, 1 / inputs)."""
    return draws.normal(key, (inputs, outputs), inputs**-0.5)
