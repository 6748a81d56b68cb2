"""The laws that every augmentation of the catalogue keeps.

An entry added to the catalogue is tested here without a word; one with settings says below at which of them it does
nothing, and every one says which arrays it changes.
"""

from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from tests.helpers import CASES, W0, assert_identical, change, points, random_weights, touched
from wsjax import augment as wa
from wsjax import symmetry
from wsjax.augment import CATALOGUE
from wsjax.typing import Batch

KEY = jax.random.key(5)
SPEC = symmetry.siren((2, 5, 3, 2), W0)
DTYPES = [np.float32, jnp.bfloat16]

NOTHING: dict[str, dict[str, float]] = {
    "flip_signs": {"probability": 0.0},
    "shift_phase": {"max_shift": 0},
    "rotate": {"max_degrees": 0.0},
    "translate": {"max_shift": 0.0},
    "scale": {"max_log": 0.0},
    "noise": {"std": 0.0},
    "mixup_uniform": {"low": 1.0, "high": 1.0},
    "label_smoothing": {"rate": 0.0},
}
"""Settings at which an augmentation is the identity, to the bit."""

NO_IDENTITY = {"permute", "mixup"}

ARRAYS = {f"[{i}].{part}" for i in range(3) for part in ("kernel", "bias")}
TOUCHES: dict[str, set[str]] = {
    "permute": ARRAYS - {"[2].bias"},
    "flip_signs": ARRAYS - {"[2].bias"},
    "shift_phase": {"[0].bias", "[1].bias", "[1].kernel", "[2].kernel"},
    "rotate": {"[0].kernel"},
    "translate": {"[0].bias"},
    "scale": {"[0].kernel"},
    "noise": ARRAYS,
    "mixup": {f".weights{name}" for name in ARRAYS} | {".label"},
    "mixup_uniform": {f".weights{name}" for name in ARRAYS} | {".label"},
    "label_smoothing": {".label"},
}
"""What an augmentation changes at its default settings, all of it and nothing else."""

names = pytest.mark.parametrize("name", CATALOGUE)
dtypes = pytest.mark.parametrize("dtype", DTYPES, ids=["float32", "bfloat16"])


def bound(name: str, **settings: float) -> Partial:
    entry = CATALOGUE[name]
    return Partial(entry.function, **({"symmetry": SPEC} if entry.takes_symmetry else {}), **settings)


def thing(name: str, dtype: Any = np.float32) -> Any:
    """What the augmentation works on: a network, or a labelled batch; NumPy arrays that refuse to be written."""
    many = [random_weights(jax.random.key(i), SPEC, dtype) for i in range(4)]
    stack = jax.tree.map(lambda *x: np.stack(x), *many)
    found = (
        many[0] if CATALOGUE[name].level == "network" else Batch(stack, np.eye(4, 3, dtype=np.float32).astype(dtype))
    )
    for leaf in jax.tree.leaves(found):
        leaf.flags.writeable = False
    return found


def assert_close(found: Any, expected: Any, share: float = 1e-5) -> None:
    chex.assert_trees_all_equal_shapes_and_dtypes(found, expected)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert change(a, b) < share


def test_the_tables_above_speak_of_the_whole_catalogue():
    assert set(NOTHING) | NO_IDENTITY == set(TOUCHES) == set(CATALOGUE)


@names
@dtypes
def test_structure_shapes_and_dtypes_stay(name: str, dtype: Any):
    before = thing(name, dtype)
    after = bound(name)(KEY, before)
    chex.assert_trees_all_equal_structs(after, before)
    chex.assert_trees_all_equal_shapes_and_dtypes(after, before)
    assert all(np.isfinite(np.asarray(leaf, np.float32)).all() for leaf in jax.tree.leaves(after))


@names
def test_float64_stays_float64_and_is_computed_in_it(name: str):
    with jax.enable_x64(True):
        before = thing(name, np.float64)
        after = bound(name)(KEY, before)
        chex.assert_trees_all_equal_shapes_and_dtypes(after, before)
        if touched(after, before) and name not in ("permute", "flip_signs"):
            assert touched(jax.tree.map(lambda x: x.astype(jnp.float32).astype(jnp.float64), after), after)


@names
def test_the_argument_is_not_written_to_and_the_key_decides_all(name: str):
    argument = thing(name)
    first, again = bound(name)(KEY, argument), bound(name)(KEY, argument)
    assert_identical(argument, thing(name))
    assert_identical(first, again)
    if name != "label_smoothing":
        assert touched(bound(name)(jax.random.key(6), argument), first)


@names
def test_compiled_is_plain(name: str):
    assert_close(jax.jit(bound(name))(KEY, thing(name)), bound(name)(KEY, thing(name)))


@names
def test_vmap_is_a_loop(name: str):
    keys = jax.random.split(KEY, 3)
    argument = thing(name)
    many = jax.vmap(bound(name), in_axes=(0, None))(keys, argument)
    for i, key in enumerate(keys):
        assert_close(jax.tree.map(lambda x, i=i: x[i], many), bound(name)(key, argument))


@pytest.mark.parametrize("name", NOTHING)
@dtypes
def test_no_strength_is_the_identity(name: str, dtype: Any):
    assert_identical(bound(name, **NOTHING[name])(KEY, thing(name, dtype)), thing(name, dtype))


@names
def test_the_default_strength_changes_what_it_claims_to_and_nothing_else(name: str):
    assert touched(bound(name)(KEY, thing(name)), thing(name)) == TOUCHES[name]


PRESERVES = [name for name, entry in CATALOGUE.items() if entry.effect == "preserves"]
# As test_exact.py shows.
REFUSED = {(case, "flip_signs") for case in ("relu", "leaky_relu")}
REFUSED |= {(case, "shift_phase") for case in ("relu", "leaky_relu", "tanh")}
PRESERVING = [(case, name) for name in PRESERVES for case in CASES if (case, name) not in REFUSED]


@pytest.mark.parametrize(("case", "name"), PRESERVING)
@pytest.mark.parametrize(("dtype", "share"), [(np.float32, 1e-4), (np.float64, 1e-12)], ids=["float32", "float64"])
def test_what_preserves_the_function_preserves_it(case: str, name: str, dtype: Any, share: float):
    spec = CASES[case].symmetry((2, 5, 3, 2))
    with jax.enable_x64(dtype == np.float64):
        weights, x = random_weights(KEY, spec, dtype), points(KEY, 2, dtype)
        moved = CATALOGUE[name].function(KEY, weights, symmetry=spec)
        assert touched(moved, weights)
        assert change(CASES[case].apply(moved, x), CASES[case].apply(weights, x)) < share


@pytest.mark.parametrize(
    "name", [name for name in CATALOGUE if name not in PRESERVES and CATALOGUE[name].level == "network"]
)
def test_what_does_not_preserve_the_function_changes_it(name: str):
    weights, x = random_weights(KEY, SPEC), points(KEY, 2)
    apply = CASES["siren"].apply
    assert change(apply(bound(name)(KEY, weights), x), apply(weights, x)) > 0.01


@pytest.mark.parametrize("name", [name for name, entry in CATALOGUE.items() if entry.takes_symmetry])
def test_a_batch_given_to_a_function_of_one_network_is_explained(name: str):
    stack = jax.tree.map(lambda x: np.stack([x, x]), random_weights(KEY, SPEC))
    with pytest.raises(
        ValueError, match=r"weights\[0\].kernel has shape \(2, 2, 5\).*one leading axis more.*augment.batched"
    ):
        bound(name)(KEY, stack)


def test_leaves_that_are_not_floating_point_pass_untouched():
    spec = symmetry.symmetry_of(
        {"kernel": symmetry.Axes("in", "h"), "bias": symmetry.Axes("h", bias=True), "step": symmetry.Axes()},
        {"in": symmetry.Fixed(2, "input"), "h": symmetry.Group(5, "sine")},
    )
    weights = {**random_weights(KEY, spec), "step": np.int32(7)}
    for name, entry in CATALOGUE.items():
        if entry.level == "network":
            moved = entry.function(KEY, weights, **({"symmetry": spec} if entry.takes_symmetry else {}))
            assert (int(moved["step"]), moved["step"].dtype) == (7, jnp.int32), name
            assert wa.batched(lambda k, w: w)(KEY, jax.tree.map(lambda x: x[None], weights))["step"].dtype == jnp.int32
