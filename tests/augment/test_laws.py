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

from tests.augment.strengths import NOTHING
from tests.helpers import CASES, W0, assert_identical, change, compiled, points, random_weights, touched
from wsjax import augment as wa
from wsjax import symmetry
from wsjax.augment import CATALOGUE
from wsjax.typing import Batch

KEY = jax.random.key(5)
SPEC = symmetry.siren((2, 5, 3, 2), W0)
OTHERS = {
    "rescale": symmetry.mlp((2, 5, 3, 2)),
    "rescale_uniform": symmetry.mlp((2, 5, 3, 2)),
    "grey": symmetry.siren((2, 5, 3, 3), W0),
}
"""Networks for what the SIREN above does not allow."""

STATISTICS = wa.statistics_of(
    jax.tree.map(lambda *x: np.stack(x), *(random_weights(jax.random.key(i), SPEC) for i in range(7, 10)))
)
POOL = Batch(
    jax.tree.map(lambda *x: np.stack(x), *(random_weights(jax.random.key(i), SPEC) for i in range(20, 25))),
    np.eye(3, dtype=np.float32)[np.array([2, 0, 1, 2, 1])],
    np.arange(5, dtype=np.int32) % 3,
)
DTYPES = [np.float32, jnp.bfloat16, jnp.float16]

NO_IDENTITY = {"permute", "rotate_uniform"}

ARRAYS = {f"[{i}].{part}" for i in range(3) for part in ("kernel", "bias")}
MIXED = {f".weights{name}" for name in ARRAYS}
TOUCHES: dict[str, set[str]] = {
    "permute": ARRAYS - {"[2].bias"},
    "flip_signs": ARRAYS - {"[2].bias"},
    "shift_phase": {"[0].bias", "[1].bias", "[1].kernel", "[2].kernel"},
    "shift_turns": {"[0].bias", "[1].bias"},
    "rescale": ARRAYS - {"[2].bias"},
    "rescale_uniform": ARRAYS - {"[2].bias"},
    "rotate": {"[0].kernel"},
    "rotate_uniform": {"[0].kernel"},
    "translate": {"[0].bias"},
    "scale": {"[0].kernel"},
    "scale_axes": {"[0].kernel"},
    "shear": {"[0].kernel"},
    "flip": {"[0].kernel"},
    "contrast": {"[2].kernel", "[2].bias"},
    "brightness": {"[2].bias"},
    "invert": {"[2].kernel", "[2].bias"},
    "mix_channels": {"[2].kernel", "[2].bias"},
    "grey": {"[2].kernel", "[2].bias"},
    "noise": ARRAYS,
    "noise_shared": ARRAYS,
    "dropout": ARRAYS,
    "drop_neurons": ARRAYS - {"[2].bias"},
    "prune": ARRAYS,
    "prune_global": ARRAYS,
    "towards_mean": ARRAYS,
    "mixup": MIXED | {".label"},
    "mixup_aligned": MIXED | {".label"},
    "mixup_permuted": MIXED | {".label"},
    "mixup_hard": MIXED | {".label"},
    "mixup_self": MIXED,
    "mixup_with": MIXED | {".label"},
    "mixup_within_class": MIXED,
    "mixup_views": MIXED | {".label"},
    "label_smoothing": {".label"},
}
"""What an augmentation changes at its default settings, all of it and nothing else."""

STRONG: dict[str, dict[str, float]] = {
    "drop_neurons": {"rate": 0.5},
    "prune": {"max_quantile": 1.0},
    "prune_global": {"max_quantile": 1.0},
}
"""Other settings where a law looks at one draw: the default ones seldom reach anything in a network this small."""

WIDE = (2, 12, 12, 12)
PRUNES = {"prune", "prune_global"}
"""What removes a tenth at most by default: an array of fewer than ten entries never loses one, so that what the default
strength touches is looked at in networks of this width, whose arrays have twelve entries or more."""

BY_CHANCE = {"dropout", "drop_neurons", "prune", "prune_global", "flip", "invert", "mixup_hard"}
"""What misses an array now and then, and is seen to reach all of them in many draws."""

MOVES_ENTRIES = {"permute", "flip_signs", "dropout", "drop_neurons", "prune", "prune_global"}
"""What moves, negates or zeroes entries, and computes no new ones."""
CHOSEN = {".label"}
"""A label may be one of those given, which float32 holds."""

names = pytest.mark.parametrize("name", CATALOGUE)
dtypes = pytest.mark.parametrize("dtype", DTYPES, ids=["float32", "bfloat16", "float16"])


def bound(name: str, **settings: float) -> Partial:
    """The entry with all of its numbers bound, so that one program serves any of them."""
    entry = CATALOGUE[name]
    numbers = {n: float(v) for n, v in (entry.settings | settings).items() if isinstance(v, int | float)}
    return Partial(entry.function, **given(entry, OTHERS.get(name, SPEC), STATISTICS), **numbers)


def strong(name: str) -> Partial:
    return bound(name, **STRONG.get(name, {}))


many = jax.jit(jax.vmap(lambda transform, key, argument: transform(key, argument), in_axes=(None, 0, 0)))
KEYS = jax.random.split(KEY, 64)


def given(entry: wa.Entry, spec: symmetry.Symmetry, statistics: wa.Statistics) -> dict[str, Any]:
    """What the entry needs besides its settings; `transform` has a default."""
    known = {"symmetry": spec, "statistics": statistics, "pool": POOL}
    return {name: value for name, value in known.items() if name in entry.needs}


def thing(name: str, dtype: Any = np.float32, which: int = 0) -> Any:
    """What the augmentation works on: a network, or a labelled batch; NumPy arrays that refuse to be written."""
    spec = OTHERS.get(name, SPEC)
    nets = [random_weights(jax.random.key(100 * which + i), spec, dtype) for i in range(4)]
    stack = jax.tree.map(lambda *x: np.stack(x), *nets)
    label = np.eye(3, dtype=np.float32).astype(dtype)[np.roll([0, 1, 2, 0], which)]
    objects = np.roll(np.array([0, 0, 1, 1], np.int32), which)
    found = nets[0] if CATALOGUE[name].level == "network" else Batch(stack, label, objects)
    for leaf in jax.tree.leaves(found):
        leaf.flags.writeable = False
    return found


def one_for_each_key(*things: Any) -> Any:
    """The things in turn, stacked to as many as there are keys."""
    return jax.tree.map(lambda *x: np.stack([x[i % len(x)] for i in range(len(KEYS))]), *things)


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
    after = compiled(bound(name), KEY, before)
    chex.assert_trees_all_equal_structs(after, before)
    chex.assert_trees_all_equal_shapes_and_dtypes(after, before)
    assert all(np.isfinite(np.asarray(leaf, np.float32)).all() for leaf in jax.tree.leaves(after))


@names
def test_float64_stays_float64_and_is_computed_in_it_and_no_strength_is_the_identity(name: str):
    """One test of both, for one program serves both."""
    with jax.enable_x64(True):
        before = thing(name, np.float64)
        after = compiled(bound(name), KEY, before)
        chex.assert_trees_all_equal_shapes_and_dtypes(after, before)
        if name not in MOVES_ENTRIES:
            rounded = jax.tree.map(lambda x: x.astype(jnp.float32).astype(jnp.float64), after)
            assert touched(rounded, after) >= touched(after, before) - CHOSEN
        if name in NOTHING:
            assert_identical(compiled(bound(name, **NOTHING[name]), KEY, before), before)


@names
def test_plain_calls_write_to_nothing_repeat_and_are_what_is_compiled(name: str):
    argument = thing(name)
    plain = strong(name)(KEY, argument)
    assert_identical(argument, thing(name))
    assert_identical(strong(name)(KEY, argument), plain)
    assert_close(compiled(strong(name), KEY, argument), plain)


@names
def test_the_key_decides_all(name: str):
    first, again, other = (compiled(strong(name), key, thing(name)) for key in (KEY, KEY, jax.random.key(6)))
    assert_identical(first, again)
    if name != "label_smoothing":
        assert touched(other, first)


@names
def test_vmap_is_a_loop(name: str):
    """Over keys and networks, or keys and batches, that all differ."""
    things = [thing(name, which=i) for i in range(3)]
    found = many(strong(name), KEYS, one_for_each_key(*things))
    for i, (key, one) in enumerate(zip(KEYS, things, strict=False)):
        assert_close(jax.tree.map(lambda x, i=i: x[i], found), compiled(strong(name), key, one))


@pytest.mark.parametrize("name", NOTHING)
@dtypes
def test_no_strength_is_the_identity(name: str, dtype: Any):
    assert_identical(compiled(bound(name, **NOTHING[name]), KEY, thing(name, dtype)), thing(name, dtype))


@names
def test_the_default_strength_changes_what_it_claims_to_and_nothing_else(name: str):
    if name in BY_CHANCE:
        wide = [random_weights(key, symmetry.siren(WIDE)) for key in KEYS] if name in PRUNES else [thing(name)]
        argument = one_for_each_key(*wide)
        assert touched(many(bound(name), KEYS, argument), argument) == TOUCHES[name]
    else:
        assert touched(compiled(bound(name), KEY, thing(name)), thing(name)) == TOUCHES[name]


@names
def test_one_program_serves_all_strengths_and_its_gradients_are_finite(name: str):
    """By the weights, the labels and the settings, at the default strength and at none."""
    traces = []

    def size(transform: Partial, argument: Any) -> jax.Array:
        moved = [leaf for leaf in jax.tree.leaves(transform(KEY, argument)) if jnp.issubdtype(leaf.dtype, jnp.floating)]
        return jnp.sum(jnp.stack([jnp.sum(jnp.square(leaf)) for leaf in moved]))

    @jax.jit
    def gradients(transform: Partial, argument: Any) -> list[jax.Array]:
        traces.append(name)
        found = jax.grad(size, argnums=(0, 1), allow_int=True)(transform, argument)
        return [leaf for leaf in jax.tree.leaves(found) if leaf.dtype != jax.dtypes.float0]

    for settings in ({}, NOTHING.get(name, {})):
        found = gradients(bound(name, **settings), thing(name))
        assert all(np.isfinite(leaf).all() for leaf in found)
        assert any(np.any(leaf != 0) for leaf in found)
    assert traces == [name]


@pytest.mark.parametrize(
    "name", [n for n, entry in CATALOGUE.items() if entry.effect != "preserves" and entry.level == "network"]
)
def test_what_does_not_preserve_the_function_changes_it(name: str):
    weights, x = random_weights(KEY, OTHERS.get(name, SPEC)), points(KEY, 2)
    apply = CASES["siren"].apply
    assert change(apply(compiled(strong(name), KEY, weights), x), apply(weights, x)) > 0.01


@pytest.mark.parametrize(
    "name", [n for n, entry in CATALOGUE.items() if "symmetry" in entry.needs and entry.level == "network"]
)
def test_a_batch_given_to_a_function_of_one_network_is_explained(name: str):
    stack = jax.tree.map(lambda x: np.stack([x, x]), random_weights(KEY, OTHERS.get(name, SPEC)))
    with pytest.raises(
        ValueError, match=r"weights\[0\].kernel has shape \(2, 2, 5\).*one leading axis more.*augment.batched"
    ):
        bound(name)(KEY, stack)


@pytest.mark.parametrize("name", [n for n, entry in CATALOGUE.items() if entry.level == "network"])
def test_leaves_that_are_not_floating_point_pass_untouched(name: str):
    network = OTHERS.get(name, SPEC)
    axes = {"network": network.unflatten(network.axes), "step": symmetry.Axes()}
    spec = symmetry.symmetry_of(axes, dict(network.dimensions))
    weights = {"network": thing(name), "step": np.int32(7)}
    statistics = wa.statistics_of(jax.tree.map(lambda x: np.stack([x, 2 * x]), weights))
    moved = CATALOGUE[name].function(KEY, weights, **given(CATALOGUE[name], spec, statistics))
    assert (int(moved["step"]), moved["step"].dtype) == (7, jnp.int32)
