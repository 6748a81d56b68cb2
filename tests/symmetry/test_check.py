"""`check` accepts what is right and names what is wrong."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.helpers import CASES, W0, points, random_weights
from wsjax import networks
from wsjax import symmetry as ws
from wsjax.symmetry import Axes, Symmetry, symmetry_of
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
    with pytest.raises(ValueError, match=r"draws is 0; it must be one integer in \[1, inf\]"):
        ws.check(lambda w: 1.0, spec, weights, key=key, draws=0)
