"""Convolutional networks with weights by a formula, and what PyTorch 2.13 computes with them.

`python -m tests.data.formats.references_cnn` prints the numbers anew; `OUTPUTS` holds them as they were printed once.
Each architecture is written twice: in `in_torch` as its zoo's own code has it, and in `FUNCTIONS` for JAX, on what the
importers give.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tests.data.formats.references import wave

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


OUTPUTS = {
    ("zoo", "relu", 0): [
        [0.52634394, -0.22623309, -0.34193426, 0.5086987, -0.19726911],
        [-0.06287983, 0.01624147, -0.02017614, 0.2960569, -0.41090244],
    ],
    ("zoo", "relu", 1): [
        [0.54603446, -0.43254533, -0.17019098, 0.62154227, -0.44080889],
        [-0.03406233, 0.2127533, -0.1166099, 0.16060822, -0.30443525],
    ],
    ("zoo", "tanh", 0): [
        [0.88022298, -0.42304212, -0.41607091, 0.84214967, -0.61706841],
        [0.19232485, 0.09217963, -0.38101014, 0.69484478, -0.56391943],
    ],
    ("zoo", "tanh", 1): [
        [0.82229519, -0.58673728, -0.25461787, 0.93122685, -0.81903952],
        [0.18921611, 0.28958863, -0.44716749, 0.52009761, -0.43813941],
    ],
    ("hsg", "relu", 0): [
        [0.68000394, -0.71404815, 0.4310796, -0.17450291, 0.37109178],
        [-0.73317724, 0.66308922, -0.20160496, -0.03179815, -0.15687552],
    ],
    ("hsg", "relu", 1): [
        [0.46780592, -0.65114337, 0.57354355, -0.22599943, 0.16457421],
        [-0.50980753, 0.69867641, -0.36573029, -0.06117021, 0.04731129],
    ],
    ("hsg", "tanh", 0): [
        [1.01328135, -1.0365541, 0.74848998, -0.48533905, 0.66292816],
        [-0.98682135, 0.85664302, -0.31470019, -0.01379734, -0.07454035],
    ],
    ("hsg", "tanh", 1): [
        [0.95149982, -1.12541676, 1.05406106, -0.7138567, 0.64198375],
        [-0.94641632, 1.05761743, -0.61021572, 0.03906599, 0.10767127],
    ],
    ("hsg large", "tanh", 0): [
        [1.10682487, -1.11138022, 0.83537173, -0.59120393, 0.78737265],
        [-1.12414944, 0.9969812, -0.44533473, 0.09335348, -0.14547762],
    ],
    ("hsg large", "tanh", 1): [
        [0.92920899, -1.09686089, 1.02862203, -0.69374949, 0.6293242],
        [-0.94295061, 1.06434679, -0.62706888, 0.06470376, 0.07586432],
    ],
    ("park", "", 0): [
        [0.49244827, -0.4831894, -0.31721333, 0.32840392, 0.20265864],
        [-0.0712284, 0.01838741, -0.14979327, -0.31377167, 0.21960369],
    ],
    ("park", "", 1): [
        [0.31026885, -0.49316877, -0.12177037, 0.2438139, 0.0665631],
        [0.08371075, 0.07980874, -0.35290071, -0.30355072, 0.44136393],
    ],
}
"""The ten outputs for the first image, by architecture, activation and number."""


def cnn_state(architecture: str, names: Sequence[str], number: int = 0) -> dict[str, np.ndarray]:
    """Network `number` as a PyTorch state dict of arrays."""
    state = {}
    for i, (name, shape) in enumerate(zip(names, SHAPES[architecture], strict=True)):
        scale = 1.4 / np.prod(shape[1:]) ** 0.5
        state[f"{name}.weight"] = wave(shape, scale, 2 * i + 0.7 * number)
        state[f"{name}.bias"] = wave(shape[:1], 0.3, 11 + i + 0.7 * number)
    return state


def in_torch(architecture: str, activation: str, number: int) -> list[float]:
    """The first image's ten outputs, by PyTorch."""
    import torch
    from torch.nn import functional as F

    functions: dict[str, Callable] = {"relu": F.relu, "tanh": torch.tanh, "leaky_relu": F.leaky_relu}
    state = cnn_state(architecture, [str(i) for i in range(len(SHAPES[architecture]))], number)
    layers = [(torch.tensor(state[f"{i}.weight"]), torch.tensor(state[f"{i}.bias"])) for i in range(len(state) // 2)]
    x = torch.tensor(IMAGES[architecture])
    act = functions.get(activation, F.relu)
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
    for i, layer in enumerate(weights[:-1]):
        x = convolve(layer, x, padding="SAME")
        if (source := PARK["residual"][i]) > -1:
            shared = min(x.shape[-1], outputs[source].shape[-1])
            x = x.at[..., :shared].add(outputs[source][..., :shared])
        x = ACTIVATIONS[PARK["activation"][i]](x)
        outputs.append(x)
    return linear(weights[-1], x.mean((1, 2)))


FUNCTIONS: dict[str, Callable[[Any, jax.Array, str], jax.Array]] = {
    "zoo": zoo,
    "hsg": hsg,
    "hsg large": lambda weights, x, activation: hsg(weights, x, activation, last_pooled=True),
    "park": park,
}


def images(architecture: str) -> np.ndarray:
    """The images as our networks take them: (images, rows, columns, channels)."""
    return np.ascontiguousarray(np.moveaxis(IMAGES[architecture], 1, -1))


CASES = [("zoo", "relu"), ("zoo", "tanh"), ("hsg", "relu"), ("hsg", "tanh"), ("hsg large", "tanh"), ("park", "")]

if __name__ == "__main__":
    for architecture, activation in CASES:
        for number in range(2):
            found = [round(value, 8) for value in in_torch(architecture, activation, number)]
            print(f"    ({architecture!r}, {activation!r}, {number}): [{found[:5]}, {found[5:]}],")
