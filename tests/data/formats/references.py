"""Networks with weights by a formula, and what PyTorch 2.13 computes with them: `OUTPUTS`, from `references.json`.

`python -m tests.data.formats.references` prints them anew. Each convolutional architecture is written twice: in
`cnn_in_torch` as its zoo's own code has it, and in `FUNCTIONS` for JAX, on what the readers give.
"""

import json
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

OUTPUTS: dict[str, list[float]] = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
"""By "widths activation number" the values of a dense network at `POINTS`, without an offset, row by row; by
"architecture activation number" the ten outputs of a convolutional network for the first image."""

POINTS = np.array([[-1.0, -1.0], [0.25, -0.5], [0.0, 0.75], [1.0, 1.0]], np.float32)
DWS_WIDTHS, COLOR_WIDTHS, DEEP_WIDTHS = (2, 32, 32, 1), (2, 32, 32, 3), (2, *[3] * 10, 1)


def wave(shape: tuple[int, ...], scale: float, phase: float) -> np.ndarray:
    """A float32 array that looks random and is the same everywhere."""
    steps = np.arange(np.prod(shape, dtype=int))
    return (scale * np.sin(1.7 * steps + 0.3 * np.sqrt(steps) + phase)).astype(np.float32).reshape(shape)


IMAGES = {
    "zoo": wave((2, 1, 16, 16), 1.0, 0.2),
    "hsg": wave((2, 1, 28, 28), 1.0, 0.4),
    "hsg large": wave((2, 3, 32, 32), 1.0, 0.6),
    "park": wave((2, 3, 8, 8), 1.0, 0.8),
}
"""By architecture, as PyTorch takes them: (images, channels, rows, columns)."""
SHAPES = {
    "zoo": [(16, 1, 3, 3), (16, 16, 3, 3), (16, 16, 3, 3), (10, 16)],
    "hsg": [(8, 1, 5, 5), (6, 8, 5, 5), (4, 6, 2, 2), (20, 36), (10, 20)],
    "hsg large": [(16, 3, 3, 3), (32, 16, 3, 3), (15, 32, 3, 3), (20, 60), (10, 20)],
    "park": [(8, 3, 3, 3), (4, 8, 5, 5), (16, 4, 3, 3), (8, 16, 3, 3), (10, 8)],
}
"""By architecture, the weights as PyTorch has them."""
PARK = {"residual": [-1, -1, 0, 1], "activation": ["tanh", "relu", "tanh", "leaky_relu"], "stride": [1, 1, 1, 1]}
"""Layer 2 adds the output of layer 0 to its first 8 channels, layer 3 that of layer 1 to its first 4."""


def dense_state(names: Sequence[str], widths: tuple[int, ...], number: int = 0) -> dict[str, np.ndarray]:
    """SIREN `number` as a PyTorch state dict of arrays: weights (out, in)."""
    state = {}
    for i, (name, (fan_in, fan_out)) in enumerate(zip(names, pairwise(widths), strict=True)):
        scale = 0.06 if not i else 0.18 if i == len(names) - 1 else 0.014
        state[f"{name}.weight"] = wave((fan_out, fan_in), scale, i + 0.7 * number)
        state[f"{name}.bias"] = wave((fan_out,), 0.1 if i == len(names) - 1 else 0.01, 10 + i + 0.7 * number)
    return state


def mlp_state(names: Sequence[str], widths: tuple[int, ...], number: int = 0) -> dict[str, np.ndarray]:
    """The same for an MLP: its biases lift most sums above zero, or a deep ReLU network would be constant."""
    state = {}
    for i, (name, (fan_in, fan_out)) in enumerate(zip(names, pairwise(widths), strict=True)):
        state[f"{name}.weight"] = wave((fan_out, fan_in), 1.5 / np.sqrt(fan_in), i + 0.7 * number)
        state[f"{name}.bias"] = 0.8 + wave((fan_out,), 0.3, 10 + i + 0.7 * number)
    return state


def cnn_state(architecture: str, names: Sequence[str], number: int = 0) -> dict[str, np.ndarray]:
    """The same for a convolutional network."""
    state = {}
    for i, (name, shape) in enumerate(zip(names, SHAPES[architecture], strict=True)):
        state[f"{name}.weight"] = wave(shape, 1.4 / np.prod(shape[1:]) ** 0.5, 2 * i + 0.7 * number)
        state[f"{name}.bias"] = wave(shape[:1], 0.3, 11 + i + 0.7 * number)
    return state


ACTIVATIONS = {"relu": jax.nn.relu, "tanh": jnp.tanh, "leaky_relu": jax.nn.leaky_relu}


def convolve(layer: Any, x: jax.Array, stride: int = 1, padding: str = "VALID") -> jax.Array:
    dimensions = ("NHWC", "HWIO", "NHWC")
    out = jax.lax.conv_general_dilated(x, layer.kernel, (stride, stride), padding, dimension_numbers=dimensions)
    return out + layer.bias[None, None, None, :]


def pool(x: jax.Array) -> jax.Array:
    return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")


def linear(layer: Any, x: jax.Array) -> jax.Array:
    return x @ layer.kernel + layer.bias[None, :]


def zoo(weights: Any, x: jax.Array, activation: str) -> jax.Array:
    for layer in weights[:3]:
        x = ACTIVATIONS[activation](convolve(layer, x, stride=2))
    return linear(weights[3], x.mean((1, 2)))


def hsg(weights: Any, x: jax.Array, activation: str, *, last_pooled: bool = False) -> jax.Array:
    act = ACTIVATIONS[activation]
    for i, layer in enumerate(weights[:3]):
        x = convolve(layer, x)
        x = act(pool(x) if i < 2 or last_pooled else x)
    return linear(weights[4], act(linear(weights[3], x.reshape(len(x), -1))))


def park(weights: Any, x: jax.Array, activation: str) -> jax.Array:
    del activation
    outputs: list[jax.Array] = []
    for layer, source, name in zip(weights[:-1], PARK["residual"], PARK["activation"], strict=True):
        x = convolve(layer, x, padding="SAME")
        if source > -1:
            shared = min(x.shape[-1], outputs[source].shape[-1])
            x = x.at[..., :shared].add(outputs[source][..., :shared])
        x = ACTIVATIONS[name](x)
        outputs.append(x)
    return linear(weights[-1], x.mean((1, 2)))


FUNCTIONS: dict[str, Callable[..., jax.Array]] = {
    "zoo": zoo,
    "hsg": hsg,
    "hsg large": partial(hsg, last_pooled=True),
    "park": park,
}


def cnn_in_torch(architecture: str, activation: str, number: int) -> list[float]:
    """The first image's ten outputs, by PyTorch."""
    import torch
    from torch.nn import functional as F

    functions: dict[str, Callable] = {"relu": F.relu, "tanh": torch.tanh, "leaky_relu": F.leaky_relu}
    state = cnn_state(architecture, [str(i) for i in range(len(SHAPES[architecture]))], number)
    layers = [(torch.tensor(state[f"{i}.weight"]), torch.tensor(state[f"{i}.bias"])) for i in range(len(state) // 2)]
    x, act = torch.tensor(IMAGES[architecture]), functions.get(activation, F.relu)
    if architecture == "zoo":
        for weight, bias in layers[:3]:
            x = act(F.conv2d(x, weight, bias, stride=2))
        return F.linear(x.mean((2, 3)), *layers[3]).ravel().tolist()[:10]
    if architecture == "park":
        outputs = []
        for i, (weight, bias) in enumerate(layers[:-1]):
            x = F.conv2d(x, weight, bias, padding=weight.shape[-1] // 2)
            if (source := PARK["residual"][i]) > -1:
                shared = min(x.shape[1], outputs[source].shape[1])
                x = x.clone()
                x[:, :shared] += outputs[source][:, :shared]
            x = functions[PARK["activation"][i]](x)
            outputs.append(x)
        return F.linear(x.mean((2, 3)), *layers[-1]).ravel().tolist()[:10]
    for i, (weight, bias) in enumerate(layers[:3]):
        x = F.conv2d(x, weight, bias)
        x = act(x if i == 2 and architecture == "hsg" else F.max_pool2d(x, 2, 2))
    return F.linear(act(F.linear(x.flatten(1), *layers[3])), *layers[4]).ravel().tolist()[:10]


def dense_in_torch(widths: tuple[int, ...], activation: str, number: int) -> list[float]:
    """The values at `POINTS`, by PyTorch: linear layers, and sin(30 z) or another activation between them."""
    import torch

    names = [str(i) for i in range(len(widths) - 1)]
    state = (dense_state if activation == "sine" else mlp_state)(names, widths, number)
    act = (lambda z: torch.sin(30 * z)) if activation == "sine" else getattr(torch, activation)
    x = torch.tensor(POINTS)
    for name in names:
        x = torch.nn.functional.linear(x, torch.tensor(state[f"{name}.weight"]), torch.tensor(state[f"{name}.bias"]))
        x = act(x) if name != names[-1] else x
    return x.ravel().tolist()


def in_torch(name: str) -> list[float]:
    """The numbers of a name in `OUTPUTS`."""
    network, activation, number = name.rsplit(" ", 2)
    if network in SHAPES:
        return cnn_in_torch(network, activation, int(number))
    return dense_in_torch(tuple(map(int, network.split("-"))), activation, int(number))


if __name__ == "__main__":
    lines = [f"  {json.dumps(name)}: {[round(value, 8) for value in in_torch(name)]}" for name in OUTPUTS]
    print("{\n" + ",\n".join(lines) + "\n}")
