"""What users of JAX switch on, for every reader and in as few traces as show it; and copies of readers.

test_precision.py traces gradients of batches of batches, through checkpoints and with keys of the old kind;
test_readers.py holds those of zeros and dead neurons to what `debug_nans` asks for.
"""

import copy
import pickle

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.models.readers import READERS, TINY, fewest, network, tiny
from wsjax.models import make

pytestmark = pytest.mark.usefixtures("untyped")

LEGACY = np.array([0, 3], np.uint32)
by_reader = pytest.mark.parametrize("name", READERS)


def test_every_reader_is_pickled_and_copied_with_its_arrays_and_its_static_fields():
    """Their arrays in NumPy: what becomes of JAX's own is JAX's affair."""
    for name in (*READERS, "rescaled", "editor", "scale editor"):
        made = jax.tree.map(np.asarray, tiny(name))
        for other in (pickle.loads(pickle.dumps(made)), copy.deepcopy(made)):
            assert jax.tree.structure(other) == jax.tree.structure(made), name
            for a, b in zip(*map(jax.tree.leaves, (other, made)), strict=True):
                assert (type(a), a.dtype) == (np.ndarray, b.dtype), name
                np.testing.assert_array_equal(a, b, name)


@by_reader
def test_it_keeps_its_type_under_x64_and_one_built_there_is_of_float64_with_and_without_jit(name):
    build_and_read = lambda key, weights: make(READERS[name][0], TINY, fewest(name), key=key)(weights)
    with jax.enable_x64(True):
        assert jax.eval_shape(tiny(name), network()).dtype == jnp.float32
        with jax.disable_jit():
            assert jax.eval_shape(build_and_read, LEGACY, network()).dtype == jnp.float64


def test_values_are_the_same_without_jit():
    compiled = eqx.filter_jit(tiny("mlp"))(network())
    with jax.disable_jit(), jax.debug_nans(True):
        np.testing.assert_allclose(tiny("mlp")(network()), compiled, rtol=1e-5)


def test_an_edit_may_take_the_place_of_the_network():
    edits = tiny("editor")
    weights = jax.tree.map(jax.device_put, network())
    edited = jax.jit(lambda weights: edits(weights), donate_argnums=0)(weights)
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(weights))
    for a, b in zip(*map(jax.tree.leaves, (edited, network())), strict=True):
        assert np.abs(a - b).max() > 1e-4
