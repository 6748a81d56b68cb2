"""The sine's rows compare the same numbers on whatever backend there is. Nothing here asserts a time."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import jsonschema
import numpy as np
import pytest

from benchmarks.speed import fit_sine, harness
from wsjax.networks.sine import sine


def test_rows_of_the_value_and_of_the_gradient_in_a_valid_report():
    rows, timings, notes = fit_sine.contest(fit_sine.Size(rounds=2, calls=1, shape=(3, 5)))
    report = harness.report("fit", quick=True, described=harness.machine(), rows=rows, timings=timings, notes=notes)
    jsonschema.validate(report, json.loads((Path(harness.__file__).parent / "schema.json").read_text()))
    assert [row["name"] for row in report["rows"]] == ["fit/sine/value", "fit/sine/gradient"]
    assert "`networks.sine` takes the polynomial" in notes[0]


def test_the_gradient_is_that_of_the_public_sine():
    x = np.linspace(-5.0, 5.0, 7, dtype=np.float32)
    public = jax.vmap(jax.value_and_grad(lambda x: sine(x)))
    (value, slope), found = jax.jit(lambda x: (public(x), fit_sine.polynomial_gradient(x)))(x)
    np.testing.assert_allclose(found, np.asarray(value) + np.asarray(slope), atol=1e-6)


def test_sides_that_differ_make_the_comparison_void():
    with pytest.raises(ValueError, match=r"the value of the polynomial and that of jnp.sin differ by 0.5"):
        fit_sine.check_same("value", [jnp.zeros(2), jnp.full(2, 0.5)])
