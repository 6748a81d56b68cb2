"""Which arrays of a reader are its head's."""

from dataclasses import fields

import equinox as eqx
import jax
from jaxtyping import PyTree

from wsjax.errors import listing
from wsjax.models.build import trainable
from wsjax.models.hybrid import Hybrid
from wsjax.models.rescaled import Rescaled


def head_arrays(model: PyTree) -> PyTree:
    """A tree of bools: True for the arrays of a reader's head that an optimiser may touch, False for all else.

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
    return jax.tree.map(lambda may, in_head: may and in_head, trainable(model), paths)
