"""SIREN (Sitzmann et al. 2020): init and apply for one network."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from wsjax.errors import check_choice, check_each
from wsjax.networks.sine import sine
from wsjax.symmetry.group import CONVENTIONS, Convention, frequencies
from wsjax.typing import Key, Layer, Points, Weights

Family: TypeAlias = Literal["dws", "nfn", "absorbed", "zero_output"]
FAMILIES: tuple[Family, ...] = ("dws", "nfn", "absorbed", "zero_output")
ABSORBED_W0 = 30.0
"""The frequency that the weights of the family `absorbed` hold."""


def siren_init(
    key: Key, widths: Sequence[int], *, w0: float | Sequence[float] = 30.0, family: Family = "dws"
) -> tuple[Layer, ...]:
    """Initial weights in one of the three families of published data sets, or in ours; they differ as distributions.

    | family | first kernel | hidden kernels | last kernel | hidden biases | last bias |
    |---|---|---|---|---|---|
    | `dws` | U(sqrt(6/in)/w0) | U(sqrt(6/in)/w0) | U(1/sqrt(in)) | 0 | U(1/sqrt(in)) |
    | `nfn` | U(1/in) | U(sqrt(6/in)/w0) | U(sqrt(6/in)/w0) | U(1/sqrt(in)) | U(1/sqrt(in)) |
    | `absorbed` | U(30/in) | U(sqrt(6/in)) | U(sqrt(6/in)/30) | U(30/sqrt(in)) | U(1/sqrt(in)) |
    | `zero_output` | U(sqrt(6/in)/w0) | U(sqrt(6/in)/w0) | 0 | 0 | 0 |

    with U(a) uniform on [-a, a] and `in` the layer's number of inputs; the last kernel of `nfn` takes the last
    hidden layer's w0. `absorbed` is `nfn` at w0 = 30 with sin(30 (x W + b)) written as sin(x W' + b'), W' = 30 W and
    b' = 30 b: from the same key both compute the same function. `data.fit` makes the optimizer's steps in W and b,
    as the published fits do, and stores W' and b'.

    Args:
        key, widths: a typed key, and the sizes from input to output.
        w0: one frequency, or one for each hidden layer; 1 for `"absorbed"`.
        family: `"dws"` (DWSNets: small first layer, output offset 0.5), `"nfn"` (NFN: SIREN's first layer, no offset),
            `"absorbed"` (SIREN's own initialization, its w0 = 30 in the weights, no offset), `"zero_output"` (ours: the
            constant 0 at first, so that less of the random initialization stays in fitted weights).

    Raises:
        ValueError: an unknown family, fewer than three widths or one below 1, another number of frequencies than hidden
            layers, or `"absorbed"` with another w0 than 1.

    Source: the code of arXiv 2301.12780 (which never marks its first layer as first) and of arXiv 2302.14040;
    `absorbed` is the code of "How Much of the Weight-Space Perception Gap Is Symmetry?"
    (github.com/ITheClixs/project-siren-gap, `fitting/batched.py`); docs/results.md has the measurements behind
    `zero_output`.

    Example:
        >>> import jax
        >>> w = jax.jit(siren_init, static_argnums=1)(jax.random.key(0), (2, 32, 32, 1))
        >>> float(abs(w[0].kernel).max()) < (6 / 2) ** 0.5 / 30
        True
    """
    check_choice("initialization family", family, FAMILIES)
    check_each("widths", widths, fewest=3)
    hidden = len(widths) - 2
    w0s = frequencies(w0, hidden)
    if family == "absorbed":
        check_absorbed(w0s)
        return absorb(siren_init(key, widths, w0=ABSORBED_W0, family="nfn"), ABSORBED_W0)
    layers = []
    for i, (fan_in, fan_out) in enumerate(pairwise(map(int, widths))):
        siren_bound = (6 / fan_in) ** 0.5 / w0s[min(i, hidden - 1)]
        kernel_bound, bias_bound = _bounds(family, fan_in, siren_bound, first=i == 0, last=i == hidden)
        kernel_key, bias_key = jax.random.split(jax.random.fold_in(key, i))
        kernel = jax.random.uniform(kernel_key, (fan_in, fan_out), minval=-kernel_bound, maxval=kernel_bound)
        layers.append(Layer(kernel, jax.random.uniform(bias_key, (fan_out,), minval=-bias_bound, maxval=bias_bound)))
    return tuple(layers)


def absorb(weights: Weights, w0: float | Sequence[float]) -> tuple[Layer, ...]:
    """The weights at w0 = 1 of the same function: sin(w0 (x W + b)) = sin(x W' + b'), W' = w0 W and b' = w0 b.

    **Preserves** the function, up to rounding; 1 / w0 takes the frequency out again.

    Args:
        weights: a tuple of `Layer`, of one network or stacked; the last layer, which has no sine, stays.
        w0: one frequency of the affine convention, or one for each hidden layer.

    Raises:
        ValueError: another number of frequencies than hidden layers.

    Example:
        >>> import jax
        >>> net = jax.eval_shape(lambda key: absorb(siren_init(key, (2, 8, 1)), 30.0), jax.random.key(0))
        >>> [layer.kernel.shape for layer in net]
        [(2, 8), (8, 1)]
    """
    *hidden, last = weights
    scaled = [Layer(w * a.kernel, w * a.bias) for a, w in zip(hidden, frequencies(w0, len(hidden)), strict=True)]
    return (*scaled, last)


def check_absorbed(w0s: Sequence[float]) -> None:
    """Raise ValueError where weights that hold their frequency would be multiplied by another than 1."""
    if any(w0 != 1 for w0 in w0s):
        raise ValueError(
            f"w0 is {tuple(w0s)}; the family 'absorbed' has its w0 in the weights: give w0=1, or take the family 'nfn'"
        )


def _bounds(family: Family, fan_in: int, siren_bound: float, *, first: bool, last: bool) -> tuple[float, float]:
    torch_bound = fan_in**-0.5
    if family == "nfn":
        return (1 / fan_in if first else siren_bound), torch_bound
    if not last:
        return siren_bound, 0.0
    return (torch_bound, torch_bound) if family == "dws" else (0.0, 0.0)


def siren_apply(
    weights: Weights,
    x: Points,
    *,
    w0: float | Sequence[float] = 30.0,
    offset: float = 0.0,
    convention: Convention = "affine",
) -> Float[Array, "points outputs"]:
    """sin(w0 (x W + b)) at every hidden layer, linear at the end, plus the output offset.

    Computed feature-major, (features, points), which is how small batched products run fastest.

    Args:
        weights, x: a tuple of `Layer`, and (points, inputs).
        w0: one frequency, or one for each hidden layer.
        offset: added to every output; 0.5 for the DWSNets family, whose pixels lie in [0, 1].
        convention: `"affine"` as above, `"kernel"` for sin(w0 x W + b).

    Raises:
        ValueError: another number of frequencies than hidden layers, or an unknown convention.

    Example:
        >>> import jax
        >>> w = jax.eval_shape(lambda key: siren_init(key, (2, 8, 8, 3), w0=10.0), jax.random.key(0))
        >>> jax.eval_shape(lambda w: siren_apply(w, jax.numpy.ones((5, 2)), w0=10.0, offset=0.5), w).shape
        (5, 3)
    """
    check_choice("w0 convention", convention, CONVENTIONS)
    *hidden, last = weights
    h = jnp.asarray(x).T
    for layer, w in zip(hidden, frequencies(w0, len(hidden)), strict=True):
        bias = jnp.asarray(layer.bias) * (w if convention == "affine" else 1.0)
        h = sine((w * jnp.asarray(layer.kernel)).T @ h + bias[:, None])
    return (jnp.asarray(last.kernel).T @ h + jnp.asarray(last.bias)[:, None]).T + offset
