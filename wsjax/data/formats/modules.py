"""Our SIRENs and MLPs as modules of Flax, Equinox and PyTorch, with one network's weights in them."""

from typing import Any

import equinox as eqx
import flax.linen as nn
import jax
import numpy as np
from jaxtyping import Array

from wsjax.data.formats.contents import weight_from_kernel
from wsjax.data.formats.torch_file import as_tensor
from wsjax.data.optional import require
from wsjax.networks import Network
from wsjax.networks.mlp import ACTIVATIONS
from wsjax.typing import Layer, Weights


class FlaxNetwork(nn.Module):
    """A `Network` of `nn.Dense` layers, `Dense_0` the first; its variables' kernels are (in, out), as ours are."""

    network: Network

    @nn.compact
    def __call__(self, x: Array) -> Array:
        *hidden, last = self.network.widths[1:]
        for i, width in enumerate(hidden):
            before, after = self.network.scales(i)
            x = ACTIVATIONS[self.network.activation](after * nn.Dense(width, name=f"Dense_{i}")(before * x))
        return nn.Dense(last, name=f"Dense_{len(hidden)}")(x) + self.network.offset


def to_flax(network: Network, weights: Weights) -> tuple[FlaxNetwork, dict[str, Any]]:
    """A Flax module that computes what the network of some metadata does with one network's weights; its variables.

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
    """An Equinox module that computes what the network of some metadata does with one network's weights.

    It takes one point, (inputs,) to (outputs,): `eqx.nn.Linear` layers, whose weights are (out, in), with the
    activation, w0 and the offset between and behind them.

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
    *hidden, last = (_linear(layer) for layer in _layers(network, weights))
    for i, linear in enumerate(hidden):
        before, after = network.scales(i)
        activate = lambda x, after=after: ACTIVATIONS[network.activation](after * x)
        parts += [eqx.nn.Lambda(lambda x, before=before: before * x), linear, eqx.nn.Lambda(activate)]
    return eqx.nn.Sequential([*parts, last, eqx.nn.Lambda(lambda x: x + network.offset)])


def to_torch(network: Network, weights: Weights) -> Any:
    """A `torch.nn.Module` that computes what the network of some metadata does with one network's weights.

    It takes (points, inputs) to (points, outputs) in float32. Its layers are `torch.nn.Linear`, `layers.0` the first,
    so that its state dict has (out, in) weights; the activation, w0 and the offset are between and after them.

    Raises:
        ValueError: weights of another architecture. ImportError: PyTorch is not installed.

    Example:
        `networks` is a data set of 40 SIRENs.

        >>> import torch
        >>> net, weights, x = networks.metadata.network, networks.network(0), np.ones((3, 2), np.float32)
        >>> found = to_torch(net, weights)(torch.from_numpy(x)).detach().numpy()
        >>> bool(np.allclose(found, jax.jit(net.apply)(weights, x), atol=1e-5))
        True
    """
    torch = require("torch", "to_torch")
    functional = torch.nn.functional
    activation = {
        "relu": torch.relu,
        "leaky_relu": functional.leaky_relu,
        "tanh": torch.tanh,
        "sine": torch.sin,
        "gelu": lambda x: functional.gelu(x, approximate="tanh"),  # as JAX's GELU is
        "silu": functional.silu,
        "linear": lambda x: x,
    }[network.activation]

    class Module(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            linears = []
            for layer in _layers(network, weights):
                linear = torch.nn.utils.skip_init(torch.nn.Linear, *layer.kernel.shape)
                with torch.no_grad():
                    linear.weight.copy_(as_tensor(torch, weight_from_kernel(np.asarray(layer.kernel))))
                    linear.bias.copy_(as_tensor(torch, np.asarray(layer.bias)))
                linears.append(linear)
            self.layers = torch.nn.ModuleList(linears)

        def forward(self, x: Any) -> Any:
            *hidden, last = self.layers
            for i, layer in enumerate(hidden):
                before, after = network.scales(i)
                x = activation(after * layer(before * x))
            return last(x) + network.offset

    return Module()


def _layers(network: Network, weights: Weights) -> tuple[Layer, ...]:
    return network.symmetry.unflatten(network.symmetry.leaves(weights))


def _linear(layer: Layer) -> eqx.nn.Linear:
    empty = eqx.nn.Linear(*layer.kernel.shape, key=jax.random.key(0))
    return eqx.tree_at(lambda one: (one.weight, one.bias), empty, (layer.kernel.T, layer.bias))
