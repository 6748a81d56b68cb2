"""Readers made of readers: other units, test-time augmentation, another dtype; and the arrays of a reader's head."""

import inspect
from collections.abc import Sequence
from typing import Any, ClassVar, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, PyTree

from wsjax.errors import check_choice, check_number, listing
from wsjax.models.layers.normalizer import Constant
from wsjax.models.layers.stack import Vector
from wsjax.models.readers.hybrid import Hybrid
from wsjax.typing import Key, Reader, Scalar, Transform, Weights

Model = TypeVar("Model")

DTYPES = ("float32", "bfloat16")
"""What readers compute in; float16's range is too small for their gradients."""


def applied(model: Reader, weights: Weights, key: Key | None, dropout_rate: Scalar) -> Array:
    """A model's outputs for one network; `key=` and `dropout_rate=` go to a model whose signature has them."""
    settings = {"key": key, "dropout_rate": dropout_rate}
    return model(weights, **{name: value for name, value in settings.items() if name in takes(model)})


def takes(model: Reader) -> set[str]:
    """Which of `key` and `dropout_rate` a model takes beside the weights."""
    parameters = inspect.signature(model).parameters.values()
    every = any(p.kind is p.VAR_KEYWORD for p in parameters)
    return {name for name in ("key", "dropout_rate") if every or name in {p.name for p in parameters}}


class Units(eqx.Module):
    """shift + scale * y: from standardized numbers to those of a target, one shift and one scale for each.

    They belong to the training split, and no optimizer changes them (`Constant`). The result is float32 at least.
    """

    shift: Constant
    scale: Constant

    def __init__(self, shift: Sequence[float] | ArrayLike, scale: Sequence[float] | ArrayLike):
        self.shift, self.scale = Constant(shift), Constant(scale)

    def __call__(self, y: Vector) -> Vector:
        wide = np.promote_types(y.dtype, np.float32)
        return self.shift.value.astype(wide) + self.scale.value.astype(wide) * y.astype(wide)


class Rescaled(eqx.Module):
    """A reader whose outputs are brought to other units: shift + scale * reader(weights).

    A regressor learns targets standardized, (t - mean) / std; with the mean as the shift and the deviation as the scale
    it gives them as they are. Features are the reader's, and so are the arrays of the head.
    """

    reader: Any
    units: Units

    def features(self, weights: Weights, *, key: Key | None = None, dropout_rate: Scalar = 0.0) -> Array:
        """The input of the reader's head for one network."""
        return self.reader.features(weights, key=key, dropout_rate=dropout_rate)

    def head(self, features: Array, *, key: Key | None = None, dropout_rate: Scalar = 0.0) -> Vector:
        """From features to targets in their own units."""
        return self.units(self.reader.head(features, key=key, dropout_rate=dropout_rate))

    def __call__(self, weights: Weights, *, key: Key | None = None, dropout_rate: Scalar = 0.0) -> Vector:
        """Read one network; with a key, drop what the reader drops, at the given rate."""
        return self.units(applied(self.reader, weights, key, dropout_rate))


class TestTimeAugmentation(eqx.Module):
    """A reader's outputs (of a classifier, logits) averaged over augmented copies of the network:

        (1 / copies) sum over i of reader(transform(k_i, weights))

    The keys k_i derive from `key` and are the same for all networks, so that the output is a function of the network
    alone. With a transform that preserves the function, such as `augment.parse("flip_signs", symmetry)`, the average
    over more copies is nearer to a reader that is invariant to that symmetry.

    **Preserves**: what the reader preserves, where the transform commutes with it; nothing more exactly.

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
        self.reader, self.transform, self.copies, self.key = reader, transform, int(copies), key

    def __call__(self, weights: Weights, *, key: Key | None = None, dropout_rate: Scalar = 0.0) -> Array:
        """Read one network; a key and a rate are passed on, the key split among the copies."""
        dropout_keys = None if key is None else jax.random.split(key, self.copies)
        read = lambda k, dropout_key: applied(self.reader, self.transform(k, weights), dropout_key, dropout_rate)
        return jnp.mean(jax.vmap(read)(jax.random.split(self.key, self.copies), dropout_keys), axis=0)


def computing_in(model: Model, dtype: str) -> Model:
    """A reader whose floating arrays are rounded to `"float32"` or `"bfloat16"`, which it then computes in.

    A gradient through it arrives at the parameters as they were: kept and moved in float32, used in bfloat16. Modules
    whose class says `KEEPS_DTYPE = True` stay as they are: the generators of learned inputs, at which networks are run
    in float32. Norms, the normalizer, statistics and the units of targets compute in float32 and round once.
    """
    check_choice("dtype to compute in", dtype, DTYPES)
    rounded = np.dtype(dtype)
    keeps_dtype = lambda node: getattr(type(node), "KEEPS_DTYPE", False)
    return jax.tree.map(
        lambda node: node.astype(rounded) if eqx.is_inexact_array(node) else node, model, is_leaf=keeps_dtype
    )


def head_arrays(model: PyTree) -> PyTree:
    """A tree of bools: True for the arrays of a reader's head that an optimizer may touch, False for all else.

    The head is the field of that name; that of a `Rescaled` reader or a `Hybrid` is the reader's own. `model` may also
    be the trainable part, with None elsewhere. Raises ValueError where there is no such field.
    """
    if isinstance(model, Rescaled | Hybrid):
        return eqx.tree_at(lambda m: m.reader, jax.tree.map(lambda _: False, model), head_arrays(model.reader))
    names = list(getattr(model, "__dataclass_fields__", ()))
    if "head" not in names:
        raise ValueError(
            f"{type(model).__name__} has the fields {listing(names) or 'none'} and no head; expected the head in a "
            f"field of that name"
        )
    in_head = lambda path, leaf: path[0].name == "head" and eqx.is_inexact_array(leaf)
    return jax.tree_util.tree_map_with_path(in_head, model)
