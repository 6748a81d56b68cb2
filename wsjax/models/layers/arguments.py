"""The check of what every reader is made for: a Symmetry or a network, a number of outputs, a normalizer."""

from collections.abc import Sized
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Array

from wsjax.errors import check_sizes
from wsjax.symmetry import Symmetry
from wsjax.typing import Weights


@runtime_checkable
class Runnable(Protocol):
    """The part of a network that a probing reader uses; `wsjax.networks.Network` has it."""

    @property
    def widths(self) -> tuple[int, ...]: ...

    def apply(self, weights: Weights, points: Array, /) -> Array: ...


def check_arguments(
    given: Any, kinds: type | tuple[type, ...], out_size: Any, normalizer: Any = None, **sizes: int
) -> None:
    """Check the arguments that constructors of readers share.

    Args:
        given: `symmetry` where `kinds` has Symmetry, else `network`.
        kinds: the types that the reader takes there.
        out_size: the number of outputs.
        normalizer: of the reader; None where it has none.
        sizes: settings that are integers of at least 1.

    Raises:
        TypeError: an argument of another type, with the attribute of a data set that is of the right one.
        ValueError: `out_size` or a size that is no integer of at least 1.

    Example:
        >>> check_arguments({"mean": 0.0}, Symmetry, 10)
        Traceback (most recent call last):
        TypeError: symmetry is a dict; expected a Symmetry: pass dataset.symmetry
    """
    kinds = kinds if isinstance(kinds, tuple) else (kinds,)
    if not isinstance(given, kinds):
        name, way_out = "symmetry", "pass dataset.symmetry"
        if Symmetry not in kinds:
            name, way_out = "network", "pass dataset.metadata.network, or where that is None a network of your own"
        found = "None" if given is None else f"a {type(given).__name__}"
        runs = {Runnable: "network that runs, with `widths` and `apply`"}
        expected = " or ".join(f"a {runs.get(kind, kind.__name__)}" for kind in kinds)
        raise TypeError(f"{name} is {found}; expected {expected}: {way_out}")
    if normalizer is not None and not (callable(normalizer) and isinstance(normalizer, Sized)):
        raise TypeError(
            f"normalizer is a {type(normalizer).__name__}; expected a Normalizer or None: pass dataset.normalizer()"
        )
    check_sizes(out_size=out_size, **sizes)
