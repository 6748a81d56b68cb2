"""`infer` and `explain`: a network's symmetry, read off its program."""

from collections.abc import Callable
from typing import Any

import jax
from jaxtyping import PyTree

from wsjax.errors import leaf_names
from wsjax.symmetry.infer.confirm import confirm
from wsjax.symmetry.infer.marks import Found, build, find, group_names
from wsjax.symmetry.infer.passes import Analysis, analyze
from wsjax.symmetry.infer.report import report
from wsjax.symmetry.infer.tape import record
from wsjax.symmetry.spec import Symmetry


def infer(apply: Callable[..., PyTree], weights: PyTree, *example_inputs: PyTree) -> Symmetry:
    """The symmetry of any network, from the program that JAX traces of it.

    Every axis of every array of `weights` may first be permuted on its own. Each step of the program then unites axes,
    splits them or fixes them; a step that is not understood fixes what it touches. Signs, positive scales and phases
    follow from the powers with which gains pass each step; matrices act where all that a group passes is linear. What
    the program treats apart for each index of another axis (heads, experts, groups of channels, the layers of a scan)
    has an element for each. A random element of the whole group is tried on the function before anything is returned:
    on the weights with a little noise, in float64 where the program allows it.

    Args:
        apply: the network, `apply(weights, *inputs) -> outputs`, a pure function that `jax.jit` takes.
        weights: one network's, a pytree of arrays, or of shapes (`jax.eval_shape`, `jax.ShapeDtypeStruct`). Everything
            that a group may act on belongs here, batch statistics too: what `apply` closes over is fixed. Integers and
            booleans are permuted, and take no gains.
        example_inputs: what `apply` takes after the weights, arrays or shapes; a batch of two is enough. Nothing acts
            on inputs and outputs.

    Groups are named `h1`, `h2`, ... in the order in which the program comes to their arrays, the layers of a scan
    `scan1`, .... Every group that this Symmetry can describe is found where the program's own structure shows it; what
    depends on numbers (two equal rows) is not. A group that has others within it is permuted alone. Where an axis is
    fixed, only the layers of a scan have elements for each index. `explain` says why an axis is fixed.

    One line for each kind of network, with a batch `x`:

        Flax Linen      infer(model.apply, variables, x)
        Flax NNX        graph, w, rest = nnx.split(model, (nnx.Param, nnx.BatchStat), ...)
                        infer(lambda w, x: nnx.merge(graph, w, rest, copy=True)(x), w, x)
        Equinox         w, static = eqx.partition(model, eqx.is_inexact_array)
                        infer(lambda w, x: jax.vmap(eqx.combine(w, static))(x), w, x)
        init and apply  infer(lambda w, x: apply(w, key, x), init(key, x), x)
        a function      infer(apply, weights, x)

    A network with batch statistics or dropout is inferred as it is evaluated: `train=False`, `nnx.view` or `eval()`,
    `eqx.nn.inference_mode`.

    Raises:
        TypeError: a leaf of the weights is no array.
        ValueError: the function is not finite, or what was inferred does not preserve it: the group, the action and
            the steps that it passes are named.

    Source: the groups are those of Ainsworth et al. 2022 (arXiv 2209.04836) and of arXiv 2402.04081, there written by
    hand for each architecture.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> def apply(w, x):
        ...     return jnp.tanh(x @ w["first"] + w["bias"][None, :]) @ w["last"]
        >>> shapes = {"first": (2, 8), "bias": (8,), "last": (8, 1)}
        >>> weights = {name: jax.ShapeDtypeStruct(shape, jnp.float32) for name, shape in shapes.items()}
        >>> infer(apply, weights, jnp.ones((5, 2)))
        Symmetry(h1: 8 tanh (permute/sign))
    """
    analysis, found, symmetry = _inferred(apply, weights, example_inputs)
    names = group_names(found)
    notes = {name: list(analysis.degrees.notes[group]) for group, name in names.items()}
    if symmetry.groups:
        confirm(apply, symmetry, weights, example_inputs, notes)
    return symmetry


def explain(apply: Callable[..., PyTree], weights: PyTree, *example_inputs: PyTree) -> str:
    """What `infer` finds, in words: each group and its actions, and for each axis of each array its group, or what
    fixed it, with the primitive and the line of the source.

    `apply`, `weights` and `example_inputs` are those of `infer`; nothing is confirmed.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> weights = jax.ShapeDtypeStruct((2, 3), jnp.float32)
        >>> print(explain(lambda w, x: x @ w, weights, jnp.ones((5, 2))).split(" in ")[0])
        no group acts
        weights
          axis 0, 2: fixed (2): meets the network's input
    """
    analysis, found, symmetry = _inferred(apply, weights, example_inputs)
    return report(analysis, found, group_names(found), symmetry)


def _inferred(
    apply: Callable[..., PyTree], weights: PyTree, inputs: tuple
) -> tuple[Analysis, dict[Any, Found], Symmetry]:
    for name, leaf in zip(leaf_names(weights), jax.tree.leaves(weights), strict=True):
        if not hasattr(leaf, "dtype") and not isinstance(leaf, int | float | complex):
            raise TypeError(
                f"{name} is {leaf!r}; expected an array, or its shape: keep what is no array out of the weights, for "
                f"Equinox by eqx.partition(model, eqx.is_inexact_array)"
            )
    analysis = analyze(record(apply, weights, inputs))
    found = find(analysis)
    return analysis, found, build(analysis, found, jax.tree.structure(weights))
