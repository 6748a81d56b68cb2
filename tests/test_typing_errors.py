"""The vocabulary's shapes, and the messages of the one checking layer."""

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

from tests.conftest import checked
from wsjax import errors
from wsjax.errors import DataError
from wsjax.typing import Batch, Layer, Weights

NETWORK = (Layer(np.zeros((2, 3)), np.zeros(3)), Layer(np.zeros((3, 1)), np.zeros(1)))


@jaxtyping.jaxtyped(typechecker=checked)
def passes(transform, weights: Weights) -> Weights:
    return transform(weights)


def test_weights_are_any_pytree_whose_structure_and_shapes_stay():
    for tree in (NETWORK, {"params": {"a": jnp.ones(2), "n": np.int32(1)}}, jnp.ones((2, 2))):
        assert passes(lambda w: w, tree) is tree
    for wrong in (lambda w: w[:1], lambda w: list(w), lambda w: (w[0], Layer(np.zeros((4, 1)), np.zeros(1)))):
        with pytest.raises(jaxtyping.TypeCheckError):
            passes(wrong, NETWORK)


def test_layers_and_batches_are_pytrees_by_field():
    names = errors.leaf_names(Batch(NETWORK, np.zeros(1)), "batch")
    assert names[0] == "batch.weights[0].kernel"
    assert names[-1] == "batch.label"


def test_the_packages_signatures_are_checked_while_the_tests_run():
    with pytest.raises(jaxtyping.TypeCheckError):
        errors.check_shape("kernel", "(2, 3)", (2, 3), "this test")  # type: ignore[arg-type]


def test_a_data_error_is_a_value_error():
    assert issubclass(DataError, ValueError)


def test_an_unknown_choice_lists_the_valid_ones_and_the_nearest():
    errors.check_choice("activation", "relu", ("relu", "tanh"))
    with pytest.raises(
        ValueError, match=r"unknown activation 'rleu'; the valid ones are: relu, tanh. Did you mean 'relu'\?"
    ):
        errors.check_choice("activation", "rleu", ("relu", "tanh"))
    many = [f"layer{i}" for i in range(40)]
    with pytest.raises(ValueError, match=r"unknown array 'layer4x'. Did you mean 'layer4'\? The valid ones are: "):
        errors.check_choice("array", "layer4x", many)
    with pytest.raises(ValueError, match=r"unknown array 'x'. All 40 are in the metadata.$"):
        errors.check_choice("array", "x", many, "in the metadata")
    with pytest.raises(ValueError, match=r"the valid ones are: relu, tanh.$"):
        errors.check_choice("activation", 7, ("relu", "tanh"))


@pytest.mark.parametrize("value", [0, 0.0, 1, np.float32(0.5), np.int64(1), jnp.float32(1.0), jnp.bfloat16(0.5)])
def test_a_number_in_its_range_passes(value: object):
    errors.check_number("rate", value, low=0, high=1)


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (-0.5, "-0.5"),
        (2, "2"),
        (float("nan"), "nan"),
        ("0.1", "'0.1'"),
        (None, "None"),
        (np.ones(2), r"an array of shape \(2,\)"),
    ],
)
def test_a_number_out_of_range_or_no_number_is_named(value: object, found: str):
    with pytest.raises(ValueError, match=rf"^rate is {found}; it must be one number in \[0, 1\]$"):
        errors.check_number("rate", value, low=0, high=1)


def test_an_open_bound_excludes_its_end():
    with pytest.raises(ValueError, match=r"alpha is 0; it must be one number in \(0, inf\]"):
        errors.check_number("alpha", 0, low=0, open_low=True)
    errors.check_number("alpha", 1e-6, low=0, open_low=True)


def test_a_traced_number_passes():
    def double(rate):
        errors.check_number("rate", rate, low=0, high=1)
        return 2 * rate

    assert float(jax.jit(double)(5.0)) == 10.0


def test_a_differing_structure_names_the_leaves():
    expected = jax.tree.structure({"a": 0, "b": 0})
    errors.check_structure({"a": 1.0, "b": 2.0}, expected, "this test")
    with pytest.raises(
        ValueError, match=r"structure of this test: missing weights\['b'\]; unexpected weights\['c'\]. Pass"
    ):
        errors.check_structure({"a": 1.0, "c": 2.0}, expected, "this test")
    with pytest.raises(ValueError, match=r"containers differ: found .*, expected .*"):
        errors.check_structure([1.0, 2.0], jax.tree.structure((0, 0)), "this test")


def test_a_differing_shape_says_whether_it_looks_like_a_batch():
    errors.check_shape("weights[0].kernel", (2, 3), (2, 3), "this Symmetry")
    with pytest.raises(
        ValueError, match=r"weights\[0\].kernel has shape \(7, 2, 3\); .* \(2, 3\). It has one leading axis more.*vmap"
    ):
        errors.check_shape("weights[0].kernel", (7, 2, 3), (2, 3), "this Symmetry")
    with pytest.raises(
        ValueError, match=r"has shape \(3, 2\); this Symmetry expects \(2, 3\). Pass weights of that network"
    ):
        errors.check_shape("weights[0].kernel", (3, 2), (2, 3), "this Symmetry")


def test_a_number_that_is_not_finite_is_located():
    tree = {"kernel": np.zeros((9, 2, 2), np.float32), "steps": np.zeros(9, np.int32), "bias": np.zeros((9, 2))}
    errors.check_finite(tree, "the fit", "Lower the rate.")
    tree["kernel"][[1, 7], 0, 1] = np.nan
    with pytest.raises(
        DataError, match=r"the fit: weights\['kernel'\] is not finite in 2 of 9 networks \(rows 1, 7\); .* Lower the"
    ):
        errors.check_finite(tree, "the fit", "Lower the rate.")
    tree["kernel"][:] = np.inf
    with pytest.raises(DataError, match=r"in 9 of 9 networks \(rows 0, 1, 2, 3, 4, \.\.\.\)"):
        errors.check_finite(tree, "the fit", "Lower the rate.")
