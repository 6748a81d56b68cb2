"""Inputs and outputs that permute like neurons, and the IO encoding that distinguishes them again."""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from wsjax.models.layers.draws import EMBEDDING, normal
from wsjax.models.layers.feature_layout import features
from wsjax.symmetry import Fixed, Group, Symmetry
from wsjax.typing import Key

ENCODINGS = ("none", "sinusoidal", "learned")
"""What may distinguish inputs and outputs where they permute."""

FREQUENCIES, HIGHEST = 6, 10.0
"""Frequencies of the sinusoidal encoding, and twice the highest of them in half turns for each unit."""


def permutable_io(symmetry: Symmetry) -> Symmetry:
    """The Symmetry whose inputs and outputs permute too: the group of an NP layer.

    Axes with the role "input" or "output" become groups. One of size one stays fixed: there is nothing to permute, so
    no map is lost. Positions inside a network (in a convolution's kernel, of pixels before a dense layer) stay fixed.

    Source: the neuron permutation group of arXiv 2302.14040, section 2.
    """

    def permutable(dimension: Group | Fixed) -> Group | Fixed:
        if isinstance(dimension, Group) or dimension.role == "internal" or dimension.size == 1:
            return dimension
        return Group(dimension.size, dimension.role)

    return replace(symmetry, dimensions=tuple((name, permutable(d)) for name, d in symmetry.dimensions))


def sinusoids(size: int) -> Float[np.ndarray, "{size} features"]:
    """An encoding of each place along an axis: x from -1 to 1, and sines and cosines of x at frequencies up to 5 pi."""
    x = np.linspace(-1, 1, size)[:, None]
    angles = np.pi * np.linspace(1, HIGHEST / 2, FREQUENCIES)[None, :] * x
    return np.concatenate([np.sin(angles), np.cos(angles), x], axis=1)


class IOEncoding(eqx.Module):
    """Adds an encoding of each input and each output of a network to features, where a reader lets them permute.

        x[..., i, ...] + s[i] @ K     along every axis of inputs or outputs, for each array that has one

    with s = `sinusoids(size)`, or x[..., i, ...] + K[i], `"learned"`. Added after a linear layer it is what further
    channels of that layer's input, or a learned position added to its input, become in its output: both are constant
    along all other axes, so every other path of them ends in a constant, which the layer's biases hold.

    **Preserves** equivariance under permutations of neurons. It takes away that of inputs and outputs, as it should.

    `symmetry` has its inputs and outputs fixed; `widths` are the channels of each feature of `permutable_io(symmetry)`;
    `kind` is one of `ENCODINGS`, but not `"none"`.

    Source: arXiv 2302.14040, appendix, whose code gives arrays without inputs and outputs channels of zeros, gives a
    convolution's last layer the encoding of the inputs, and adds learned positions before every layer. An encoding of
    the layer's number, an option there, is what the bias of each array learns here.
    """

    kernels: tuple[Array, ...]
    places: tuple[tuple[int, int], ...] = eqx.field(static=True)
    kind: str = eqx.field(static=True)

    def __init__(self, symmetry: Symmetry, widths: tuple[int, ...], kind: str, *, key: Key):
        spec, sizes = features(permutable_io(symmetry)), symmetry.sizes
        found = [(f, axis, name) for f, feature in enumerate(spec) for axis, name in enumerate(feature.groups)]
        found_io = [(f, axis, sizes[name]) for f, axis, name in found if name in symmetry.fixed]
        rows = sinusoids(2).shape[1]

        def initial(i: int, feature: int, size: int) -> Array:
            shape = (size if kind == "learned" else rows, widths[feature])
            return normal(jax.random.fold_in(key, i), shape, EMBEDDING if kind == "learned" else rows**-0.5)

        self.kernels = tuple(initial(i, f, size) for i, (f, _, size) in enumerate(found_io))
        self.places, self.kind = tuple((f, axis) for f, axis, _ in found_io), kind

    def __call__(self, xs: list[Array]) -> list[Array]:
        """Features of one network, each (*groups, channels), with the encodings added."""
        out = list(xs)
        for kernel, (f, axis) in zip(self.kernels, self.places, strict=True):
            x, learned = out[f], self.kind == "learned"
            along = kernel if learned else jnp.asarray(sinusoids(x.shape[axis]), kernel.dtype) @ kernel
            out[f] = x + jnp.expand_dims(along, [i for i in range(x.ndim - 1) if i != axis])
        return out
