"""A description of dense layers inside any tree of parameters, by their names in order."""

import dataclasses
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import jax
import numpy as np
from jaxtyping import PyTree

from wsjax.errors import check_number, check_several, leaf_names, listing
from wsjax.symmetry.axes import Axes
from wsjax.symmetry.group import Convention
from wsjax.symmetry.spec import Symmetry, mlp, siren, symmetry_of

KERNELS = {"kernel": (0, 1), "weight": (1, 0)}
"""What a layer calls its matrix, and where its inputs and outputs are: Flax's `kernel` is (in, out), Equinox's and
PyTorch's `weight` (out, in)."""


def dense(
    params: PyTree,
    order: Sequence[str],
    *,
    activation: str,
    w0: float | Sequence[float] | None = None,
    convention: Convention | None = None,
) -> Symmetry:
    """The symmetries of a dense network whose parameters are some tree, such as Flax's.

    The network is a_0 = x, a_i = activation(a_{i-1} W_i + b_i), with a linear last layer. Hidden groups are `h1`,
    `h2`, ...; the fixed axes are `in` and `out`. Flax numbers layers as they are made, which need not be the order in
    which they act: `order` says this. `symmetry.check` proves the description on your own function.

    Args:
        params: one network's parameters, or their shapes as `jax.eval_shape` gives them. A layer is a dictionary or
            module with a matrix, `kernel` (in, out) or `weight` (out, in), and a `bias` (out,) or none.
        order: the layers from input to output, each by its path, `"params/Dense_0"` or `"layers/0"`, or by the end of
            it that tells it from the others, `"Dense_0"`.
        activation, w0, convention: of every hidden layer, as `mlp` and `siren` take them; the last two for sines, and
            only for them. A layer without biases has no phases.

    Raises:
        ValueError: a name of no layer or of several, a layer named twice, fewer than two layers, leaves outside
            `order`, shapes that do not chain, or `w0` and `convention` missing for a sine or given for another.

    Example:
        >>> first, last = {"kernel": np.ones((2, 8)), "bias": np.ones(8)}, {"kernel": np.ones((8, 1))}
        >>> params = {"Dense_0": first, "Dense_1": last}
        >>> dense(params, ["Dense_0", "Dense_1"], activation="tanh")
        Symmetry(h1: 8 tanh (permute/sign))
    """
    check_several("order", order)
    check_number("number of layers in order", len(order), low=2)
    paths, treedef = jax.tree_util.tree_flatten_with_path(params)
    names, shapes = leaf_names(params, "params"), [np.shape(leaf) for _, leaf in paths]
    layers = _layers([path for path, _ in paths], order)
    left = sorted(set(range(len(names))) - {place for layer in layers for place in layer.values()})
    if left:
        raise ValueError(
            f"order, {listing(order)}, leaves out {listing(names[place] for place in left)}; expected every leaf in "
            f"one of its layers: name that layer too, leave out what is no array (eqx.filter(model, eqx.is_array)), or "
            f"describe the network by symmetry_of"
        )
    widths = _widths(layers, order, names, shapes)
    chain = _chain(widths, activation, w0, convention)
    axes = [Axes("in")] * len(names)
    for layer, kernel, bias in zip(layers, chain.axes[::2], chain.axes[1::2], strict=True):
        for kind, place in layer.items():
            axes[place] = bias if kind == "bias" else Axes(*(kernel.entries[i] for i in KERNELS[kind]))
    dimensions = dict(chain.dimensions)
    for (name, group), layer in zip(chain.groups.items(), layers, strict=False):
        if "bias" not in layer and group.allows("phase"):
            dimensions[name] = dataclasses.replace(group, actions=("permute", "sign"))
    return symmetry_of(jax.tree.unflatten(treedef, axes), dimensions)


def _layers(paths: Sequence[Sequence[Any]], order: Sequence[str]) -> list[dict[str, int]]:
    """For each layer of `order` the positions of its leaves, by `kernel`, `weight` and `bias`."""
    found: dict[str, dict[str, int]] = {}
    for i, path in enumerate(paths):
        words = [jax.tree_util.keystr((key,), simple=True) for key in path]
        # The last one: modules may keep an array below its name, as in kernel.value.
        for at in [at for at, word in enumerate(words) if word in (*KERNELS, "bias")][-1:]:
            found.setdefault("/".join(words[:at]), {})[words[at]] = i
    layers: dict[str, str] = {}
    for name in order:
        own = [path for path in found if path == name] or [path for path in found if f"/{path}".endswith(f"/{name}")]
        if len(own) != 1:
            known = listing(found) or "params' layers, and there are none with a kernel or a weight"
            raise ValueError(f"{name!r} in order is {listing(own) or 'no layer'}; expected one of {known}")
        if own[0] in layers:
            raise ValueError(f"{layers[own[0]]!r} and {name!r} in order are one layer, {own[0]}; expected each once")
        layers[own[0]] = name
        if len(set(found[own[0]]) & set(KERNELS)) != 1:
            raise ValueError(f"the layer {name!r} has {listing(found[own[0]])}; expected one of {listing(KERNELS)}")
    return [found[path] for path in layers]


def _widths(
    layers: Sequence[Mapping[str, int]], order: Sequence[str], names: Sequence[str], shapes: Sequence[tuple[int, ...]]
) -> list[int]:
    """The widths from input to output."""
    sizes: list[tuple[int, int]] = []
    for layer in layers:
        kind = next(kind for kind in layer if kind in KERNELS)
        shape = shapes[layer[kind]]
        if len(shape) != 2:
            raise ValueError(
                f"{names[layer[kind]]} has shape {shape}; expected two axes, as a dense layer's {kind} has: pass one "
                f"network, not a batch, or describe the network by symmetry_of"
            )
        inputs, outputs = (shape[i] for i in KERNELS[kind])
        if "bias" in layer and shapes[layer["bias"]] != (outputs,):
            raise ValueError(
                f"{names[layer['bias']]} has shape {shapes[layer['bias']]}; expected ({outputs},), an entry for each "
                f"output of {names[layer[kind]]}, {shape}"
            )
        sizes.append((inputs, outputs))
    for (first, (_, made)), (second, (taken, _)) in pairwise(zip(order, sizes, strict=True)):
        if made != taken:
            raise ValueError(
                f"{first!r} in order has {made} outputs and {second!r} after it {taken} inputs; expected as many: give "
                f"order from input to output"
            )
    return [sizes[0][0], *(outputs for _, outputs in sizes)]


def _chain(
    widths: Sequence[int], activation: str, w0: float | Sequence[float] | None, convention: Convention | None
) -> Symmetry:
    if activation != "sine":
        if w0 is not None or convention is not None:
            raise ValueError(f"w0 and convention are of sines, and activation is {activation!r}: leave them out")
        return mlp(widths, activation)
    if w0 is None or convention is None:
        raise ValueError(
            f"activation is 'sine', w0 {w0} and convention {convention!r}; expected both, as a phase is a multiple of "
            f"pi / w0: w0=30.0 and convention='affine' for sin(w0 (x W + b)), 'kernel' for sin(w0 x W + b)"
        )
    return siren(widths, w0, convention)
