"""Flax variables and Equinox modules as plain dicts of arrays, which a file can bring back."""

import functools
from collections.abc import Callable, Sequence
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
        ValueError: as `WeightDataset.from_networks`. DataError: a number that is not finite, or a key of random ones.

    Example:
        >>> import flax.linen as nn, jax.numpy as jnp
        >>> from wsjax.symmetry import dense
        >>> net, x = nn.Sequential([nn.Dense(3), jnp.tanh, nn.Dense(1)]), jnp.ones((4, 2))
        >>> many = [net.init(jax.random.key(i), x) for i in range(2)]
        >>> spec = dense(many[0], ["layers_0", "layers_2"], activation="tanh")
        >>> from_flax(many, [0, 1], symmetry=spec, apply=net.apply, inputs=x)
        WeightDataset('networks', 2 networks: 2 train, 0 validation, 0 test)
    """
    from flax import nnx  # half a second, for those who have NNX states

    from_linen = lambda one: flax.serialization.to_state_dict(flax.linen.meta.unbox(one))
    plain = [nnx.to_pure_dict(one) if isinstance(one, nnx.State) else from_linen(one) for one in variables]
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
        ValueError: modules that differ in what is no array, or as `WeightDataset.from_networks`. DataError: a number
            that is not finite.

    Example:
        >>> from wsjax.symmetry import dense
        >>> many = [eqx.nn.MLP(2, 1, 3, 1, jax.nn.tanh, key=jax.random.key(i)) for i in range(2)]
        >>> spec = dense(array_dict(many[0]), ["layers/0", "layers/1"], activation="tanh")
        >>> from_equinox(many, [0, 1], symmetry=spec, inputs=jax.numpy.ones(2))
        WeightDataset('networks', 2 networks: 2 train, 0 validation, 0 test)
    """
    rest = [jax.tree.flatten(eqx.filter(module, eqx.is_array, inverse=True)) for module in modules]
    for i, parts in enumerate(rest):
        if not _alike(parts, rest[0]):
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
    """A module of the architecture of `like` with the arrays of one network of a data set that `from_equinox` made.

    Raises:
        ValueError: weights of another architecture; the leaves are named.

    Example:
        >>> linear = eqx.nn.Linear(2, 3, key=jax.random.key(0))
        >>> bool(eqx.tree_equal(into_equinox(array_dict(linear), linear), linear))
        True
    """
    check_structure(weights, jax.tree.structure(array_dict(like)), f"the {type(like).__name__}")
    arrays, rest = eqx.partition(like, eqx.is_array)
    take = lambda path, _: functools.reduce(lambda place, key: place[_name(key)], path, weights)
    return eqx.combine(jax.tree_util.tree_map_with_path(take, arrays), rest)


PARTS: dict[type, Callable[[Any], Any]] = {
    FunctionType: lambda f: (
        f.__code__,
        f.__defaults__,
        f.__kwdefaults__,
        [c.cell_contents for c in f.__closure__ or ()],
    ),
    CodeType: lambda code: (code.co_code, code.co_names, code.co_consts),
    functools.partial: lambda f: (f.func, f.args, f.keywords),
    jax.tree_util.PyTreeDef: lambda treedef: (treedef.node_data(), treedef.children()),
}
"""What tells two objects of a type apart. Functions by their code: a factory makes each module a lambda of its own."""


def _alike(a: Any, b: Any) -> bool:
    """Whether two parts of modules are the same."""
    if a is b or type(a) is not type(b):
        return a is b
    if type(a) in PARTS:
        return _alike(PARTS[type(a)](a), PARTS[type(a)](b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_alike(a[key], b[key]) for key in a)
    if isinstance(a, tuple | list):
        return len(a) == len(b) and all(_alike(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, jax.Array | np.ndarray):
        return a.shape == b.shape and a.dtype == b.dtype and bool((a == b).all())
    return bool(a == b)


def _name(key: Any) -> str:
    """A path's entry as a dict's key: a field's name, a list's number or a dict's key."""
    return jax.tree_util.keystr((key,), simple=True)
