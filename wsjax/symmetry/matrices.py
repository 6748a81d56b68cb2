"""Matrices that bring the neurons of a linear group to those of another network, or to a form of their own.

Rows of `produced` p and `consumed` c are neurons. A matrix M makes M^T p and M^-1 c of them; c^T p, which is all that
the function depends on, stays. Two forms of it are used:

- balanced: p p^T = c c^T = diag(s), with s the singular values of c^T p, unique but for a sign of each row. With QR of
  both sides, p^T = Q R and c^T = Q' R', and the SVD R' R^T = U diag(s) V^T: M = R'^T U s^(-1/2), M^-1 = s^(-1/2) V^T R.
- nearest: min over M of |P - M^T p|^2 + |C - M^-1 c|^2, by Gauss-Newton's method from the best of three starts: none,
  the orthogonal matrix of least distance, and that of both networks in balanced form, exact for networks of one orbit.
  A step M (I + X) solves p p^T X + X c c^T = p (P - M^T p)^T - (C - M^-1 c) c^T, with p, c as they are moved so far: a
  least squares problem that two eigendecompositions solve.

Source: Procrustes, Schönemann 1966; the rest is derived here.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from wsjax.symmetry.element import multiply, refined
from wsjax.symmetry.match import Slices

STEPS, SHORT = 8, 0.25
RANK = 8.0  # in units of n eps: smaller singular values count as zero


class Nearest(NamedTuple):
    """A matrix, its inverse, and the squared distance that they leave."""

    cost: Float[Array, ""]
    matrix: Float[Array, "n n"]
    inverse: Float[Array, "n n"]


def balanced(produced: Float[Array, "n made"], consumed: Float[Array, "n read"]) -> tuple[Array, Array]:
    """The matrix that balances a group's neurons, largest singular value first, and its inverse.

    The identity where c^T p is not of full rank: then no invertible matrix balances it.
    """
    n = len(produced)
    eye = jnp.eye(n, dtype=produced.dtype)
    if min(produced.shape[1], consumed.shape[1]) < n:
        return eye, eye
    made, read = (jnp.linalg.qr(x.T, mode="r") for x in (produced, consumed))
    u, s, vt = jnp.linalg.svd(multiply(read, made.T))
    full = s[-1] > RANK * n * jnp.finfo(s.dtype).eps * s[0]
    root = jnp.sqrt(jnp.where(full, s, 1.0))
    matrix, inverse = multiply(read.T, u) / root[None, :], multiply(vt, made) / root[:, None]
    inverse = refined(inverse, matrix)
    return jnp.where(full, matrix, eye), jnp.where(full, inverse, eye)


def nearest(weights: Slices, reference: Slices, steps: int = STEPS) -> Nearest:
    """The matrix that brings the neurons of the weights as near to those of the reference as it can."""
    p, target_p = (jnp.concatenate([x.bias, x.produced], axis=1) for x in (weights, reference))
    c, target_c = weights.consumed, reference.consumed

    def of(matrix: Array, inverse: Array) -> Nearest:
        left = target_p - multiply(matrix.T, p), target_c - multiply(inverse, c)
        return Nearest(sum((jnp.sum(jnp.square(x)) for x in left), start=jnp.zeros((), p.dtype)), matrix, inverse)

    def better(a: Nearest, b: Nearest) -> Nearest:
        return jax.tree.map(lambda x, y: jnp.where(b.cost < a.cost, y, x), a, b)

    def step(_: Array, best: Nearest) -> Nearest:
        mine, read = multiply(best.matrix.T, p), multiply(best.inverse, c)
        right = multiply(mine, (target_p - mine).T) - multiply(target_c - read, read.T)
        x = _sylvester(multiply(mine, mine.T), multiply(read, read.T), right)
        found = best
        for length in (1.0, SHORT):
            change = jnp.eye(len(x), dtype=x.dtype) + length * x
            found = better(found, of(multiply(best.matrix, change), jnp.linalg.solve(change, best.inverse)))
        return found

    best = of(eye := jnp.eye(len(p), dtype=p.dtype), eye)
    q = _procrustes(p, c, target_p, target_c)
    best = better(best, of(q, q.T))
    if min(x.shape[1] for x in (p, c, target_p, target_c)) >= len(p):
        (mine, back), (theirs, theirs_back) = balanced(p, c), balanced(target_p, target_c)
        ends = (multiply(mine.T, p), multiply(back, c), multiply(theirs.T, target_p), multiply(theirs_back, target_c))
        q = _procrustes(*ends)
        matrix, inverse = multiply(multiply(mine, q), theirs_back), multiply(multiply(theirs, q.T), back)
        best = better(best, of(matrix, refined(inverse, matrix)))
    best = jax.lax.fori_loop(0, steps, step, best) if steps else best
    return best._replace(inverse=refined(best.inverse, best.matrix))


def _procrustes(p: Array, c: Array, target_p: Array, target_c: Array) -> Array:
    """The orthogonal Q of least |P - Q^T p|^2 + |C - Q^T c|^2."""
    u, _, vt = jnp.linalg.svd(multiply(p, target_p.T) + multiply(c, target_c.T))
    return multiply(u, vt)


def _sylvester(a: Array, b: Array, right: Array) -> Array:
    """X with a X + X b = right for symmetric a, b that are not negative; zero where neither says what it is."""
    (da, ua), (db, ub) = jnp.linalg.eigh(a), jnp.linalg.eigh(b)
    sums = da[:, None] + db[None, :]
    least = RANK * len(a) * jnp.finfo(a.dtype).eps * jnp.max(jnp.abs(sums))
    turned = multiply(multiply(ua.T, right), ub)
    inner = jnp.where(sums > least, turned / jnp.where(sums > least, sums, 1.0), 0.0)
    return multiply(multiply(ua, inner), ub.T)
