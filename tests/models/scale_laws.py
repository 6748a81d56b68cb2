"""What readers that are blind to scales are held to, beside the kit: wide scales, zeros, and a mistake."""

from dataclasses import fields

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from wsjax.models.testing import random_weights
from wsjax.models.testing.precise import in_float64, read, to_float64
from wsjax.symmetry import Element, Move, Symmetry, act


def pruned(weights, key):
    """Half of the weights exactly zero, and the first neuron of every layer with all that leads to it."""
    leaves, treedef = jax.tree.flatten(weights)
    kept = [jax.random.bernoulli(jax.random.fold_in(key, i), 0.5, w.shape) for i, w in enumerate(leaves)]
    return jax.tree.unflatten(
        treedef, [jnp.where(k, w, 0).at[..., 0].set(0) for k, w in zip(kept, leaves, strict=True)]
    )


def widely_scaled(symmetry: Symmetry, key) -> Element:
    """Scales from a thousandth to a thousand."""
    draw = lambda i, n: 10 ** jax.random.uniform(jax.random.fold_in(key, i), (n,), minval=-3.0, maxval=3.0)
    scales = {n: draw(i, g.size) for i, (n, g) in enumerate(symmetry.groups.items()) if g.allows("rescale")}
    return Element(symmetry, {name: Move(gain=scales.get(name)) for name in symmetry.groups})


def check_wide_scales(made, symmetry: Symmetry, getkey) -> None:
    """Scales from a thousandth to a thousand change nothing, of networks with zeros among their weights either."""
    with in_float64():
        reader, dense = to_float64(made), to_float64(random_weights(getkey(), symmetry))
        element = widely_scaled(symmetry, getkey())
        for weights in (dense, pruned(dense, getkey())):
            still = read(reader, weights)
            assert np.abs(still - read(reader, jax.tree.map(jnp.zeros_like, weights))).max() > 1e-3
            np.testing.assert_allclose(read(reader, act(element, weights)), still, rtol=1e-10, atol=1e-10)


def check_finite_slopes(reader, symmetry: Symmetry, getkey) -> None:
    """Gradients of parameters and weights are finite where weights are zero, some or all."""
    dense = random_weights(getkey(), symmetry)

    @eqx.filter_jit
    def slopes(reader, weights):
        total = lambda both: jnp.sum(both[0](both[1]) * jnp.arange(1.0, 4.0))
        return eqx.filter_grad(total)((reader, weights))

    for weights in (pruned(dense, getkey()), jax.tree.map(jnp.zeros_like, dense)):
        assert all(np.isfinite(x).all() for x in jax.tree.leaves(slopes(reader, weights)))


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
