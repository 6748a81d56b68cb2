"""The straight path between two networks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.helpers import points, random_weights
from wsjax import networks
from wsjax import symmetry as ws
from wsjax.symmetry.barrier import Barrier

KEY = jax.random.key(0)
X = points(KEY, 2)


@jax.jit
def apply(weights, x):
    return networks.siren_apply(weights, x, w0=5.0)


def test_a_permuted_copy_has_a_barrier_that_alignment_takes_away():
    spec = ws.siren((2, 12, 1), w0=5.0)
    weights = random_weights(KEY, spec)
    moved = jax.jit(lambda w: ws.act(ws.sample(KEY, spec), w))(weights)
    barrier = jax.jit(lambda other: ws.interpolation_barrier(apply, weights, other, X))
    apart, near = barrier(moved), barrier(jax.jit(lambda w: ws.align(w, weights, spec).weights)(moved))
    assert float(apart.height) > 1e-3
    assert float(near.height) < 1e-10
    assert float(near.psnr.min()) > 90


def test_the_ends_lose_nothing_and_the_middle_is_the_networks_in_between():
    a, b = (random_weights(jax.random.key(i), ws.siren((2, 4, 1))) for i in (1, 2))
    found = jax.jit(lambda a, b: ws.interpolation_barrier(apply, a, b, X, steps=5))(a, b)
    np.testing.assert_allclose(found.fraction, [0, 0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(np.asarray(found.loss)[[0, 4]], 0, atol=1e-12)
    quarter = apply(jax.tree.map(lambda x, y: 0.75 * x + 0.25 * y, a, b), X)
    loss = np.mean(np.square(quarter - 0.75 * np.asarray(apply(a, X)) - 0.25 * np.asarray(apply(b, X)))).item()
    assert float(found.loss[1]) == pytest.approx(loss, rel=1e-5)
    assert float(found.psnr[1]) == pytest.approx(-10 * np.log10(loss), rel=1e-5)
    assert float(found.height) == pytest.approx(float(found.loss.max()), rel=1e-6)


def test_a_task_has_its_own_loss():
    def between(a: float, b: float, apply=lambda p, x: p["w"] * x, **settings) -> Barrier:
        run = lambda a, b: ws.interpolation_barrier(apply, a, b, np.ones(3, np.float32), steps=3, **settings)
        return jax.jit(run)(*({"w": np.float32(v), "step": np.int32(3)} for v in (a, b)))

    path = between(-1.0, 1.0, loss=lambda y: 1 - jnp.mean(y) ** 2)
    np.testing.assert_allclose(path.loss, [0, 1, 0], atol=1e-6)
    assert float(path.height) == pytest.approx(1.0, abs=1e-6)
    # Between ends of different losses, 0 and 3, the height is that above the line between them.
    path = between(0.0, 1.0, loss=lambda y: 3 * jnp.mean(y) ** 0.5)
    assert float(path.height) == pytest.approx(3 * 0.5**0.5 - 1.5, abs=1e-6)
    # Whole numbers and half types are compared in float32: 0 to 300 at once, whose square no float16 holds.
    for dtype in (np.int32, jnp.float16):
        path = between(-1.0, 3.0, lambda p, x, d=dtype: jnp.where(p["w"] * x > 0, 300, 0).astype(d))
        np.testing.assert_allclose(path.loss, [0, 150**2, 0])


def test_two_points_make_no_path():
    with pytest.raises(ValueError, match=r"steps is 2; it must be one number in \[3, inf\]"):
        ws.interpolation_barrier(apply, 1.0, 2.0, X, steps=2)


def test_ends_of_other_shapes_are_refused(untyped):
    a, b = (random_weights(KEY, ws.siren((2, n, 1))) for n in (8, 1))
    with pytest.raises(ValueError, match=r"weights\[0\].kernel has shape \(2, 8\); the other end expects \(2, 1\)"):
        ws.interpolation_barrier(apply, a, b, X)
