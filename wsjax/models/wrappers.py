"""Readers made of readers: other units, test-time augmentation, another dtype; and the arrays of a reader's head."""

import inspect
from collections.abc import Sequence
from dataclasses import fields
from typing import Any, ClassVar, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, PyTree

from wsjax.errors import check_choice, check_number, listing
from wsjax.models.layers.constant import Constant
from wsjax.models.readers.hybrid import Hybrid
from wsjax.typing import Key, Reader, Scalar, Transform, Weights

Model = TypeVar("Model")

DTYPES = ("float32", "bfloat16")
"""What readers compute in; float16's range is too small for their gradients."""


def applied(model: Reader, weights: Weights, key: Key | None, dropout_rate: Scalar) -> Array:
    """A model's outputs for one network, with the key and the dropout rate where it takes them.

    A model is called as `model(weights)`, and given `key=` and `dropout_rate=` where its signature has them.

    Example:
        >>> applied(lambda w: 2 * w, jnp.ones(1), jax.random.key(0), jnp.zeros(())).tolist()
        [2.0]
    """
    given = {"key": key, "dropout_rate": dropout_rate}
    return model(weights, **{name: value for name, value in given.items() if name in takes(model)})


def takes(model: Reader) -> set[str]:
    """Which of `key` and `dropout_rate` a model takes beside the weights."""
    parameters = inspect.signature(model).parameters.values()
    every = any(p.kind is p.VAR_KEYWORD for p in parameters)
    return {name for name in ("key", "dropout_rate") if every or name in {p.name for p in parameters}}


class Units(eqx.Module):
    """shift + scale * y: from standardized numbers to those of a target, one shift and one scale for each.

    They belong to the training split, and no optimizer changes them (`Constant`). The result is float32 at least.

    Example:
        >>> Units([5.0], [2.0])(jnp.array([1.5])).tolist()
        [8.0]
    """

    shift: Constant
    scale: Constant

    def __init__(self, shift: Sequence[float] | ArrayLike, scale: Sequence[float] | ArrayLike):
        self.shift, self.scale = Constant(shift), Constant(scale)

    def __call__(self, y: Float[Array, " targets"]) -> Float[Array, " targets"]:
        wide = np.promote_types(y.dtype, np.float32)
        return self.shift.value.astype(wide) + self.scale.value.astype(wide) * y.astype(wide)


class Rescaled(eqx.Module):
    """A reader whose outputs are brought to other units: shift + scale * reader(weights).

    A regressor learns targets standardized, (t - mean) / std; with the mean as the shift and the deviation as the scale
    it gives them as they are. The features are the reader's own, and its head stays the head: `head_arrays` names the
    same arrays as for the reader alone.

    **Preserves**: whatever the reader is invariant to.

    Args:
        reader: any reader of this library, or another with `features` and `head`.
        units: a shift and a scale for each of its outputs.

    Example:
        >>> import jax
        >>> from wsjax.models import FlatMLP
        >>> from wsjax.symmetry import siren
        >>> spec = siren((2, 4, 1))
        >>> reader = FlatMLP(spec, 1, key=jax.random.key(0))
        >>> rescaled = Rescaled(reader, Units([20.0], [0.5]))
        >>> weights = spec.unflatten([jnp.ones(shape) for shape in spec.shapes])
        >>> bool(jnp.all(rescaled(weights) == 20 + 0.5 * reader(weights)))
        True
    """

    reader: Any
    units: Units

    def features(self, weights: Weights, *, key: Key | None = None, dropout_rate: Scalar = 0.0) -> Array:
        """The input of the reader's head for one network."""
        return self.reader.features(weights, key=key, dropout_rate=dropout_rate)

    def head(self, features: Array, *, key: Key | None = None, dropout_rate: Scalar = 0.0) -> Float[Array, " targets"]:
        """From features to targets in their own units."""
        return self.units(self.reader.head(features, key=key, dropout_rate=dropout_rate))

    def __call__(
        self, weights: Weights, *, key: Key | None = None, dropout_rate: Scalar = 0.0
    ) -> Float[Array, " targets"]:
        """Read one network; with a key, drop what the reader drops, at the given rate."""
        return self.units(applied(self.reader, weights, key, dropout_rate))


class TestTimeAugmentation(eqx.Module):
    """The output of a reader, averaged over copies of the network: (1 / n) sum over i of reader(transform(k_i,
    weights)).

    The keys k_i are the same for all networks, so that the output is a function of the network alone. With a transform
    that preserves the function, such as `augment.flip_signs`, the average over more copies is nearer to a reader that
    is invariant to that symmetry. What is averaged are the reader's outputs: of a classifier, logits.

    **Preserves**: what the reader preserves, where the transform commutes with it; nothing more exactly.

    Args:
        reader: of one network.
        transform: of one network, such as `augment.parse("flip_signs", symmetry)`.
        copies: how many.
        key: a typed key, from which those of all copies derive.

    Raises:
        ValueError: fewer than one copy.

    Source: test-time augmentation of images, Krizhevsky et al. 2012; over a group, Janossy pooling, arXiv 1811.01900,
    which averages over permutations.

    Example:
        >>> from wsjax import augment, networks
        >>> from wsjax.symmetry import siren
        >>> spec, w = siren((2, 4, 1)), networks.siren_init(jax.random.key(0), (2, 4, 1))
        >>> flips = augment.parse("flip_signs", spec)
        >>> reader = TestTimeAugmentation(lambda w, **_: w[0].kernel[0], flips, 64, key=jax.random.key(1))
        >>> bool(abs(reader(w)).max() < abs(w[0].kernel[0]).max())   # what changes with signs is averaged away
        True
    """

    __test__: ClassVar = False  # pytest collects classes by this name

    reader: Reader
    transform: Transform[Weights]
    key: Key
    copies: int = eqx.field(static=True)

    def __init__(self, reader: Reader, transform: Transform[Weights], copies: int, *, key: Key):
        check_number("copies", copies, low=1, integer=True)
        self.reader, self.transform, self.copies, self.key = reader, transform, copies, key

    def __call__(
        self, weights: Weights, *, key: Key | None = None, dropout_rate: Scalar = 0.0
    ) -> Float[Array, "*outputs"]:
        """Read one network; a key and a rate are passed on, the key split among the copies."""
        own = None if key is None else jax.random.split(key, self.copies)
        read = lambda k, dropping: applied(self.reader, self.transform(k, weights), dropping, dropout_rate)
        return jnp.mean(jax.vmap(read)(jax.random.split(self.key, self.copies), own), axis=0)


def computing_in(model: Model, dtype: str) -> Model:
    """A reader whose floating arrays are rounded to a dtype, which it then computes in.

    Take the gradient through it, and it arrives at the parameters as they were: kept and moved in float32, used in
    bfloat16. What a rounding would spoil stays as it is: modules whose class says `KEEPS_DTYPE = True`, which are the
    generators of learned inputs, at which networks are run in float32. Norms, the reader's normalizer, statistics and
    the units of targets compute in float32 and round once.

    **Preserves** what the reader preserves, to the accuracy of the dtype.

    Args:
        model: any reader.
        dtype: `"float32"` or `"bfloat16"`.

    Raises:
        ValueError: another dtype.

    Example:
        >>> from wsjax.models import FlatMLP
        >>> from wsjax.symmetry import siren
        >>> import jax.numpy as jnp
        >>> spec = siren((2, 4, 1))
        >>> reader = FlatMLP(spec, 3, key=jax.random.key(0))
        >>> weights = spec.unflatten([jnp.ones(shape) for shape in spec.shapes])
        >>> reader(weights).dtype, computing_in(reader, "bfloat16")(weights).dtype
        (dtype('float32'), dtype(bfloat16))
    """
    check_choice("dtype to compute in", dtype, DTYPES)
    rounded = np.dtype(dtype)
    return jax.tree.map(
        lambda node: node.astype(rounded) if eqx.is_inexact_array(node) else node, model, is_leaf=_keeps_dtype
    )


def _keeps_dtype(node: Any) -> bool:
    return getattr(type(node), "KEEPS_DTYPE", False)


def head_arrays(model: PyTree) -> PyTree:
    """A tree of bools: True for the arrays of a reader's head that an optimizer may touch, False for all else.

    The head is the field of that name. A reader whose `head` is a method names the fields that it reads in a class
    variable, `HEAD_FIELDS`. That of a `Rescaled` reader or a `Hybrid` is the reader's own.

    Args:
        model: a reader; or its trainable part, with None elsewhere.

    Raises:
        ValueError: a reader without these fields.

    Example:
        >>> import equinox as eqx
        >>> class Reader(eqx.Module):
        ...     trunk: jax.Array
        ...     head: jax.Array
        >>> head_arrays(Reader(jax.numpy.ones(2), jax.numpy.ones(3)))
        Reader(trunk=False, head=True)
    """
    if isinstance(model, Rescaled | Hybrid):
        return eqx.tree_at(lambda m: m.reader, jax.tree.map(lambda _: False, model), head_arrays(model.reader))
    names = getattr(type(model), "HEAD_FIELDS", ("head",))
    own = [field.name for field in fields(model)]
    missing = [name for name in names if name not in own]
    if missing:
        raise ValueError(
            f"{type(model).__name__} has the fields {listing(own)} and no {listing(missing)}; expected the head in a "
            f"field of its own: call it head, or name its fields in a class variable HEAD_FIELDS"
        )
    paths = jax.tree_util.tree_map_with_path(lambda path, _: path[0].name in names, model)
    return jax.tree.map(lambda leaf, in_head: in_head and eqx.is_inexact_array(leaf), model, paths)
