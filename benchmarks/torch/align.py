"""Aligned MixUp of two SIRENs in PyTorch, one pair at a time, as a loader's worker does it.

Weight matching over permutations and signs by the definition: sweeps over the hidden layers, for each the inner
products of all pairs of neurons, SciPy's assignment of their absolute values, the signs of those chosen, until a
sweep changes nothing. Kernels are (in, out). One thread, no gradients.
"""

from typing import Any, NamedTuple

from scipy.optimize import linear_sum_assignment

from benchmarks.torch.loop import load_torch

torch: Any = load_torch()
LEAST_GAIN = 1e-6
"""Of all inner products together: what an assignment must gain over the present order to be taken."""


class Matched(NamedTuple):
    """The partner's arrays after matching, kernel and bias of each layer in turn, and the sweeps it took."""

    arrays: list[Any]
    sweeps: int


def match(anchor: list[Any], partner: list[Any], *, signed: bool = True, max_sweeps: int = 50) -> Matched:
    """Bring `partner` near to `anchor`; neither is written to."""
    kernels, biases = [k.clone() for k in partner[::2]], [b.clone() for b in partner[1::2]]
    goal_kernels, goal_biases = anchor[::2], anchor[1::2]
    hidden = len(kernels) - 1
    sweeps, changed = 0, True
    while changed and sweeps < max_sweeps:
        sweeps, changed = sweeps + 1, False
        for h in range(hidden):
            products = goal_kernels[h].T @ kernels[h]
            products.addr_(goal_biases[h], biases[h])
            products.addmm_(goal_kernels[h + 1], kernels[h + 1].T)
            value = products.abs() if signed else products
            rows, columns = linear_sum_assignment(value.numpy(), maximize=True)
            gain = float(value[rows, columns].sum() - products.diagonal().sum())
            if gain <= LEAST_GAIN * float(value.sum()):
                continue
            order = torch.from_numpy(columns)
            kernels[h], biases[h] = kernels[h][:, order], biases[h][order]
            kernels[h + 1] = kernels[h + 1][order]
            if signed:
                sign = torch.where(products[rows, columns] < 0, -1.0, 1.0)
                kernels[h], biases[h] = kernels[h] * sign, biases[h] * sign
                kernels[h + 1] = kernels[h + 1] * sign[:, None]
            changed = True
    return Matched([array for pair in zip(kernels, biases, strict=True) for array in pair], sweeps)


def mixup(anchor: list[Any], partner: list[Any], labels: tuple[Any, Any], coefficient: float) -> tuple[list[Any], Any]:
    """Weights and label of the pair, mixed after matching."""
    matched = match(anchor, partner).arrays
    mixed = [coefficient * a + (1 - coefficient) * b for a, b in zip(anchor, matched, strict=True)]
    return mixed, coefficient * labels[0] + (1 - coefficient) * labels[1]
