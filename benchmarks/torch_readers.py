"""The PyTorch contestants of the suite `readers`: Adam steps of a module on one batch, as a plain loop takes them."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.torch_loop import load_torch, tensors

torch: Any = load_torch()


def steps(
    module: Any, leaves: Sequence[np.ndarray], label: np.ndarray, count: int, *, adam: str, learning_rate: float
) -> Callable[[int], list[float]]:
    """A function that takes `count` steps and gives the loss before each.

    Args:
        module: stacked arrays to (batch, classes); trained in place.
        leaves: the batch's stacked arrays.
        label: (batch,) whole numbers.
        count: steps a call.
        adam: `"foreach"` or `"fused"`, its two implementations.
        learning_rate: of Adam.
    """
    batch, target = tensors(leaves), torch.from_numpy(np.array(label, np.int64))
    optimiser = torch.optim.Adam(module.parameters(), lr=learning_rate, **{adam: True})

    def run(_: int) -> list[float]:
        losses = []
        for _ in range(count):
            optimiser.zero_grad(set_to_none=True)
            loss = torch.nn.functional.cross_entropy(module(batch), target)
            loss.backward()
            optimiser.step()
            losses.append(loss.detach())
        return [float(loss) for loss in losses]

    return run


def count_parameters(module: Any) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
