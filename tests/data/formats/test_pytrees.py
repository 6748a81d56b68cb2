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

from wsjax.data import Metadata, WeightDataset
from wsjax.data.formats.pytrees import array_dict, from_equinox, from_flax, into_equinox
from wsjax.data.store.save_load import load, save
from wsjax.errors import DataError
from wsjax.symmetry import Axes, Fixed, Group, symmetry_of

SIZES = {"in": Fixed(2, "input"), "h": Group(3, "tanh"), "out": Fixed(1, "output")}


class Boxed(nn.Module):
    """A network whose parameters carry the names of mesh axes."""

    @nn.compact
    def __call__(self, x):
        init = nn.with_partitioning(nn.initializers.lecun_normal(), ("data", None))
        hidden = jnp.tanh(nn.Dense(3, kernel_init=init)(x))
        return nn.Dense(1)(hidden)


FLAX = symmetry_of(
    {
        "params": {
            "Dense_0": {"kernel": Axes("in", "h"), "bias": Axes("h", bias=True)},
            "Dense_1": {"kernel": Axes("h*", "out"), "bias": Axes("out", bias=True)},
        }
    },
    SIZES,
)
EQUINOX = symmetry_of(
    {
        "layers": {
            "0": {"weight": Axes("h", "in"), "bias": Axes("h", bias=True)},
            "1": {"weight": Axes("out", "h*"), "bias": Axes("out", bias=True)},
        }
    },
    SIZES,
)


X = np.random.default_rng(0).normal(size=(5, 2)).astype(np.float32)


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


@pytest.fixture
def modules(getkey):
    return [eqx.nn.MLP(2, 1, 3, 1, jax.nn.tanh, key=getkey()) for _ in range(3)]


def test_equinox_modules_are_stored_and_made_modules_again(tmp_path, modules):
    x = X[0]
    data = from_equinox(modules, [0.5, 1.0, 2.0], symmetry=EQUINOX, inputs=x)
    save(data, tmp_path / "set")
    again = load(tmp_path / "set")
    for row, module in enumerate(modules):
        back = into_equinox(again.network(row), modules[0])
        np.testing.assert_array_equal(back(x), module(x))
    assert list(array_dict(modules[0])["layers"]) == ["0", "1"]


def test_a_wrong_symmetry_or_module_is_named(modules, getkey):
    wrong = symmetry_of(
        jax.tree.unflatten(EQUINOX.treedef, EQUINOX.axes), {**SIZES, "h": Group(3, "relu", actions=("rescale",))}
    )
    with pytest.raises(ValueError, match="'rescale' on group 'h' changes the function"):
        from_equinox(modules, [0, 1, 2], symmetry=wrong, inputs=jnp.ones(2))
    other = eqx.nn.MLP(2, 1, 3, 1, jax.nn.relu, key=getkey())
    with pytest.raises(ValueError, match="module 3 differs from module 0 in what is no array"):
        from_equinox([*modules, other], [0, 1, 2, 3], symmetry=EQUINOX)
    deeper = eqx.nn.MLP(2, 1, 3, 2, jax.nn.tanh, key=getkey())
    with pytest.raises(ValueError, match=r"structure of the MLP: missing weights\['layers'\]\['1'\]\['bias'\]"):
        into_equinox({"layers": {"0": array_dict(deeper)["layers"]["0"]}}, modules[0])


def test_modules_of_one_factory_are_alike_whatever_functions_it_makes_anew():
    def make(factor, seed):
        sine = functools.partial(lambda x, times: jnp.sin(times * x), times=factor)
        return eqx.nn.MLP(2, 1, 4, 1, sine, lambda x: factor * x, key=jax.random.key(seed))

    axes = {
        "0": {"weight": Axes("h", "in"), "bias": Axes("h", bias=True)},
        "1": {"weight": Axes("out", "h*"), "bias": Axes("out", bias=True)},
    }
    spec = symmetry_of({"layers": axes}, {"in": Fixed(2), "h": Group(4, "tanh", actions=("permute",)), "out": Fixed(1)})
    assert len(from_equinox([make(30, 0), make(30, 1)], [0, 1], symmetry=spec)) == 2
    with pytest.raises(ValueError, match="module 1 differs from module 0 in what is no array"):
        from_equinox([make(30, 0), make(31, 1)], [0, 1], symmetry=spec)


def test_nnx_states_are_taken_and_keys_among_them_refused_by_name():
    def state(seed, **more):
        rng = np.random.default_rng(seed)
        param = lambda *shape: nnx.Param(rng.normal(size=shape).astype(np.float32))
        hidden, last = ({"kernel": param(*shape), "bias": param(shape[1])} for shape in ((2, 3), (3, 1)))
        return nnx.State({"Dense_0": hidden, "Dense_1": last, **more})

    spec = symmetry_of(jax.tree.unflatten(FLAX.treedef, FLAX.axes)["params"], SIZES)
    found = from_flax([state(0), state(1)], [0, 1], symmetry=spec)
    np.testing.assert_array_equal(found.network(1)["Dense_1"]["bias"], nnx.to_pure_dict(state(1))["Dense_1"]["bias"])
    rngs = {"rngs": {"key": nnx.RngKey(jax.random.key(0), tag="dropout")}}
    message = (
        r"weights\['rngs'\]\['key'\].* is a key of random numbers \(key<fry>\); .*nnx\.split\(module, flax\.nnx\.Param"
    )
    for make in (from_flax, WeightDataset.from_networks):
        with pytest.raises(DataError, match=message):
            make([state(0, **rngs)], [0], symmetry=spec)
    metadata, rows = Metadata("keys", None, symmetry_of({"k": Axes()}, {})), np.zeros(1, np.int8)
    with pytest.raises(DataError, match=r"weights\['k'\] is a key of random numbers"):
        WeightDataset({"k": jax.random.split(jax.random.key(0), 1)}, rows, {"split": rows}, metadata)
