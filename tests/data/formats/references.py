"""Networks with weights by a formula, and what PyTorch 2.13 computes with them.

`python -m tests.data.formats.references` prints the numbers anew; `OUTPUTS` and `MLP_OUTPUTS` hold them as they were
printed once.
"""

from itertools import pairwise

import numpy as np

POINTS = np.array([[-1.0, -1.0], [0.25, -0.5], [0.0, 0.75], [1.0, 1.0]], np.float32)
DWS_WIDTHS, COLOR_WIDTHS, DEEP_WIDTHS = (2, 32, 32, 1), (2, 32, 32, 3), (2, *[3] * 10, 1)
OUTPUTS = {
    (1, 0): [-0.96767616, -0.77088237, -0.66053224, -0.71543878],
    (1, 1): [-0.94300938, 0.13001026, -0.57847667, -0.42435530],
    (1, 2): [-0.00413617, 0.18849650, 0.22561055, -1.00592887],
    (3, 0): [
        [-0.96767616, -0.60526615, 0.60004854],
        [-0.77088237, -0.76458484, -0.14004193],
        [-0.66053224, -0.75669962, -0.12330706],
        [-0.71543878, -0.43417481, 0.46979922],
    ],
    (3, 1): [
        [-0.94300938, -0.76552331, 0.37363827],
        [0.13001022, -0.30187470, -0.62951505],
        [-0.57847667, -0.67838174, -0.04047094],
        [-0.42435530, -0.14253742, 0.45778692],
    ],
    (3, 2): [
        [-0.00413620, -0.10685143, 0.06333388],
        [0.18849652, -0.06925534, -0.16324991],
        [0.22561046, -0.26851657, -0.48682374],
        [-1.00592899, -0.73704475, 0.58655232],
    ],
}
"""By (outputs, number) of a SIREN 2-32-32-outputs: its values at `POINTS`, without an offset."""
MLP_OUTPUTS = {
    (DWS_WIDTHS, "relu", 0): [-1.11045051, -0.95029253, -0.77943498, -0.85257596],
    (DWS_WIDTHS, "relu", 1): [-0.36055374, 0.38594669, 0.04638064, 0.30214751],
    (DWS_WIDTHS, "tanh", 0): [-0.55041701, -0.54609770, -0.12100661, -0.01663440],
    (DWS_WIDTHS, "tanh", 1): [0.31264955, 0.15574038, 0.23427403, 0.21886319],
    (DEEP_WIDTHS, "relu", 0): [0.90815240, 0.50581473, 0.84073097, 0.32469773],
    (DEEP_WIDTHS, "relu", 1): [0.72050381, 0.15319616, 0.98752815, 1.20927370],
}
"""By (widths, activation, number) of an MLP: its values at `POINTS`."""


def wave(shape: tuple[int, ...], scale: float, phase: float) -> np.ndarray:
    """A float32 array that looks random and is the same everywhere."""
    steps = np.arange(np.prod(shape, dtype=int))
    return (scale * np.sin(1.7 * steps + 0.3 * np.sqrt(steps) + phase)).astype(np.float32).reshape(shape)


def dense_state(names: list[str], widths: tuple[int, ...], number: int = 0) -> dict[str, np.ndarray]:
    """Network `number` as a PyTorch state dict of arrays: weights (out, in)."""
    state = {}
    for i, (name, (fan_in, fan_out)) in enumerate(zip(names, pairwise(widths), strict=True)):
        scale = 0.06 if not i else 0.18 if i == len(names) - 1 else 0.014
        state[f"{name}.weight"] = wave((fan_out, fan_in), scale, i + 0.7 * number)
        state[f"{name}.bias"] = wave((fan_out,), 0.1 if i == len(names) - 1 else 0.01, 10 + i + 0.7 * number)
    return state


def mlp_state(names: list[str], widths: tuple[int, ...], number: int = 0) -> dict[str, np.ndarray]:
    """The same for an MLP: its biases lift most sums above zero, or a deep ReLU network would be constant."""
    state = {}
    for i, (name, (fan_in, fan_out)) in enumerate(zip(names, pairwise(widths), strict=True)):
        state[f"{name}.weight"] = wave((fan_out, fan_in), 1.5 / np.sqrt(fan_in), i + 0.7 * number)
        state[f"{name}.bias"] = 0.8 + wave((fan_out,), 0.3, 10 + i + 0.7 * number)
    return state


def mlp_outputs(widths: tuple[int, ...], activation: str, number: int) -> list[float]:
    """What PyTorch computes at `POINTS`: linear layers with an activation between them."""
    import torch

    names = [str(i) for i in range(len(widths) - 1)]
    state = mlp_state(names, widths, number)
    x = torch.tensor(POINTS)
    for name in names:
        x = torch.nn.functional.linear(x, torch.tensor(state[f"{name}.weight"]), torch.tensor(state[f"{name}.bias"]))
        x = getattr(torch, activation)(x) if name != names[-1] else x
    return x.ravel().tolist()


def siren_outputs(widths: tuple[int, ...], number: int) -> list[float]:
    """What PyTorch computes at `POINTS`: sin(30 (W x + b)) at hidden layers, no offset."""
    import torch

    state = dense_state(["0", "1", "2"], widths, number)
    x = torch.tensor(POINTS)
    for i in range(3):
        x = torch.nn.functional.linear(x, torch.tensor(state[f"{i}.weight"]), torch.tensor(state[f"{i}.bias"]))
        x = torch.sin(30 * x) if i < 2 else x
    return x.ravel().tolist()


if __name__ == "__main__":
    for outputs in (1, 3):
        for number in range(3):
            print(f"    ({outputs}, {number}): {siren_outputs((2, 32, 32, outputs), number)},")
    for widths, activation in ((DWS_WIDTHS, "relu"), (DWS_WIDTHS, "tanh"), (DEEP_WIDTHS, "relu")):
        for number in range(2):
            print(f"    ({widths}, {activation!r}, {number}): {mlp_outputs(widths, activation, number)},")
