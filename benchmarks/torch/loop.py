"""The PyTorch contestant: one SIREN at a time in a plain loop, as published fitting scripts do it.

Plain tensors and `addmm` spare the overhead of modules, gradients are dropped rather than zeroed, the rate is set by
hand rather than by a scheduler object: the loop at its best without changing what it is.
"""

import importlib
import math
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np


class Problem(NamedTuple):
    """What one loop fits: initial kernels and biases in turn, (points, inputs) coordinates, (points, channels) values.

    `batch_points` is the number of points in a step, drawn with replacement; None for all.
    """

    weights: Sequence[np.ndarray]
    points: np.ndarray
    values: np.ndarray
    w0: tuple[float, ...]
    offset: float
    learning_rate: float
    batch_points: int | None = None


def load_torch() -> Any:
    """PyTorch, which only benchmarks and readers of its files need.

    Raises:
        ImportError: it is not installed; the message says how to install it.
    """
    try:
        return importlib.import_module("torch")
    except ModuleNotFoundError:
        raise ImportError("PyTorch is not installed, and this suite compares with it: run `make bench-setup`") from None


def tensors(leaves: Sequence[np.ndarray]) -> list[Any]:
    """One network's arrays as PyTorch has them; copies, as JAX's are read-only."""
    torch = load_torch()
    return [torch.from_numpy(np.array(leaf)) for leaf in leaves]


def fit(
    problem: Problem, steps: int, *, threads: int, adam: str, clock: Callable[[], float] = lambda: 0.0
) -> tuple[float, np.ndarray]:
    """Fit one network; its final mean squared error, and (steps, 3) times of forward, backward and Adam by `clock`.

    Args:
        problem: what to fit.
        steps: of Adam, with a cosine schedule down to zero.
        threads: PyTorch's.
        adam: `"foreach"` or `"fused"`, its two implementations.
        clock: gives seconds; by default the parts are not timed.
    """
    torch = load_torch()
    torch.set_num_threads(threads)
    points, target = torch.tensor(problem.points), torch.tensor(problem.values)
    weights = [torch.tensor(array, requires_grad=True) for array in problem.weights]
    optimizer = torch.optim.Adam(weights, lr=problem.learning_rate, **{adam: True})
    *hidden, (last_kernel, last_bias) = zip(weights[::2], weights[1::2], strict=True)

    def loss(h, target):
        for (kernel, bias), w in zip(hidden, problem.w0, strict=True):
            h = torch.sin(w * torch.addmm(bias, h, kernel))
        return torch.nn.functional.mse_loss(torch.addmm(last_bias, h, last_kernel) + problem.offset, target)

    def batch():
        if problem.batch_points is None:
            return points, target
        rows = torch.randint(len(points), (problem.batch_points,))
        return points[rows], target[rows]

    times = []
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = problem.learning_rate * 0.5 * (1 + math.cos(math.pi * step / steps))
        begun = clock()
        optimizer.zero_grad(set_to_none=True)
        error = loss(*batch())
        forward = clock()
        error.backward()
        backward = clock()
        optimizer.step()
        times.append((forward - begun, backward - forward, clock() - backward))
    with torch.no_grad():
        return float(loss(points, target)), np.array(times)


def parts(problem: Problem, steps: int, *, threads: int, adam: str) -> np.ndarray:
    """Median microseconds of a step's forward, backward and Adam."""
    return 1e6 * np.median(fit(problem, steps, threads=threads, adam=adam, clock=time.perf_counter)[1], axis=0)
