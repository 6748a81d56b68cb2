"""The model that a training trains: any Equinox module, made of a key, applied to a network or to whole splits."""

import dataclasses
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import default_registry, keystr
from jaxtyping import Array, PyTree

from wsjax.errors import json_differences, listing
from wsjax.storage.files import checksum, digest
from wsjax.typing import Key, Reader

MakeModel = Callable[[Key], Reader]
EVALUATION_BATCH = 256


def read_all(model: Callable[[PyTree], Array], *splits: PyTree) -> list[Array]:
    """What a function of one network gives for every network of some splits, each stacked.

    All splits go through one loop, in equal batches of at most 256 networks of one split each: `model` is compiled
    once, neither for each split nor for what a last batch would leave over.
    """
    counts = [len(jax.tree.leaves(split)[0]) for split in splits]
    in_batches = lambda size: [-(-count // size) for count in counts]
    # A batch costs about as much as sixteen networks more.
    size = min(range(1, EVALUATION_BATCH + 1), key=lambda size: sum(in_batches(size)) * (size + 16))
    batches = in_batches(size)
    gather = [lambda rows, split=split: jax.tree.map(lambda x: x.at[rows].get(mode="clip"), split) for split in splits]
    of_split = np.repeat(np.arange(len(splits), dtype=np.int32), batches)
    rows = np.concatenate([np.arange(n * size, dtype=np.int32).reshape(n, size) for n in batches])
    given = jax.lax.map(lambda at: jax.vmap(model)(jax.lax.switch(at[0], gather, at[1])), (of_split, rows))
    parts = [given[sum(batches[:i]) : sum(batches[: i + 1])] for i in range(len(splits))]
    return [part.reshape(-1, *part.shape[2:])[:count] for part, count in zip(parts, counts, strict=True)]


class Static(NamedTuple):
    """What a model holds beside arrays. Its modules cannot be hashed where they hold a dict; their structure can."""

    leaves: tuple[Any, ...]
    structure: Any

    @property
    def tree(self) -> PyTree:
        return jax.tree.unflatten(self.structure, self.leaves)


def apart(tree: PyTree) -> tuple[PyTree, Static]:
    """The arrays of a tree, and the rest as one value that a compiled step is known by."""
    arrays, rest = eqx.partition(tree, eqx.is_array)
    leaves, structure = jax.tree.flatten(rest)
    return arrays, Static(tuple(leaves), structure)


def made(make_model: MakeModel, seeds: Sequence[int]) -> tuple[PyTree, PyTree]:
    """The parameters of a model for each seed, stacked, and the fixed part, which is the same for all."""
    name = getattr(make_model, "__name__", type(make_model).__name__)
    if isinstance(make_model, eqx.Module):
        raise TypeError(f"make_model is a model, {name}; expected a function of a key: lambda key: {name}(key=key)")
    if not callable(make_model):
        raise TypeError(f"make_model is {make_model!r}; expected a function of a key that gives a model")
    try:
        inspect.signature(make_model).bind(None)
    except TypeError as error:
        raise TypeError(
            f"make_model is {name}, which a key alone does not call ({error}); expected a function of a key: "
            f"lambda key: {name}(..., key=key)"
        ) from None
    except ValueError:  # a function without a signature
        pass
    models = [make_model(jax.random.key(seed)) for seed in seeds]
    if not callable(models[0]):
        raise TypeError(f"make_model gave {models[0]!r}; expected a model that is called with the weights of a network")
    parts = [eqx.partition(model, eqx.is_inexact_array) for model in models]
    contents = [contents_of(model) for model in models]
    for seed, found in zip(seeds[1:], contents[1:], strict=True):
        if differences := json_differences(contents[0], found):
            raise ValueError(
                f"the model of seed {seed} is other than that of seed {seeds[0]}: {listing(differences[:6])}; expected "
                f"models that differ in their floating arrays' values alone, as all runs share one compiled program"
            )
    if not contents[0]["parameters"]:
        raise ValueError(f"the model {models[0]!r} has no floating arrays; expected parameters to train")
    # On the host, as JAX compiles a program for each shape that it stacks.
    parameters = jax.tree.map(lambda *leaves: jax.device_put(np.stack(leaves)), *[trained for trained, _ in parts])
    return parameters, parts[0][1]


def contents_of(model: PyTree) -> dict[str, dict[str, Any]]:
    """What a model consists of, as a record holds it: dtype and shape of each parameter by its path, and all constants.

    Constants are the SHA-256 of arrays that do not train, and plain values (numbers, text, booleans and tuples of
    those), among the leaves and in the static fields of modules. Functions and other objects are left out.
    """
    parameters, constants = {}, {}

    def visit(path: str, node: Any) -> None:
        if eqx.is_inexact_array(node) or isinstance(node, jax.ShapeDtypeStruct):
            parameters[path] = f"{node.dtype.name}[{','.join(map(str, node.shape))}]"
        elif isinstance(node, eqx.Module):
            for field in dataclasses.fields(node):
                value, at = getattr(node, field.name, None), f"{path}.{field.name}"
                keep(at, value) if field.metadata.get("static") else visit(at, value)
        elif children := (default_registry.flatten_one_level_with_keys(node) or ((),))[0]:
            for key, child in children:
                visit(path + keystr((key,)), child)
        else:
            keep(path, node)

    def keep(path: str, node: Any) -> None:
        value = _plain(node)
        if value is not None:
            constants[path] = value if len(json.dumps(value)) < 200 else f"SHA-256 {checksum({'': value})}"

    visit("model", model)
    return {"parameters": parameters, "constants": constants}


def _plain(value: Any) -> Any:
    """A constant in JSON, NumPy's numbers as Python's; None for a function or another object."""
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, bool | int | str):
        return value
    if isinstance(value, float | complex):
        return value if isinstance(value, float) and np.isfinite(value) else repr(value)
    if isinstance(value, jax.Array) and jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
        return f"a PRNG key, {_plain(jax.random.key_data(value))}"
    if isinstance(value, np.ndarray | jax.Array):
        return f"SHA-256 {digest(np.asarray(value))}"
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name, None)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(inner) for inner in value]
    return None


def shapes_of_one(stacked: PyTree) -> PyTree:
    """The shapes and dtypes of one of stacked runs, or networks: to slice arrays compiles a program for each shape."""
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), stacked)
