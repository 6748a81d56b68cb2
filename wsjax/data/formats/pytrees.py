"""Flax variables and Equinox modules as plain dicts of arrays, which a file can bring back."""

import functools
from collections.abc import Sequence
from types import CodeType, FunctionType
from typing import Any

import equinox as eqx
import flax.linen
import flax.serialization
import jax
import numpy as np
from jaxtyping import ArrayLike, PyTree

from wsjax.data.dataset import WeightDataset
from wsjax.errors import check_structure
from wsjax.symmetry import Symmetry


def from_flax(
    variables: Sequence[PyTree], labels: ArrayLike | Sequence[float], *, symmetry: Symmetry, **described: Any
) -> WeightDataset:
    """A data set of Flax variables: frozen or boxed, as `init` gives them, or NNX states, made plain dicts.

    `apply` of the same Flax module takes a network of the data set as it is. Nothing is read from the order of names,
    in which `Dense_10` comes before `Dense_2`.

    Args:
        variables: of each network: `{"params": ..., "batch_stats": ...}`, or the parameters alone; of an NNX module
            `nnx.state(module, nnx.Param)`, as the keys of its dropout are no weights.
        labels: one a network, as in `WeightDataset.from_networks`.
        symmetry: of the plain dicts.
        described: all else that `WeightDataset.from_networks` takes: `apply` and `inputs` to prove the Symmetry,
            `columns`, `name`, `classes`, `source`.

    Raises:
        ValueError: as `WeightDataset.from_networks`.
        DataError: a number that is not finite, or a key of random numbers.

    Example:
        >>> import flax.linen as nn, jax.numpy as jnp
        >>> from wsjax.symmetry import Axes, Fixed, Group, symmetry_of
        >>> net, x = nn.Sequential([nn.Dense(3), jnp.tanh, nn.Dense(1)]), jnp.ones((4, 2))
        >>> many = [net.init(jax.random.key(i), x) for i in range(2)]
        >>> first = {"kernel": Axes("in", "h"), "bias": Axes("h", bias=True)}
        >>> last = {"kernel": Axes("h*", "out"), "bias": Axes("out", bias=True)}
        >>> sizes = {"in": Fixed(2, "input"), "h": Group(3, "tanh"), "out": Fixed(1, "output")}
        >>> spec = symmetry_of({"params": {"layers_0": first, "layers_2": last}}, sizes)
        >>> from_flax(many, [0, 1], symmetry=spec, apply=net.apply, inputs=x)
        WeightDataset('networks', 2 networks: 2 train, 0 validation, 0 test)
    """
    from flax import nnx  # half a second, for those who have NNX states

    plain = [
        nnx.to_pure_dict(one)
        if isinstance(one, nnx.State)
        else flax.serialization.to_state_dict(flax.linen.meta.unbox(one))
        for one in variables
    ]
    return WeightDataset.from_networks(plain, labels, symmetry=symmetry, **described)


def from_equinox(
    modules: Sequence[eqx.Module],
    labels: ArrayLike | Sequence[float],
    *,
    symmetry: Symmetry,
    inputs: ArrayLike | tuple[ArrayLike, ...] | None = None,
    **described: Any,
) -> WeightDataset:
    """A data set of Equinox modules of one architecture: their arrays in plain dicts, by the names of their fields.

    Lists become dicts by number: `module.layers[1].weight` is `weights["layers"]["1"]["weight"]`, in Equinox's own
    (out, in). `into_equinox` makes a network of the data set a module again.

    Args:
        modules: the networks.
        labels: one a network, as in `WeightDataset.from_networks`.
        symmetry: of the plain dicts, `array_dict` of a module.
        inputs: what a module is called with; given, the Symmetry is proved on the first one.
        described: all else that `WeightDataset.from_networks` takes: `columns`, `name`, `classes`, `source`.

    Raises:
        ValueError: modules that differ in what is no array, or as `WeightDataset.from_networks`.
        DataError: a number that is not finite.

    Example:
        >>> from wsjax.symmetry import Axes, Fixed, Group, symmetry_of
        >>> many = [eqx.nn.MLP(2, 1, 3, 1, jax.nn.tanh, key=jax.random.key(i)) for i in range(2)]
        >>> first = {"weight": Axes("h", "in"), "bias": Axes("h", bias=True)}
        >>> last = {"weight": Axes("out", "h*"), "bias": Axes("out", bias=True)}
        >>> sizes = {"in": Fixed(2, "input"), "h": Group(3, "tanh"), "out": Fixed(1, "output")}
        >>> spec = symmetry_of({"layers": {"0": first, "1": last}}, sizes)
        >>> from_equinox(many, [0, 1], symmetry=spec, inputs=jax.numpy.ones(2))
        WeightDataset('networks', 2 networks: 2 train, 0 validation, 0 test)
    """
    for i, module in enumerate(modules):
        if not _alike(*(jax.tree.flatten(_rest(one)) for one in (module, modules[0]))):
            raise ValueError(f"module {i} differs from module 0 in what is no array; expected one architecture")
    apply = None if inputs is None else lambda weights, *given: into_equinox(weights, modules[0])(*given)
    plain = [array_dict(module) for module in modules]
    return WeightDataset.from_networks(plain, labels, symmetry=symmetry, apply=apply, inputs=inputs, **described)


def array_dict(module: PyTree) -> dict[str, Any]:
    """The arrays of a module in nested dicts, by the names of its fields and the numbers in its lists.

    Example:
        >>> {name: array.shape for name, array in array_dict(eqx.nn.Linear(2, 3, key=jax.random.key(0))).items()}
        {'weight': (3, 2), 'bias': (3,)}
    """
    nested: dict[str, Any] = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(eqx.filter(module, eqx.is_array)):
        *outer, last = map(_name, path)
        place = nested
        for name in outer:
            place = place.setdefault(name, {})
        place[last] = leaf
    return nested


def into_equinox(weights: PyTree, like: eqx.Module) -> Any:
    """A module with the arrays of one network of a data set that `from_equinox` made.

    Args:
        weights: nested dicts, as `array_dict` gives them.
        like: a module of the same architecture.

    Raises:
        ValueError: weights of another architecture; the leaves are named.

    Example:
        >>> linear = eqx.nn.Linear(2, 3, key=jax.random.key(0))
        >>> bool(eqx.tree_equal(into_equinox(array_dict(linear), linear), linear))
        True
    """
    check_structure(weights, jax.tree.structure(array_dict(like)), f"the {type(like).__name__}")
    arrays, rest = eqx.partition(like, eqx.is_array)
    paths = [[_name(key) for key in path] for path, _ in jax.tree_util.tree_leaves_with_path(arrays)]
    leaves = []
    for path in paths:
        place = weights
        for name in path:
            place = place[name]
        leaves.append(place)
    return eqx.combine(jax.tree.unflatten(jax.tree.structure(arrays), leaves), rest)


def _rest(module: eqx.Module) -> PyTree:
    return eqx.partition(module, eqx.is_array)[1]


def _alike(a: Any, b: Any) -> bool:
    """Whether two parts of modules are the same. Functions are compared by their code: a factory makes each module a
    lambda or a partial of its own."""
    if type(a) is not type(b):
        return False
    if isinstance(a, FunctionType):
        inside = lambda f: [cell.cell_contents for cell in f.__closure__ or ()]
        what = lambda f: (f.__code__.co_code, f.__code__.co_names, f.__defaults__, f.__kwdefaults__, inside(f))
        constants = (f.__code__.co_consts for f in (a, b))
        return _alike(what(a), what(b)) and _alike(*constants)
    if isinstance(a, CodeType):
        return (a.co_code, a.co_names) == (b.co_code, b.co_names) and _alike(a.co_consts, b.co_consts)
    if isinstance(a, functools.partial):
        return _alike((a.func, a.args, a.keywords), (b.func, b.args, b.keywords))
    if isinstance(a, jax.tree_util.PyTreeDef):
        return _alike((a.node_data(), a.children()), (b.node_data(), b.children()))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_alike(a[key], b[key]) for key in a)
    if isinstance(a, tuple | list):
        return len(a) == len(b) and all(_alike(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, jax.Array | np.ndarray):
        return a.shape == b.shape and a.dtype == b.dtype and bool((a == b).all())
    return bool(a == b)


def _name(key: Any) -> str:
    """A path's entry as a dict's key: a field's name, a list's number or a dict's key."""
    return str(next(getattr(key, part) for part in ("name", "idx", "key") if hasattr(key, part)))
