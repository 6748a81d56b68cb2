"""`check` accepts what is right and names what is wrong; the straight path between two networks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.helpers import CASES, W0, points, random_weights
from wsjax import networks
from wsjax import symmetry as ws
from wsjax.symmetry import Axes, Symmetry, symmetry_of
from wsjax.symmetry.barrier import Barrier
from wsjax.typing import Layer

WIDTHS = (2, 4, 4, 1)

APPLY = {case: jax.jit(CASES[case].apply) for case in CASES}


def run(case: str, spec: Symmetry, **settings) -> float:
    weights = random_weights(jax.random.key(0), spec)
    return ws.check(APPLY[case], spec, weights, points(jax.random.key(1), 2), key=jax.random.key(2), **settings)


@pytest.mark.parametrize("case", CASES)
def test_a_right_description_is_proven(case: str):
    assert 0 < run(case, CASES[case].symmetry(WIDTHS)) < 2e-5


def swapped() -> Symmetry:
    right = ws.mlp(WIDTHS)
    first, _, last = right.unflatten(list(right.axes))
    return symmetry_of((first, Layer(Axes("h2", "h1*"), Axes("h2", bias=True)), last), dict(right.dimensions))


@pytest.mark.parametrize(
    ("case", "spec", "message"),
    [
        ("relu", ws.mlp(WIDTHS, "tanh"), "'sign' on group 'h1'"),
        ("tanh", ws.mlp(WIDTHS, "relu"), "'rescale' on group 'h1'"),
        ("relu", ws.siren(WIDTHS, W0), "'sign' on group 'h1'"),
        ("siren", ws.siren(WIDTHS, 30.0), "'phase' on group 'h1'"),
        ("siren", ws.siren(WIDTHS, (W0[0], W0[0])), "'phase' on group 'h2'"),
        ("siren", ws.siren(WIDTHS, W0, "kernel"), "'phase' on group 'h1'"),
        ("kernel siren", ws.siren(WIDTHS, W0), "'phase' on group 'h1'"),
        ("relu", swapped(), "'permute' on group 'h1'"),
    ],
)
def test_a_wrong_description_is_refused_by_the_name_of_its_group_and_action(case: str, spec: Symmetry, message: str):
    with pytest.raises(
        ValueError, match=rf"^{message} changes the function by .* expected at most 0.0001. Correct the Axes"
    ):
        run(case, spec)


@pytest.mark.parametrize(
    ("apply", "tolerance"),
    [
        (lambda w, x: 1e-6 * networks.mlp_apply(w, x), 1e-4),
        (lambda w, x: {"large": jnp.full(3, 1e6), "wrong": networks.mlp_apply(w, x)}, 1e-4),
        (lambda w, x: (1e3 * networks.mlp_apply(w, x)).astype(jnp.float16), 0.01),
        (lambda w, x: 1e25 * networks.mlp_apply(w, x), 0.01),
        (lambda w, x: 1e200 * np.float64(networks.mlp_apply(w, x)), 0.01),
        (lambda w, x: 1e-200 * np.float64(networks.mlp_apply(w, x)), 0.01),
    ],
    ids=["tiny", "beside a large one", "half types", "squares overflow", "in float64", "squares underflow"],
)
def test_every_output_is_measured_by_its_own_size(apply, tolerance):
    """A ReLU network, which signs change, is never proved to be one of tanh."""
    spec = ws.mlp((2, 4, 1), "tanh")
    weights, x = random_weights(jax.random.key(0), spec), points(jax.random.key(1), 2)
    with pytest.raises(ValueError, match=r"'sign' on group 'h1' changes the function"):
        ws.check(apply, spec, weights, x, key=jax.random.key(2), tolerance=tolerance)


def test_a_tolerance_of_nothing_refuses_rounding():
    with pytest.raises(ValueError, match=r"expected at most 0"):
        run("siren", ws.siren(WIDTHS, W0), tolerance=0.0)


def test_outputs_may_be_any_pytree_and_a_nan_is_refused():
    spec = ws.mlp((2, 4, 1), "tanh")
    weights = random_weights(jax.random.key(0), spec)
    several = lambda w, x: {"y": networks.mlp_apply(w, x, activation="tanh"), "size": jnp.float32(1)}
    assert ws.check(several, spec, weights, points(jax.random.key(1), 2), key=jax.random.key(2)) < 1e-5
    broken = (weights[0], weights[1]._replace(bias=np.full(1, np.nan, np.float32)))
    with pytest.raises(ValueError, match=r"the output\['y'\] of apply is not finite in 16 of 16 entries.* wider dtype"):
        ws.check(several, spec, broken, points(jax.random.key(1), 2), key=jax.random.key(2))


def test_nothing_proves_nothing(untyped):
    spec = ws.mlp((2, 4, 1))
    weights, key = random_weights(jax.random.key(0), spec), jax.random.key(1)
    for empty in ((), np.zeros((0, 1))):
        with pytest.raises(ValueError, match=r"apply returns no number; expected one at least"):
            ws.check(lambda w, empty=empty: empty, spec, weights, key=key)
    with pytest.raises(ValueError, match=r"draws is 0; it must be one integer in \[1, inf\)"):
        ws.check(lambda w: 1.0, spec, weights, key=key, draws=0)


# --- barriers ---------------------------------------------------------------------------------------------------------

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
    # Integers and half types are compared in float32: 0 to 300 at once, whose square no float16 holds.
    for dtype in (np.int32, jnp.float16):
        path = between(-1.0, 3.0, lambda p, x, d=dtype: jnp.where(p["w"] * x > 0, 300, 0).astype(d))
        np.testing.assert_allclose(path.loss, [0, 150**2, 0])


def test_two_points_make_no_path_and_ends_of_other_shapes_are_refused(untyped):
    for settings, message in (
        ({"steps": 2}, r"steps is 2; it must be one integer in \[3, inf\)"),
        ({"steps": 3.5}, r"steps is 3\.5; it must be one integer"),
        ({"peak": 0.0}, r"peak is 0\.0; it must be one number in \(0, inf\)"),
    ):
        with pytest.raises(ValueError, match=message):
            ws.interpolation_barrier(apply, 1.0, 2.0, X, **settings)  # pyright: ignore[reportArgumentType]
    a, b = (random_weights(KEY, ws.siren((2, n, 1))) for n in (8, 1))
    with pytest.raises(ValueError, match=r"weights\[0\].kernel has shape \(2, 8\); the other end expects \(2, 1\)"):
        ws.interpolation_barrier(apply, a, b, X)
