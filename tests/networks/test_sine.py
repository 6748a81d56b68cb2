"""The fast sine against NumPy's in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.helpers import USERS_CODE
from wsjax.networks.sine import sine

X = np.concatenate(
    [np.linspace(-1000, 1000, 200_001), np.linspace(-4, 4, 20_001), np.arange(-300, 300) * np.pi / 2, [0.0, 1e-8]]
).astype(np.float32)
EXACT = X.astype(np.float64)
VALUE, DERIVATIVE = 1.7e-7, 2.1e-7
"""The bounds that its docstring states, of the code that users run: a fused multiplication and addition rounds once."""

value = jax.jit(sine, compiler_options=USERS_CODE)
derivative = jax.jit(jax.vmap(jax.grad(lambda x: sine(x))), compiler_options=USERS_CODE)


def worst(found: jax.Array, expected: np.ndarray) -> float:
    return float(np.abs(np.asarray(found, np.float64) - expected).max())


def test_the_value_is_as_exact_as_its_docstring_says():
    assert worst(value(X), np.sin(EXACT)) < VALUE
    assert worst(sine(jnp.asarray(X)), np.sin(EXACT)) < VALUE


def test_the_derivative_is_as_exact_as_its_docstring_says():
    assert worst(derivative(X), np.cos(EXACT)) < DERIVATIVE
    value, tangent = jax.jvp(sine, (jnp.asarray(X),), (jnp.full_like(X, 2.0),))  # both at once
    assert worst(value, np.sin(EXACT)) < VALUE
    assert worst(tangent, 2 * np.cos(EXACT)) < 2 * DERIVATIVE


def test_a_second_derivative_is_minus_the_sine():
    x = X[np.abs(X) < 100][::10]
    bend = jax.jit(jax.vmap(jax.grad(jax.grad(lambda x: sine(x)))))(x)
    assert worst(bend, -np.sin(x.astype(np.float64))) < 1e-6


def test_far_arguments_lose_only_what_their_spacing_loses():
    x = np.linspace(2000, 9000, 10_001, dtype=np.float32)
    assert worst(sine(jnp.asarray(x)), np.sin(x.astype(np.float64))) < 9000 * 6e-8


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_half_types_are_rounded_once(dtype):
    x = jnp.asarray(np.linspace(-20, 20, 1001), dtype)
    found, derivative = jax.jit(lambda x: (sine(x), jax.grad(lambda x: sine(x).sum())(x)))(x)
    assert found.dtype == derivative.dtype == dtype
    exact = np.sin(np.asarray(x, np.float64))
    assert (np.abs(np.asarray(found, np.float64) - exact) <= jnp.finfo(dtype).eps * np.abs(exact) + 2e-7).all()


def test_float64_is_exact():
    with jax.enable_x64(True):
        x = jnp.asarray(EXACT[::100])
        found, derivative = jax.jit(lambda x: (sine(x), jax.vmap(jax.grad(lambda x: sine(x)))(x)))(x)
        assert found.dtype == jnp.float64
        assert worst(found, np.sin(EXACT[::100])) < 1e-14
        assert worst(derivative, np.cos(EXACT[::100])) < 1e-14


@pytest.mark.parametrize(("platform", "own"), [("cpu", False), ("cuda", True), ("tpu", True)])
def test_the_backend_decides_which_sine_a_program_holds(platform, own):
    """Where there is no such device the program can still be read."""
    x = jnp.asarray(X[:8])
    for function, operations in ((sine, ("sine",)), (jax.grad(lambda x: sine(x).sum()), ("cosine",))):
        program = jax.jit(function).trace(x).lower(lowering_platforms=(platform,)).as_text()
        assert all((f"stablehlo.{operation} " in program) == own for operation in operations)


def test_other_backends_take_jax_s_own_sine_with_its_derivative(monkeypatch):
    """As they would, run here: the branch for them in place of the CPU's."""
    monkeypatch.setattr(jax.lax, "platform_dependent", lambda *x, cpu, default: default(*x))
    x = jnp.asarray(X[::100])
    np.testing.assert_array_equal(sine(x), jnp.sin(x))
    np.testing.assert_array_equal(jax.vmap(jax.grad(lambda x: sine(x)))(x), jnp.cos(x))


def test_any_shape_passes_and_vmap_is_a_loop():
    x = jnp.asarray(X[:24].reshape(2, 3, 4))
    np.testing.assert_array_equal(*jax.jit(lambda x: (jax.vmap(jax.vmap(sine))(x), sine(x)))(x))
    assert sine(jnp.float32(1.0)).shape == ()
    assert jnp.isnan(sine(jnp.float32(jnp.inf)))


def test_value_and_derivative_stay_within_one_for_every_finite_number():
    """To the largest float, beyond which numbers q pi is exact, where they mean little more than that."""
    rng = np.random.default_rng(0)
    x = np.concatenate([np.geomspace(1e-3, 3.4e38, 40_000), np.pi / 2 * rng.integers(1, 10**6, 20_000)])
    x = np.array([*x, *-x, np.finfo(np.float32).max, 1e8, 1.7e9 * 30], np.float32)
    value, derivative = jax.jit(lambda x: jax.jvp(sine, (x,), (jnp.ones_like(x),)))(x)
    for found in map(np.asarray, (value, derivative)):
        assert np.isfinite(found).all()
        assert np.abs(found).max() <= 1
    assert np.isnan(sine(jnp.float32(np.nan)))
