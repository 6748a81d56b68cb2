"""The laws that every augmentation of the catalogue keeps.

An augmentation added to the catalogue is tested here as the others; `TOUCHES` lists which arrays each one changes.

Two programs an entry make all the arrays that the laws read: one in float32, of three strengths, many keys and the
gradients, and one of networks kept in two dtypes at once. What JAX users switch on is traced.
"""

import functools
from collections.abc import Callable, Iterable
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from tests.augment.helpers import NOTHING, linear_layers
from tests.helpers import W0, assert_identical, change, random_weights, touched
from wsjax import augment as wa
from wsjax import symmetry
from wsjax.augment import CATALOGUE
from wsjax.augment.statistics import Statistics
from wsjax.symmetry import Axes, Fixed, Symmetry
from wsjax.typing import Batch, Layer

pytestmark = pytest.mark.usefixtures("untyped")

KEY = jax.random.key(11)
DTYPES = (np.float64, jnp.bfloat16)
ALL_DTYPES = (*DTYPES, np.float32, np.float16)


def linear(size: int) -> Symmetry:
    """One dense layer, for what takes any arrays."""
    axes = (Layer(Axes("in", "out"), Axes("out", bias=True)),)
    return symmetry.symmetry_of(axes, {"in": Fixed(size, "input"), "out": Fixed(size, "output")})


SIREN = symmetry.siren((3, 3, 3), W0[:1])
OTHERS = {
    **{name: linear(3) for name, entry in CATALOGUE.items() if "symmetry" not in entry.needs},
    **dict.fromkeys(("prune", "prune_global"), linear(12)),
    **dict.fromkeys(("rescale", "rescale_uniform"), symmetry.mlp((3, 3, 3))),
    "mix_basis": linear_layers((3, 3, 3)),
    **dict.fromkeys(("mixup_aligned", "mixup_permuted"), symmetry.mlp((3, 3, 3), "tanh")),
}
"""Networks for what the SIREN does not allow or would not show: what removes a tenth at most by default never takes one
of fewer than ten entries."""


def counting(spec: Symmetry, copies: int = 1) -> Symmetry:
    """The Symmetry of the same networks with an integer behind their layers, or of copies that move together."""
    axes = (*spec.unflatten(list(spec.axes)), Axes())
    return symmetry.symmetry_of(axes if copies == 1 else (axes,) * copies, dict(spec.dimensions))


SPEC = counting(SIREN)

NO_IDENTITY = {"permute", "mix_basis", "rotate_uniform"}

ARRAYS = {f"[{i}].{part}" for i in range(2) for part in ("kernel", "bias")}
LAYER = {"[0].kernel", "[0].bias"}
FIRST, LAST, LAST_LAYER = {"[0].kernel"}, {"[1].bias"}, {"[1].kernel", "[1].bias"}
MIXED = {f".weights{name}" for name in LAYER}
TOUCHES: dict[str, set[str]] = {
    **dict.fromkeys(("permute", "flip_signs", "rescale", "rescale_uniform", "mix_basis"), ARRAYS - LAST),
    "shift_phase": {"[0].bias", "[1].kernel"},
    "shift_turns": {"[0].bias"},
    **dict.fromkeys(("rotate", "rotate_uniform", "scale", "scale_axes", "shear", "flip"), FIRST),
    "translate": {"[0].bias"},
    **dict.fromkeys(("contrast", "invert", "mix_channels", "gray"), LAST_LAYER),
    "brightness": LAST,
    **dict.fromkeys(("noise", "noise_shared", "dropout"), LAYER),
    "drop_neurons": ARRAYS - LAST,
    **dict.fromkeys(("prune", "prune_global", "towards_mean"), LAYER),
    **dict.fromkeys(("mixup", "mixup_hard", "mixup_with", "mixup_views"), MIXED | {".label"}),
    **dict.fromkeys(("mixup_aligned", "mixup_permuted"), {f".weights{name}" for name in ARRAYS} | {".label"}),
    **dict.fromkeys(("mixup_self", "mixup_within_class"), MIXED),
    "label_smoothing": {".label"},
}
"""What an augmentation changes at its default settings, all of it and nothing else."""

PRUNES = {"prune", "prune_global"}
STRONG: dict[str, dict[str, float]] = {
    **{name: {"rate": 0.5} for name in ("dropout", "drop_neurons")},
    **{name: {"max_quantile": 1.0} for name in PRUNES},
}
"""Other settings where a law looks at one draw: the default ones seldom reach anything in a network this small."""

BY_CHANCE = PRUNES | {"dropout", "drop_neurons", "flip", "invert", "mixup_hard", "shift_phase", "shift_turns"}
"""What misses an array now and then, and reaches all of them in many draws."""

MOVES_ENTRIES = {"permute", "flip_signs", "dropout", "drop_neurons", "prune", "prune_global"}
"""What moves, negates or zeroes entries, and computes no new ones."""
CHOSEN = {".label", ".label[0]"}
"""A label may be one of those given, which float32 holds."""
OF_CLASSES = {"mixup_within_class", "label_smoothing"}
"""What takes one array of labels, and no tree of them."""

names = pytest.mark.parametrize("name", CATALOGUE)


# --- what the augmentations work on, and with ------------------------------------------------------------------------


def floating(x: np.ndarray) -> bool:
    return jnp.issubdtype(x.dtype, jnp.floating)


def cast(tree: Any, dtype: Any) -> Any:
    return jax.tree.map(lambda x: x.astype(dtype) if floating(x) else x, tree)


def row(tree: Any, *index: Any) -> Any:
    return jax.tree.map(lambda x: np.asarray(x[index]), tree)


def batch(name: str, seeds: Iterable[int], dtype: Any) -> Batch:
    """Networks, each with its seed as the last leaf, and labels; a copy in each of several dtypes."""
    spec = OTHERS.get(name, SIREN)
    nets = [(*random_weights(jax.random.key(i), spec, np.float64), np.int32(i)) for i in seeds]
    weights = jax.tree.map(lambda *x: np.stack(x) / 3 if floating(x[0]) else np.stack(x), *nets)  # what no float32 is
    label = np.eye(3)[[i % 3 for i in seeds]]
    found = Batch(weights, label, np.array([i // 2 % 2 for i in seeds], np.int32))
    if not isinstance(dtype, tuple):
        return cast(found, dtype)
    weights, labels = (tuple(cast(part, d) for d in dtype) for part in (weights, label))
    return Batch(weights, label if name in OF_CLASSES else labels, found.object)


def changed(key: jax.Array, weights: Any) -> Any:
    return jax.tree.map(lambda x: 1 - x if floating(x) else x, weights)


def mean(x: np.ndarray) -> np.ndarray:
    return x.mean(axis=0, dtype=np.promote_types(x.dtype, np.float32)) if floating(x) else x[0]


@functools.cache
def known(name: str, dtype: Any) -> dict[str, Any]:
    stack = batch(name, range(7, 10), dtype).weights
    return {
        "symmetry": counting(OTHERS.get(name, SIREN), len(dtype) if isinstance(dtype, tuple) else 1),
        "statistics": Statistics(jax.tree.map(mean, stack), jax.tree.map(lambda x: mean(x).std(), stack)),
        "pool": batch(name, range(20, 25), dtype),
        "transform": Partial(changed),
    }


def bound(name: str, dtype: Any = np.float32, /, **settings: float) -> Partial:
    """The entry with all of its numbers bound, so that one program serves any of them."""
    entry = CATALOGUE[name]
    numbers = {n: float(v) for n, v in (entry.settings | settings).items() if isinstance(v, int | float)}
    return Partial(entry.function, **{n: known(name, dtype)[n] for n in entry.needs}, **numbers)


def strong(name: str) -> Partial:
    return bound(name, **STRONG.get(name, {}))


def thing(name: str, which: int = 0, dtype: Any = np.float32) -> Any:
    """What the augmentation works on: a network, or a labeled batch; NumPy arrays that refuse to be written.

    The third has weights of 0 and nothing else.
    """
    found = batch(name, range(100 * which, 100 * which + 4), dtype)
    if which == 2:
        found = found._replace(weights=jax.tree.map(lambda x: 0 * x if floating(x) else x, found.weights))
    found = row(found.weights, 0) if CATALOGUE[name].level == "network" else found
    for leaf in jax.tree.leaves(found):
        leaf.flags.writeable = False
    return found


# --- the programs ----------------------------------------------------------------------------------------------------

DEFAULT, STRONGER, NONE = range(3)
THINGS = 3
KEYS = jax.random.split(KEY, 48)[np.where(np.arange(48) == THINGS, 0, np.arange(48))]
"""A key for each try; try i is of thing i modulo `THINGS`, so that the first is made again."""


def size(transform: Callable, key: jax.Array, argument: Any) -> tuple[jax.Array, Any]:
    found = transform(key, argument)
    floats = [leaf for leaf in jax.tree.leaves(found) if floating(leaf)]
    return jnp.sum(jnp.stack([jnp.sum(jnp.square(leaf)).astype(np.float32) for leaf in floats])), found


@functools.partial(jax.jit, static_argnames="gradients")
def run(strengths: tuple[Partial, ...], keys: jax.Array, tries: Any, gradients: bool) -> Any:
    """What comes out at each strength of each try, and the gradients by weights, labels and settings."""

    def one(strength: jax.Array, key: jax.Array, argument: Any) -> Any:
        pick = lambda a, b, c: jnp.where(strength == DEFAULT, a, jnp.where(strength == STRONGER, b, c))
        transform = jax.tree.map(pick, *strengths)
        if not gradients:
            return transform(key, argument)
        by_all, found = jax.grad(size, argnums=(0, 2), has_aux=True, allow_int=True)(transform, key, argument)
        return found, [leaf for leaf in jax.tree.leaves(by_all) if leaf.dtype != jax.dtypes.float0]

    return jax.vmap(jax.vmap(one, (None, 0, 0)), (0, None, None))(jnp.arange(3), keys, tries)


def strengths(name: str, dtype: Any) -> tuple[Partial, ...]:
    return tuple(bound(name, dtype, **settings.get(name, {})) for settings in ({}, STRONG, NOTHING))


@functools.cache
def made(name: str) -> tuple[Any, Any, list]:
    """What was given in each try, what came out at each strength, and the gradients."""
    things = [thing(name, i) for i in range(THINGS)]
    tries = jax.tree.map(lambda *x: np.stack([x[i % THINGS] for i in range(len(KEYS))]), *things)
    return tries, *jax.tree.map(np.asarray, run(strengths(name, np.float32), KEYS, tries, gradients=True))


@functools.cache
def made_of_several(name: str) -> list[tuple[Any, Any]]:
    """The same for one try of networks kept in several dtypes, one after the other where labels are one array."""
    given = thing(name, dtype=DTYPES)
    all_given = [given._replace(label=given.label.astype(d)) for d in DTYPES] if name in OF_CLASSES else [given]
    with jax.enable_x64(True):
        all_given = [jax.tree.map(lambda x: x[None], one) for one in all_given]
        return [
            (one, jax.tree.map(np.asarray, run(strengths(name, DTYPES), KEYS[:1], one, gradients=False)))
            for one in all_given
        ]


def assert_close(found: Any, expected: Any, tolerance: float = 1e-5) -> None:
    chex.assert_trees_all_equal_shapes_and_dtypes(found, expected)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert change(a, b) < tolerance


# --- the laws --------------------------------------------------------------------------------------------------------


def test_the_tables_above_cover_the_whole_catalogue():
    assert set(NOTHING) | NO_IDENTITY == set(TOUCHES) == set(CATALOGUE)


@names
def test_structure_shapes_and_dtypes_stay_and_one_program_serves_all_strengths(name: str):
    """Settings are arguments of the program, and vary within it."""
    for given, found in (made(name)[:2], *made_of_several(name)):
        for strength in (DEFAULT, STRONGER, NONE):
            chex.assert_trees_all_equal_structs(row(found, strength), given)
            chex.assert_trees_all_equal_shapes_and_dtypes(row(found, strength), given)
        assert all(np.isfinite(leaf.astype(np.float64)).all() for leaf in jax.tree.leaves(found))


@names
def test_float64_is_computed_in_float64(name: str):
    given, found = made_of_several(name)[0]
    after, before = row(found, DEFAULT, 0), row(given, 0)
    if name not in MOVES_ENTRIES:
        rounded = jax.tree.map(lambda x: x.astype(np.float32).astype(x.dtype) if x.dtype == np.float64 else x, after)
        narrow = jax.tree.map(lambda x, y: y if x.dtype == np.float64 else x, after, before)
        assert touched(rounded, after) >= touched(after, before) - touched(narrow, before) - CHOSEN


@names
def test_plain_calls_write_to_nothing_and_repeat_and_a_batch_of_them_compiled_is_a_loop(name: str):
    """The keys, and the networks or batches, all differ; no step makes a NaN, and a key of the old kind draws alike."""
    _, found, _ = made(name)
    for i in range(THINGS):
        argument = thing(name, i)
        with jax.debug_nans(True):
            plain = strong(name)(KEYS[i], argument)
        assert_identical(argument, thing(name, i))
        assert_close(row(found, STRONGER, i), plain)
        with jax.debug_nans(True):
            assert_identical(strong(name)(jax.random.key_data(KEYS[i]), argument), plain)


@names
def test_structure_and_dtypes_stay_under_what_users_switch_on(name: str):
    """64 bits, keys of the old kind, `jax.checkpoint` and its gradient, no `jit`: networks in all dtypes at once."""
    given, transform = thing(name, dtype=ALL_DTYPES), bound(name, ALL_DTYPES)
    if name in OF_CLASSES:
        given = given._replace(label=given.label.astype(np.float16))
    again = functools.partial(size, jax.checkpoint(transform))
    with jax.enable_x64(True), jax.disable_jit():
        gradient = jax.grad(again, argnums=1, has_aux=True, allow_int=True)
        _, found = jax.eval_shape(gradient, jax.random.PRNGKey(0), given)
    chex.assert_trees_all_equal_structs(found, given)
    chex.assert_trees_all_equal_shapes_and_dtypes(found, given)


def test_arrays_may_be_donated():
    chain = wa.chain(*map(strong, ("permute", "shift_phase", "rotate", "contrast", "drop_neurons")))
    given = jax.tree.map(jax.device_put, thing("permute"))
    found = jax.jit(lambda t, k, x: t(k, x), donate_argnums=2)(chain, KEY, given)
    assert given[0].kernel.is_deleted()
    assert_close(found, chain(KEY, thing("permute")))


@names
def test_the_key_decides_all(name: str):
    first, again, other = (row(made(name)[1], STRONGER, i) for i in (0, THINGS, 2 * THINGS))
    assert_identical(first, again)
    if name != "label_smoothing":
        assert touched(other, first)


@pytest.mark.parametrize("name", NOTHING)
def test_no_strength_is_the_identity(name: str):
    for given, found in (made(name)[:2], *made_of_several(name)):
        assert_identical(row(found, NONE), given)


@names
def test_the_default_strength_changes_what_it_claims_to_and_nothing_else(name: str):
    given, found, _ = made(name)
    tries = slice(None) if name in BY_CHANCE else slice(1)
    assert touched(row(found, DEFAULT, tries), row(given, tries)) == TOUCHES[name]


@names
def test_gradients_are_finite(name: str):
    """By the weights, the labels and the settings, at the default strength and at none."""
    _, _, gradients = made(name)
    for strength in (DEFAULT, NONE):
        assert all(np.isfinite(gradient[strength]).all() for gradient in gradients)
        assert any(np.any(gradient[strength, 0] != 0) for gradient in gradients)


def values(weights: Any) -> np.ndarray:
    """The function of a network, with or without layers of sines, at some points."""
    *hidden, last, _ = weights
    x = np.random.default_rng(0).uniform(-1, 1, (16, weights[0].kernel.shape[0]))
    for layer, w0 in zip(hidden, W0, strict=False):
        x = np.sin(w0 * (x @ layer.kernel + layer.bias))
    return x @ last.kernel + last.bias


@pytest.mark.parametrize("name", [n for n, e in CATALOGUE.items() if e.effect != "preserves" and e.level == "network"])
def test_what_does_not_preserve_the_function_changes_it(name: str):
    given, found, _ = made(name)
    assert change(values(row(found, STRONGER, 0)), values(row(given, 0))) > 0.01


@pytest.mark.parametrize(
    "name", [n for n, entry in CATALOGUE.items() if "symmetry" in entry.needs and entry.level == "network"]
)
def test_a_batch_given_to_a_function_of_one_network_is_explained(name: str):
    with pytest.raises(
        ValueError, match=r"weights\[0\].kernel has shape \(2, 3, 3\).*one leading axis more.*augment.batched"
    ):
        bound(name)(KEY, batch(name, range(2), np.float32).weights)
