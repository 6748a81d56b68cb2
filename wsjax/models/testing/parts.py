"""A reader is its head after its features, so that either can be used without the other."""

from collections.abc import Callable
from functools import partial

from jax.tree_util import Partial
from jaxtyping import PyTree

from wsjax.models.testing.precise import (
    Module,
    case,
    difference,
    generator,
    in_float64,
    network,
    read,
    same_program,
    to_float64,
)
from wsjax.symmetry import Symmetry
from wsjax.typing import Key, Weights

Evaluate = Callable[[Weights], PyTree]


def in_parts(reader: Module, weights: Weights) -> tuple[PyTree, PyTree]:
    """What the head makes of the features, and the features."""
    vector = reader.features(weights)  # type: ignore[attr-defined]
    return reader.head(vector), vector  # type: ignore[attr-defined]


def features_of(reader: Module, weights: Weights) -> PyTree:
    return reader.features(weights)  # type: ignore[attr-defined]


def evaluations(reader: Module, weights: Weights) -> tuple[Evaluate, Evaluate | None]:
    """How to read a network, and its features where a reader has them: in one program, where they are one."""
    if not callable(getattr(reader, "features", None)):
        return partial(read, reader), None
    both = Partial(in_parts, reader)
    if callable(getattr(reader, "head", None)) and same_program(reader, both, weights):
        return lambda w: read(both, w)[0], lambda w: read(both, w)[1]
    return partial(read, reader), partial(read, Partial(features_of, reader))


def check_parts(
    reader: Module, symmetry: Symmetry, weights: Weights | None = None, *, key: Key, tolerance: float | None = None
) -> float:
    """Prove that a reader is the composition of its parts: f(w) = f.head(f.features(w)).

    Arguments, and the difference returned, are as in `check_invariant`.

    Raises: AssertionError for a part that is missing, or with the output and the difference; ValueError for weights
    that do not fit the Symmetry.

    Example:
        >>> import jax
        >>> from wsjax.models import DWS
        >>> from wsjax.symmetry import siren
        >>> spec = siren((2, 4, 1))
        >>> reader = DWS(spec, 3, channels=2, layers=1, head=4, key=jax.random.key(0))
        >>> check_parts(reader, spec, key=jax.random.key(1)) < 1e-10
        True
    """
    missing = [name for name in ("features", "head") if not callable(getattr(reader, name, None))]
    if missing:
        raise AssertionError(
            f"the reader has no {' and no '.join(missing)}; expected `features(weights) -> vector` and "
            f"`head(vector) -> output`, of which the reader is the composition"
        )
    with in_float64():
        reader, weights = to_float64(reader), network(symmetry, weights, generator(key))
        if same_program(reader, Partial(in_parts, reader), weights):
            return 0.0
        one = case(reader, symmetry, weights, key)
        found, leaf = difference(read(Partial(in_parts, reader), weights)[0], one.output)
    allowed = one.allowed(tolerance)
    if not found <= allowed:
        raise AssertionError(
            f"head(features(weights)) differs from the reader in {leaf} by {found:.2g} of its root mean square; "
            f"expected at most {allowed:.2g}, computed in {one.dtype}. Let the reader call its own parts "
            f"and do nothing besides."
        )
    return found
