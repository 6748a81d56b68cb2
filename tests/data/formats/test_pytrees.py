"""Users' own Flax and Equinox networks, stored and taken back."""

import functools

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from flax.core import FrozenDict, freeze

from tests.data.formats.conftest import refused
from wsjax.data import Metadata, WeightDataset
from wsjax.data.formats.pytrees import array_dict, from_equinox, from_flax, into_equinox
from wsjax.data.store.save_load import load, save
from wsjax.symmetry import Axes, dense, symmetry_of

X = np.random.default_rng(0).normal(size=(5, 2)).astype(np.float32)
SHAPES = ((2, 3), (3, 1))
PARAMS = {f"Dense_{i}": {"kernel": np.ones(shape), "bias": np.ones(shape[1])} for i, shape in enumerate(SHAPES)}
LAYERS = {f"{i}": {"weight": np.ones(shape[::-1]), "bias": np.ones(shape[1])} for i, shape in enumerate(SHAPES)}
FLAX = dense({"params": PARAMS}, ["Dense_0", "Dense_1"], activation="tanh")
EQUINOX = dense({"layers": LAYERS}, ["0", "1"], activation="tanh")


class Boxed(nn.Module):
    """A network whose parameters carry the names of mesh axes."""

    @nn.compact
    def __call__(self, x):
        init = nn.with_partitioning(nn.initializers.lecun_normal(), ("data", None))
        hidden = jnp.tanh(nn.Dense(3, kernel_init=init)(x))
        return nn.Dense(1)(hidden)


def test_frozen_and_boxed_variables_become_plain_dicts_that_are_stored(tmp_path, getkey):
    first, apply = freeze(jax.jit(Boxed().init)(getkey(), X)), jax.jit(Boxed().apply)
    variables = [jax.tree.map(lambda leaf, i=i: np.asarray(leaf) + np.float32(i), first) for i in range(3)]
    assert isinstance(variables[0], FrozenDict)
    data = from_flax(variables, [0, 1, 1], symmetry=FLAX, apply=apply, inputs=X, name="mine", classes=("cat", "dog"))
    save(data, tmp_path / "set")
    again = load(tmp_path / "set")
    assert (again.metadata.name, again.metadata.classes) == ("mine", ("cat", "dog"))
    for row, one in enumerate(variables):
        np.testing.assert_array_equal(apply(again.network(row), X), apply(one, X))


def mlp(key, depth=1, activation=jax.nn.tanh):
    return eqx.nn.MLP(2, 1, 3, depth, activation, key=key)


@pytest.fixture
def modules(getkey):
    return [mlp(getkey()) for _ in range(3)]


def test_equinox_modules_are_stored_and_made_modules_again(tmp_path, modules):
    save(from_equinox(modules, [0.5, 1.0, 2.0], symmetry=EQUINOX, inputs=X[0]), tmp_path / "set")
    again = load(tmp_path / "set")
    for row, module in enumerate(modules):
        np.testing.assert_array_equal(into_equinox(again.network(row), modules[0])(X[0]), module(X[0]))
    assert list(array_dict(modules[0])["layers"]) == ["0", "1"]


def test_a_wrong_symmetry_or_module_is_named(modules, getkey):
    wrong = dense({"layers": LAYERS}, ["0", "1"], activation="relu")
    with pytest.raises(ValueError, match="'rescale' on group 'h1' changes the function"):
        from_equinox(modules, [0, 1, 2], symmetry=wrong, inputs=jnp.ones(2))
    with pytest.raises(ValueError, match="module 3 differs from module 0 in what is no array"):
        from_equinox([*modules, mlp(getkey(), activation=jax.nn.relu)], [0, 1, 2, 3], symmetry=EQUINOX)
    deeper = array_dict(mlp(getkey(), depth=2))["layers"]["0"]
    with pytest.raises(ValueError, match=r"structure of the MLP: missing weights\['layers'\]\['1'\]\['bias'\]"):
        into_equinox({"layers": {"0": deeper}}, modules[0])


def test_modules_of_one_factory_are_alike_whatever_functions_it_makes_anew():
    def make(factor, seed):
        sine = functools.partial(lambda x, times: jnp.sin(times * x), times=factor)
        return eqx.nn.MLP(2, 1, 3, 1, sine, lambda x: factor * x, key=jax.random.key(seed))

    assert len(from_equinox([make(30, 0), make(30, 1)], [0, 1], symmetry=EQUINOX)) == 2
    with pytest.raises(ValueError, match="module 1 differs from module 0 in what is no array"):
        from_equinox([make(30, 0), make(31, 1)], [0, 1], symmetry=EQUINOX)


def test_nnx_states_are_taken_and_keys_among_them_refused_by_name():
    def state(seed, **more):
        rng = np.random.default_rng(seed)
        draw = lambda leaf: nnx.Param(rng.normal(size=leaf.shape).astype(np.float32))
        return nnx.State({**jax.tree.map(draw, PARAMS), **more})

    spec = dense(PARAMS, ["Dense_0", "Dense_1"], activation="tanh")
    found = from_flax([state(0), state(1)], [0, 1], symmetry=spec)
    np.testing.assert_array_equal(found.network(1)["Dense_1"]["bias"], nnx.to_pure_dict(state(1))["Dense_1"]["bias"])
    rngs = {"rngs": {"key": nnx.RngKey(jax.random.key(0), tag="dropout")}}
    message = (
        r"weights\['rngs'\]\['key'\].* is a key of random numbers \(key<fry>\); .*nnx\.split\(module, flax\.nnx\.Param"
    )
    for make in (from_flax, WeightDataset.from_networks):
        refused(make, message, [state(0, **rngs)], [0], symmetry=spec)
    metadata, rows = Metadata("keys", None, symmetry_of({"k": Axes()}, {})), np.zeros(1, np.int8)
    keys = {"k": jax.random.split(jax.random.key(0), 1)}
    refused(WeightDataset, r"weights\['k'\] is a key of random numbers", keys, rows, {"split": rows}, metadata)
