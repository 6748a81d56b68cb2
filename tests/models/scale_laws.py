"""What readers that are invariant to scales are held to, beside the kit: wide scales, zeros, and a mistake."""

from dataclasses import fields

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from wsjax.models.testing import check_gradients, gradients
from wsjax.models.testing.precise import generator, in_float64, network, read, to_float64
from wsjax.symmetry import Symmetry, act
from wsjax.symmetry.element import Element, Move

KEY = jax.random.key(6)


def pruned(weights):
    """Half of the weights exactly zero, and the first neuron of every layer with all that leads to it."""
    rng = np.random.default_rng(0)

    def prune(w):
        kept = np.where(rng.random(w.shape) < 0.5, w, 0)
        kept[..., 0] = 0
        return kept

    return jax.tree.map(prune, weights)


def dense_pruned_and_zero(symmetry: Symmetry) -> list:
    dense = network(symmetry, None, generator(KEY))
    return [dense, pruned(dense), jax.tree.map(np.zeros_like, dense)]


def widely_scaled(symmetry: Symmetry) -> Element:
    """Scales from a thousandth to a thousand."""
    rng = np.random.default_rng(1)
    scales = {n: 10 ** rng.uniform(-3, 3, g.size) for n, g in symmetry.groups.items() if g.allows("rescale")}
    return Element(symmetry, {name: Move(gain=scales.get(name)) for name in symmetry.groups})


def check_wide_scales(made, symmetry: Symmetry) -> None:
    """Scales from a thousandth to a thousand change nothing, of networks with zeros among their weights either."""
    with in_float64():
        reader, (dense, some, zeros) = to_float64(made), dense_pruned_and_zero(symmetry)
        moved = jax.jit(lambda weights: act(widely_scaled(symmetry), weights))
        for weights in (dense, some):
            still = np.asarray(read(reader, weights))
            assert np.abs(still - read(reader, zeros)).max() > 1e-3
            np.testing.assert_allclose(read(reader, moved(weights)), still, rtol=1e-10, atol=1e-10)


def check_uncoupled_phases(made, symmetry: Symmetry) -> None:
    """Of a sine neuron, parts of a shift or a sign change the output: a half turn or a sign without what they do to the
    weights that read the neuron, and a quarter turn with it.
    """
    half_turn = next(group.half_turn for group in symmetry.groups.values())
    with in_float64():
        reader, weights = to_float64(made), network(symmetry, None, generator(KEY))
        first, second, *rest = (layer._replace(kernel=layer.kernel.copy(), bias=layer.bias.copy()) for layer in weights)
        still = np.asarray(read(reader, weights))
        for turns, arriving, leaving in ((1, 1, 1), (0, -1, 1), (0, 1, -1), (0.5, 1, 1), (0.5, 1, -1)):
            kernel, bias, following = first.kernel.copy(), first.bias.copy(), second.kernel.copy()
            kernel[:, 0], bias[0], following[0] = arriving * kernel[:, 0], arriving * bias[0], leaving * following[0]
            bias[0] += turns * half_turn
            other = (first._replace(kernel=kernel, bias=bias), second._replace(kernel=following), *rest)
            assert np.abs(read(reader, other) - still).max() > 1e-6, (turns, arriving, leaving)


def check_weight_gradients(reader, symmetry: Symmetry, fraction: float) -> None:
    """A gradient reaches parameters and weights; it is finite where weights are zero, some or all.

    For one program of both, the weights are read beside others, which are parameters.
    """
    sums = lambda reader, others, weights: reader(jax.tree.map(jnp.add, others, weights))
    zeros = symmetry.unflatten([np.zeros(shape) for shape in symmetry.shapes])
    with in_float64():
        both = Partial(sums, *to_float64((reader, zeros)))
    assert check_gradients(both, symmetry, fraction=fraction, key=KEY) >= fraction
    with in_float64():
        varying, rest = eqx.partition(both, eqx.is_inexact_array)
        for weights in dense_pruned_and_zero(symmetry)[1:]:
            found = gradients._gradients(varying, rest, weights, np.asarray(1.0))
            assert all(np.isfinite(x).all() for x in jax.tree.leaves(found))


def along_the_weights(module):
    """The mistake of earlier code: messages backward go along the weights as they are, not along their reciprocals."""

    class AlongTheWeights(type(module)):
        def __init__(self):
            for field in fields(module):
                setattr(self, field.name, getattr(module, field.name))

        def _sizes(self, nodes, edges):
            ones = [jnp.ones(len(x), x.dtype) for x in nodes]
            return list(zip(ones, ones, strict=True))

    return AlongTheWeights()
