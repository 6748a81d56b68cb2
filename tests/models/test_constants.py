"""What trains and what does not: statistics, frequencies and units are no parameters, but arrays of the program."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tests.models.readers import READERS, TINY, network, tiny
from wsjax import models
from wsjax.models import Normalizer, make
from wsjax.models.layers.normalizer import Constant

pytestmark = pytest.mark.usefixtures("untyped")

KEY = jax.random.key(0)
SYMMETRY = TINY.symmetry
MADE = [*READERS, "rescaled", "editor", "scale editor"]
RUNS_ONLY = ("probe", "generated probe", "activation_probe", "grid_probe")
"""Those without a normalizer."""


def constants(tree) -> list[Constant]:
    is_one = lambda node: isinstance(node, Constant)
    return [node for node in jax.tree.leaves(tree, is_leaf=is_one) if is_one(node)]


@pytest.mark.parametrize("name", MADE)
def test_no_constant_is_a_parameter_and_weight_decay_changes_none(name):
    model = tiny(name)
    params, static = eqx.partition(model, eqx.is_inexact_array)
    held = constants(model)
    assert bool(held) is (name not in RUNS_ONLY)
    assert [leaf for leaf in constants(params) if leaf.bits is not None] == []
    assert all(leaf.bits is not None for leaf in constants(static))
    rule = optax.adamw(0.1, weight_decay=0.5)

    @jax.jit
    def step(params):
        with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
            updates, _ = rule.update(jax.tree.map(jnp.ones_like, params), rule.init(params), params)
            return optax.apply_updates(params, updates)

    moved = step(params)
    trained = eqx.combine(moved, static)
    pairs = zip(*map(jax.tree.leaves, (moved, params)), strict=True)
    assert all(np.any(a != b) for a, b in pairs if a.size)
    for before, after in zip(held, constants(trained), strict=True):
        np.testing.assert_array_equal(before.bits, after.bits)
    assert jax.tree.structure(trained) == jax.tree.structure(model)


def test_a_constant_is_its_numbers_in_float32_eager_and_traced():
    numbers = np.array([0.0, -0.0, 1e-40, 3.1, np.inf], np.float32)
    for constant in (Constant(numbers), Constant(numbers.tolist()), jax.jit(Constant)(numbers)):
        assert (constant.bits.dtype, constant.value.dtype) == (jnp.int32, jnp.float32)
        np.testing.assert_array_equal(np.asarray(constant.value).view(np.int32), numbers.view(np.int32))


def test_a_constant_keeps_its_numbers_where_the_array_is_written_to():
    room = np.zeros(64 * 4 + 64, np.uint8)
    numbers = room[-room.ctypes.data % 64 :][: 64 * 4].view(np.float32)  # which a CPU device would share
    constant = Constant(numbers)
    numbers[:] = 1
    assert not np.asarray(constant.value).any()


def test_a_normalizer_computes_in_float32_at_least_and_rounds_once():
    own, x = Normalizer([100.0], [3.0]), np.linspace(99, 101, 5)
    with jax.enable_x64(True):
        for dtype, wide in ((jnp.bfloat16, np.float32), (jnp.float32, np.float32), (np.float64, np.float64)):
            (found,) = own([jax.device_put(x)], np.dtype(dtype))
            np.testing.assert_array_equal(found, ((x.astype(wide) - wide(100)) / wide(3)).astype(dtype))


@pytest.mark.parametrize("name", ["dws", "hybrid", "nfn", "generated probe", "activation_probe"])
def test_data_sets_of_equal_shapes_share_one_program(name):
    """Other statistics, other numbers in the same arrays: one trace of a batch, as of one reader after a step.

    So readers of one network are one pytree structure, which a training stacks."""
    traced = []

    @eqx.filter_jit
    def read(model, weights):
        traced.append(name)
        return jax.vmap(model)(weights)

    batch, outputs = jax.tree.map(lambda leaf: np.stack([leaf, 2 * leaf]), network()), []
    for mean in (0.0, 1.0, 2.0):
        statistics = {leaf: {"mean": mean, "std": 1.0 + mean, "rms": 2.0 + mean} for leaf in SYMMETRY.names}
        described = TINY._replace(statistics=statistics)
        outputs.append(read(make(READERS[name][0], described, READERS[name][1], key=KEY), batch))
    assert len(traced) == 1
    assert bool(np.abs(outputs[0] - outputs[1]).max() > 1e-4) is (name not in RUNS_ONLY)


def test_every_reader_is_public_and_little_else():
    assert len(models.__all__) <= 31
    assert {made.__name__ for made in models.READERS.values()} <= set(models.__all__)
    with pytest.raises(AttributeError, match=r"'wsjax.models' has no attribute 'trainable'"):
        models.trainable  # noqa: B018  # pyright: ignore[reportAttributeAccessIssue]
