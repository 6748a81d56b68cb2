"""The vocabulary's shapes, and the messages of the one checking layer."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

from tests.conftest import COMPILED, checked
from wsjax import augment, data, errors, floats, symmetry
from wsjax.augment.compose import leave_out
from wsjax.data.formats.contents import layers_of, read_contents
from wsjax.errors import DataError
from wsjax.networks import Network
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
    assert (names[0], names[-1]) == ("batch.weights[0].kernel", "batch.label")


def test_the_packages_signatures_are_checked_while_the_tests_run():
    with pytest.raises(jaxtyping.TypeCheckError):
        errors.check_shape("kernel", "(2, 3)", (2, 3), "this test")  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [0, 0.0, 1, np.float32(0.5), np.int64(1), jnp.float32(1.0), jnp.bfloat16(0.5)])
def test_a_number_in_its_range_passes(value: object):
    errors.check_number("rate", value, low=0, high=1)


def test_a_traced_number_passes():
    def double(rate):
        errors.check_number("rate", rate, low=0, high=1)
        errors.check_index("network", rate, 1)
        return 2 * errors.as_integer(rate)

    assert float(jax.jit(double)(5.0)) == 10.0


def broken(rows: list[int], value: float) -> dict[str, np.ndarray]:
    tree = {"kernel": np.zeros((9, 2, 2), np.float32), "steps": np.zeros(9, np.int32), "bias": np.zeros((9, 2))}
    tree["kernel"][rows, 0, 1] = value
    return tree


MANY = [f"layer{i}" for i in range(40)]
AB = jax.tree.structure({"a": 0, "b": 0})
REFUSALS: list[tuple[str, tuple, dict, str]] = [
    *(
        ("number", ("rate", value), {"low": 0, "high": 1}, f"rate is {found}; it must be one number in [0, 1]")
        for value, found in [(-0.5, "-0.5"), (2, "2"), (float("nan"), "nan"), ("0.1", "'0.1'"), (None, "None")]
    ),
    ("number", ("rate", np.ones(2)), {}, "rate is an array of shape (2,); it must be one number in (-inf, inf)"),
    ("number", ("std", np.inf), {"low": 0}, "std is inf; it must be one number in [0, inf)"),
    ("number", ("std", 1j), {"low": 0}, "std is 1j; it must be one number in [0, inf)"),
    ("number", ("alpha", 0), {"low": 0, "open_low": True}, "alpha is 0; it must be one number in (0, inf)"),
    ("number", ("seeds", 4.0), {"low": 1, "integer": True}, "it must be one integer in [1, inf), as an int"),
    ("seed", ("seed", 2**40), {}, "seed is 1099511627776; it must be one integer in [0, 4.29497e+09]"),
    ("sizes", (), {"channels": 8, "layers": 0}, "layers is 0; it must be one integer in [1, inf)"),
    ("each", ("widths", (2, 1)), {"fewest": 3}, "number of widths is 2; it must be one integer in [3, inf)"),
    ("each", ("widths", (2, 0, 1)), {}, "each of widths is 0; it must be one integer in [1, inf)"),
    ("several", ("arrays", "bias"), {}, "arrays is 'bias', one name; expected a tuple or list of names: give ['bias']"),
    ("range", ("low", (1.0, 1.0)), {}, "low is (1.0, 1.0); expected a lower and a higher number, both finite"),
    ("choice", ("name", "rleu", ("relu", "tanh")), {}, "'rleu'; the valid ones are: relu, tanh. Did you mean 'relu'?"),
    ("choice", ("name", 7, ("relu", "tanh")), {}, "unknown name 7; the valid ones are: relu, tanh."),
    ("choice", ("array", "layer4x", MANY), {}, "'layer4x'. Did you mean 'layer4'? The valid ones are: layer0, layer1"),
    ("choice", ("array of b", "x", MANY), {}, "unknown array 'x' of b. The valid ones are: layer0, layer1"),
    ("index", ("network", 99, 6), {}, "there is no network 99; expected 0 to 5, or -6 to -1 from the end"),
    ("index", ("network", 1.0, 6), {}, "the number of a network is 1.0; expected one integer"),
    ("rows", ("network", [3, -5], 4), {}, "there is no network -5; expected 0 to 3, or -4 to -1 from the end"),
    ("rows", ("network", 1, 4), {}, "have shape () and dtype int64; expected a list of integers, or (4,) booleans"),
    ("structure", ({"a": 1.0, "c": 2.0}, AB, "b"), {}, "of b: missing weights['b']; unexpected weights['c']. Pass"),
    ("structure", ([1.0], jax.tree.structure((0,)), "b"), {}, "containers differ: found PyTreeDef([*]), expected"),
    (
        "shape",
        ("kernel", (7, 2, 3), (2, 3), "it"),
        {},
        "kernel has shape (7, 2, 3); it expects (2, 3). It has one leading",
    ),
    ("shape", ("kernel", (3, 2), (2, 3), "it"), {}, "shape (3, 2); it expects (2, 3). Pass weights of that network"),
    ("same_shapes", ({"w": np.ones((2, 8))}, {"w": np.ones((2, 1))}, "it"), {}, "weights['w'] has shape (2, 8); it"),
    (
        "finite",
        (broken([1, 7], np.nan), "it", "Less."),
        {},
        "it: weights['kernel'] is not finite in 2 of 9 networks (rows 1, 7); expected finite numbers. Less.",
    ),
    ("finite", (broken([*range(9)], np.inf), "it", ""), {}, "in 9 of 9 networks (rows 0, 1, 2, 3, 4, ...)"),
]


@pytest.mark.parametrize(
    ("check", "arguments", "settings", "message"), REFUSALS, ids=[row[-1][:40] for row in REFUSALS]
)
def test_a_refusal_names_what_was_found_and_what_is_expected(check, arguments, settings, message, untyped):
    kind = {"finite": DataError, "index": IndexError, "rows": IndexError, "several": TypeError}.get(check, ValueError)
    with pytest.raises(TypeError if "the number" in message or "have shape" in message else kind) as refusal:
        getattr(errors, f"check_{check}")(*arguments, **settings)
    assert message in str(refusal.value)


def test_numbers_and_rows_are_made_python_s_and_numpy_s():
    assert errors.as_python((np.int64(3), {"rate": np.float64(0.5)}, np.ones(2), "adam")) == (
        3,
        {"rate": 0.5},
        (1.0, 1.0),
        "adam",
    )
    assert [errors.as_integer(value) for value in (4.0, 0.5, "4.0")] == [4, 0.5, "4.0"]
    assert [errors.check_rows("it", rows, 4).tolist() for rows in ([3, -1], slice(1, 3), [True, False] * 2)] == [
        [3, 3],
        [1, 2],
        [0, 2],
    ]
    assert int(floats.uncut(np.int64(2**40))) == 2**40
    assert floats.all_widened({"w": jnp.ones(2, jnp.bfloat16)}, jnp.zeros(3))["w"].dtype == np.float32


def test_a_numpy_array_is_made_jax_s_without_a_program():
    before = COMPILED.total()
    (array,) = floats.floats_of({"w": np.ones((3, 5, 7), np.float32), "n": np.int32(1)})
    assert (array.shape, COMPILED.total() - before) == ((3, 5, 7), 0)


def test_differences_of_json_are_named_by_their_place():
    found = errors.json_differences({"steps": 3, "fit": {"seeds": [0, 1]}}, {"steps": 3, "fit": {"seeds": [0, 2]}})
    assert found == ["fit.seeds[1] is 1 there and 2 here"]


def test_a_file_that_cannot_be_written_is_named():
    where = Path("/nowhere/file")
    message = "/nowhere/file cannot be written: No such file or directory; name a place"
    with pytest.raises(OSError, match=message), errors.writing(where):
        where.write_text("")


def test_one_name_is_refused_where_several_belong(tmp_path, untyped):
    spec, params = symmetry.mlp((2, 3, 1)), {"layer": {"kernel": np.zeros((2, 3))}}
    given: Any = "one"
    np.savez(tmp_path / "one.npz", **{"one.weight": np.zeros((1, 2)), "one.bias": np.zeros(1)})
    contents = read_contents(tmp_path / "one.npz")
    calls = {
        "actions": (
            lambda: symmetry.Group(3, "tanh", actions=given),
            lambda: symmetry.sample(jax.random.key(0), spec, actions=given),
        ),
        "order": (lambda: symmetry.dense(params, given, activation="tanh"),),
        "arrays": (lambda: leave_out(augment.noise(), symmetry=spec, arrays=given),),
        "optimizers": (lambda: data.ZooRecipe(Network("mlp", (4, 3, 2), "relu"), optimizers=given),),
        "classes": (
            lambda: data.images(np.zeros((2, 4, 4)), classes=given),
            lambda: data.WeightDataset.from_networks([NETWORK], [0], symmetry=spec, classes=given),
        ),
        "layers": (lambda: layers_of(contents, "one.npz", given),),
        "leave_out": (lambda: data.formats.read_state_dicts(tmp_path, leave_out=given),),
    }
    for argument, wrong in calls.items():
        for call in wrong:
            with pytest.raises(TypeError, match=f"{argument} is 'one', one name; expected a tuple or list of names"):
                call()
