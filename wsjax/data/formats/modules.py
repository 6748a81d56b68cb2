"""Our SIRENs and MLPs as modules of other frameworks, with one network's weights in them."""

from typing import Any

import equinox as eqx
import flax.linen as nn
import jax
from jaxtyping import Array

from wsjax.networks import ACTIVATIONS, Network
from wsjax.typing import Layer, Weights


class FlaxNetwork(nn.Module):
    """A `Network` of `nn.Dense` layers, `Dense_0` the first; its variables' kernels are (in, out), as ours are."""

    network: Network

    @nn.compact
    def __call__(self, x: Array) -> Array:
        *hidden, last = self.network.widths[1:]
        for i, width in enumerate(hidden):
            before, after = self.network.scales(i)
            x = _activation(self.network)(after * nn.Dense(width, name=f"Dense_{i}")(before * x))
        return nn.Dense(last, name=f"Dense_{len(hidden)}")(x) + self.network.offset


def to_flax(network: Network, weights: Weights) -> tuple[FlaxNetwork, dict[str, Any]]:
    """A Flax module that computes what one network does, and its variables.

    Args:
        network: that of the metadata.
        weights: of one network.

    Raises:
        ValueError: weights of another architecture.

    Example:
        `networks` is a data set of 40 SIRENs.

        >>> net, weights, x = networks.metadata.network, networks.network(0), jax.numpy.ones((3, 2))
        >>> module, variables = to_flax(net, weights)
        >>> bool(jax.numpy.allclose(jax.jit(module.apply)(variables, x), jax.jit(net.apply)(weights, x), atol=1e-6))
        True
    """
    layers = _layers(network, weights)
    params = {f"Dense_{i}": {"kernel": layer.kernel, "bias": layer.bias} for i, layer in enumerate(layers)}
    return FlaxNetwork(network), {"params": params}


def to_equinox(network: Network, weights: Weights) -> eqx.nn.Sequential:
    """An Equinox module that computes what one network does at one point, (inputs,) to (outputs,): `eqx.nn.Linear`
    layers, whose weights are (out, in), with the activation, w0 and the offset between and behind them.

    Args:
        network: that of the metadata.
        weights: of one network.

    Raises:
        ValueError: weights of another architecture.

    Example:
        `networks` is a data set of 40 SIRENs.

        >>> net, weights, x = networks.metadata.network, networks.network(0), jax.numpy.ones((3, 2))
        >>> found = jax.jit(jax.vmap(to_equinox(net, weights)))(x)
        >>> bool(jax.numpy.allclose(found, jax.jit(net.apply)(weights, x), atol=1e-6))
        True
    """
    parts: list[Any] = []
    layers = _layers(network, weights)
    for i, layer in enumerate(layers):
        empty = eqx.nn.Linear(*layer.kernel.shape, key=jax.random.key(0))
        linear = eqx.tree_at(lambda one: (one.weight, one.bias), empty, (layer.kernel.T, layer.bias))
        if i == len(layers) - 1:
            parts += [linear, eqx.nn.Lambda(lambda x: x + network.offset)]
        else:
            before, after = network.scales(i)
            activate = lambda x, after=after: _activation(network)(after * x)
            parts += [eqx.nn.Lambda(lambda x, before=before: before * x), linear, eqx.nn.Lambda(activate)]
    return eqx.nn.Sequential(parts)


def _layers(network: Network, weights: Weights) -> tuple[Layer, ...]:
    symmetry = network.symmetry
    return symmetry.unflatten(symmetry.leaves(weights))


def _activation(network: Network) -> Any:
    return ACTIVATIONS["sine" if network.kind == "siren" else network.activation]
