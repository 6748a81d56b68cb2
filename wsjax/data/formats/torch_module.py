"""One network as a PyTorch module."""

from typing import Any

import numpy as np

from wsjax.data.formats.dense import weight_from_kernel
from wsjax.data.optional import require
from wsjax.networks import Network
from wsjax.typing import Weights


def to_torch(network: Network, weights: Weights) -> Any:
    """A `torch.nn.Module` that computes what one network does, (points, inputs) to (points, outputs).

    Its layers are `torch.nn.Linear`, `layers.0` the first, so that its state dict has (out, in) weights. The
    activation, w0 and the offset are between and after them.

    Args:
        network: the architecture, as a data set's metadata names it.
        weights: of one network.

    Raises:
        ValueError: weights of another architecture.
        ImportError: PyTorch is not installed.

    Example:
        `networks` is a data set of 40 SIRENs.

        >>> import jax, torch
        >>> net, weights, x = networks.metadata.network, networks.network(0), np.ones((3, 2), np.float32)
        >>> found = to_torch(net, weights)(torch.from_numpy(x)).detach().numpy()
        >>> bool(np.allclose(found, jax.jit(net.apply)(weights, x), atol=1e-5))
        True
    """
    torch = require("torch", "to_torch")
    symmetry = network.symmetry
    layers = symmetry.unflatten(symmetry.leaves(weights))
    activation = _activation(torch, network)

    class Module(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = torch.nn.ModuleList(_linear(torch, layer) for layer in layers)

        def forward(self, x: Any) -> Any:
            *hidden, last = self.layers
            for i, layer in enumerate(hidden):
                before, after = network.scales(i)
                x = activation(after * layer(before * x))
            return last(x) + network.offset

    return Module()


def _linear(torch: Any, layer: Any) -> Any:
    inputs, outputs = layer.kernel.shape
    linear = torch.nn.Linear(inputs, outputs)
    with torch.no_grad():
        linear.weight.copy_(torch.tensor(weight_from_kernel(np.asarray(layer.kernel))))
        linear.bias.copy_(torch.tensor(np.asarray(layer.bias)))
    return linear


def _activation(torch: Any, network: Network) -> Any:
    """The function of the same values; JAX's GELU is the approximation by tanh."""
    functional = torch.nn.functional
    return {
        "relu": torch.relu,
        "leaky_relu": functional.leaky_relu,
        "tanh": torch.tanh,
        "sine": torch.sin,
        "gelu": lambda x: functional.gelu(x, approximate="tanh"),
        "silu": functional.silu,
        "linear": lambda x: x,
    }[network.activation]
