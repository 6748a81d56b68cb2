"""Ready descriptions of the common small networks."""

from collections.abc import Sequence

import numpy as np

from wsjax.errors import check_number
from wsjax.symmetry.axes import Axes
from wsjax.symmetry.group import Convention, Fixed, Group
from wsjax.symmetry.spec import Symmetry, symmetry_of
from wsjax.typing import Layer


def mlp(widths: Sequence[int], activation: str = "relu") -> Symmetry:
    """The symmetries of a dense network with one activation at every hidden layer and a linear last layer.

    Weights are a tuple of `Layer(kernel (in, out), bias (out,))`. Hidden groups are `h1`, `h2`, ...; the fixed
    axes are `in` and `out`.

    Args:
        widths: sizes from input to output, `(2, 32, 32, 1)`.
        activation: `relu`, `leaky_relu`, `tanh`, `sine`, or any other name, which allows permutations only.

    Example:
        >>> mlp((2, 8, 8, 1), "tanh")
        Symmetry(h1: 8 tanh (permute/sign), h2: 8 tanh (permute/sign))
    """
    return _chain(widths, [Group(n, activation) for n in widths[1:-1]])


def siren(widths: Sequence[int], w0: float | Sequence[float] = 30.0, convention: Convention = "affine") -> Symmetry:
    """The symmetries of a SIREN, sin(w0 (x W + b)) at every hidden layer and a linear last layer.

    Args:
        widths: sizes from input to output, `(2, 32, 32, 1)`.
        w0: one frequency, or one for each hidden layer.
        convention: `"affine"` for sin(w0 (x W + b)), `"kernel"` for sin(w0 x W + b).

    Raises:
        ValueError: another number of frequencies than hidden layers.

    Source: Sitzmann et al. 2020 (arXiv 2006.09661) for the network; signs and phases as in arXiv 2402.04081,
    whose code holds one w0 = 30 for all layers.

    Example:
        >>> siren((2, 8, 1), w0=10.0)
        Symmetry(h1: 8 sine (permute/sign/phase))
    """
    frequencies = [float(w) for w in np.broadcast_to(w0, np.shape(w0) or len(widths) - 2)]
    if len(frequencies) != len(widths) - 2:
        raise ValueError(
            f"w0 has {len(frequencies)} values; widths {tuple(widths)} have {len(widths) - 2} hidden layers"
        )
    return _chain(widths, [Group(n, "sine", w, convention) for n, w in zip(widths[1:-1], frequencies, strict=True)])


def _chain(widths: Sequence[int], groups: list[Group]) -> Symmetry:
    check_number("number of widths", len(widths), low=3)
    hidden = [f"h{i + 1}" for i in range(len(groups))]
    consumed = ["in", *(f"{h}*" for h in hidden)]
    produced = [*hidden, "out"]
    layers = tuple(Layer(Axes(a, b), Axes(b, bias=True)) for a, b in zip(consumed, produced, strict=True))
    dimensions = {"in": Fixed(widths[0], "input"), **dict(zip(hidden, groups, strict=True))}
    return symmetry_of(layers, {**dimensions, "out": Fixed(widths[-1], "output")})
