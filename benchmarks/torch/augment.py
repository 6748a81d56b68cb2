"""The PyTorch contestants of the suite `augment`: every augmentation from its definition, one network at a time.

A network is a list of tensors, kernel and bias of each layer in turn, kernels (..., in, out), so that convolutions
serve too. As in a loader's worker: one thread, no gradients, single numbers drawn by `random` and arrays by PyTorch.
The given tensors are never written to, and those that do not change are returned as they are. Settings have the names
they have in `wsjax.augment`, and no defaults, but for the noise of `mixup_self`: the suite binds ours.
"""

import importlib
import math
import random
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from benchmarks.torch.loop import load_torch

torch = load_torch()
LUMA = torch.tensor((0.299, 0.587, 0.114))


class Pool(NamedTuple):
    """The networks that batch augmentations draw partners from, their labels, and for each the rows of its class and
    those of its object's views.
    """

    networks: Sequence[Sequence[Any]]
    labels: Sequence[Any]
    mates: Sequence[Sequence[int]]
    views: Sequence[Sequence[int]]


def permute(arrays):
    moved = list(arrays)
    for i in _hidden(arrays):
        order = torch.randperm(len(arrays[i + 1]))
        moved[i] = moved[i].index_select(-1, order)
        moved[i + 1] = moved[i + 1].index_select(0, order)
        moved[i + 2] = moved[i + 2].index_select(-2, order)
    return moved


def flip_signs(arrays, *, probability):
    signs = torch.empty(_neurons(arrays)).bernoulli_(probability).mul_(-2).add_(1)
    return _multiply(arrays, signs, signs)


def shift_phase(arrays, *, max_shift, w0):
    moved = list(arrays)
    for i, frequency in zip(_hidden(arrays), w0, strict=True):
        k = torch.randint(-int(max_shift), int(max_shift) + 1, (len(arrays[i + 1]),))
        moved[i + 1] = torch.add(moved[i + 1], k, alpha=math.pi / frequency)
        moved[i + 2] = moved[i + 2] * (1 - 2 * (k & 1))[:, None]
    return moved


def shift_turns(arrays, *, max_turns, w0):
    moved = list(arrays)
    for i, frequency in zip(_hidden(arrays), w0, strict=True):
        n = torch.randint(-int(max_turns), int(max_turns) + 1, (len(arrays[i + 1]),))
        moved[i + 1] = torch.add(moved[i + 1], n, alpha=2 * math.pi / frequency)
    return moved


def rescale(arrays, *, std):
    logs = torch.randn(_neurons(arrays)).mul_(std)
    return _multiply(arrays, logs.exp(), logs.neg_().exp_())


def rescale_uniform(arrays, *, max_log):
    logs = torch.empty(_neurons(arrays)).uniform_(-max_log, max_log)
    return _multiply(arrays, logs.exp(), logs.neg_().exp_())


def _hidden(arrays) -> range:
    """The positions of the kernels that produce hidden neurons."""
    return range(0, len(arrays) - 2, 2)


def _neurons(arrays) -> int:
    """How many hidden neurons all layers have together."""
    return sum(len(bias) for bias in arrays[1:-2:2])


def _multiply(arrays, produced, consumed):
    """Multiply the arrays that produce each hidden neuron by one factor and the kernel that consumes it by another."""
    moved, sizes = list(arrays), [len(bias) for bias in arrays[1:-2:2]]
    for i, p, c in zip(_hidden(arrays), produced.split(sizes), consumed.split(sizes), strict=True):
        moved[i] = moved[i] * p
        moved[i + 1] = moved[i + 1] * p
        moved[i + 2] = moved[i + 2] * c[:, None]
    return moved


def rotate(arrays, *, max_degrees):
    return _turn(arrays, math.radians(random.uniform(-max_degrees, max_degrees)))


def rotate_uniform(arrays):
    return _turn(arrays, random.uniform(-math.pi, math.pi))


def _turn(arrays, angle):
    cos, sin = math.cos(angle), math.sin(angle)
    return [torch.tensor([[cos, sin], [-sin, cos]]) @ arrays[0], *arrays[1:]]


def translate(arrays, *, max_shift):
    kernel, bias, *rest = arrays
    shift = torch.empty(len(kernel)).uniform_(-max_shift, max_shift)
    return [kernel, torch.addmv(bias, kernel.T, shift), *rest]


def scale(arrays, *, max_log):
    return [arrays[0] * math.exp(random.uniform(-max_log, max_log)), *arrays[1:]]


def scale_axes(arrays, *, max_log):
    factors = torch.empty(len(arrays[0]), 1).uniform_(-max_log, max_log).exp_()
    return [arrays[0] * factors, *arrays[1:]]


def shear(arrays, *, max_shear):
    size = len(arrays[0])
    matrix = torch.empty(size, size).uniform_(-max_shear, max_shear).fill_diagonal_(1)
    return [matrix @ arrays[0], *arrays[1:]]


def flip(arrays, *, probability, axis):
    signs = torch.empty(len(arrays[0]), 1).bernoulli_(probability).mul_(-2).add_(1)
    if axis is not None:
        signs[torch.arange(len(signs)) != axis] = 1
    return [arrays[0] * signs, *arrays[1:]]


def contrast(arrays, *, max_log, center, offset):
    gain = math.exp(random.uniform(-max_log, max_log))
    return [*arrays[:-2], arrays[-2] * gain, arrays[-1] * gain + (1 - gain) * (center - offset)]


def brightness(arrays, *, max_shift):
    return [*arrays[:-1], arrays[-1] + random.uniform(-max_shift, max_shift)]


def invert(arrays, *, probability, low, high, offset):
    if random.random() >= probability:
        return list(arrays)
    return [*arrays[:-2], -arrays[-2], low + high - 2 * offset - arrays[-1]]


def mix_channels(arrays, *, std):
    *rest, kernel, bias = arrays
    draw = torch.randn(len(bias), len(bias)).mul_(std)
    matrix = draw.sub_(draw.mean(0)).add_(torch.eye(len(bias)))
    return [*rest, kernel @ matrix, bias @ matrix]


def gray(arrays, *, max_fraction):
    *rest, kernel, bias = arrays
    fraction = random.uniform(0, max_fraction)
    return [*rest, kernel.lerp((kernel @ LUMA)[:, None].expand_as(kernel), fraction), bias.lerp(bias @ LUMA, fraction)]


def noise(arrays, *, std):
    return [torch.addcmul(w, torch.randn_like(w), w.std(correction=0), value=std) for w in arrays]


def noise_shared(arrays, *, std, deviation):
    return [torch.add(w, torch.randn_like(w), alpha=std * d) for w, d in zip(arrays, deviation, strict=True)]


def dropout(arrays, *, rate, survivors):
    dropped = [torch.empty_like(w).bernoulli_(1 - rate).mul_(w) for w in arrays]
    return dropped if survivors == 1 else [w.mul_(survivors) for w in dropped]


def drop_neurons(arrays, *, rate):
    kept = torch.empty(_neurons(arrays)).bernoulli_(1 - rate)
    return _multiply(arrays, kept, kept)


def prune(arrays, *, max_quantile):
    quantile = random.uniform(0, max_quantile)
    return [torch.nn.functional.hardshrink(w, _largest_of_least(w.view(-1), quantile)) for w in arrays]


def prune_global(arrays, *, max_quantile):
    every = torch.cat([w.view(-1) for w in arrays])
    largest = _largest_of_least(every, random.uniform(0, max_quantile))
    return [torch.nn.functional.hardshrink(w, largest) for w in arrays]


def _largest_of_least(entries, quantile) -> float:
    """The largest magnitude among that fraction of the smallest entries, their number rounded down; 0 of none."""
    count = min(int(quantile * len(entries)), len(entries) - 1)
    return float(entries.abs().kthvalue(count).values) if count else 0.0


def towards_mean(arrays, *, max_fraction, mean):
    fraction = random.uniform(0, max_fraction)
    return [w.lerp(m, fraction) for w, m in zip(arrays, mean, strict=True)]


def mixup(pool, i, *, alpha, beta, low, high):
    j = _partner(range(len(pool.networks)), i)
    return _mix(pool, i, pool.networks[j], pool.labels[j], _coefficient(alpha, beta, low, high))


def mixup_with(pool, i, *, alpha, beta, low, high):
    j = random.randrange(len(pool.networks))
    return _mix(pool, i, pool.networks[j], pool.labels[j], _coefficient(alpha, beta, low, high))


def mixup_permuted(pool, i, *, alpha, beta, low, high):
    j = _partner(range(len(pool.networks)), i)
    return _mix(pool, i, permute(pool.networks[j]), pool.labels[j], _coefficient(alpha, beta, low, high))


def mixup_hard(pool, i, *, alpha, beta, low, high):
    j, coefficient = _partner(range(len(pool.networks)), i), _coefficient(alpha, beta, low, high)
    return _blend(pool.networks[i], pool.networks[j], coefficient), pool.labels[i if coefficient >= 0.5 else j]


def mixup_self(pool, i, *, alpha, beta, low, high, std=0.1):
    """The partner is the network after `noise`, as ours is by default."""
    arrays = pool.networks[i]
    return _blend(arrays, noise(arrays, std=std), _coefficient(alpha, beta, low, high)), pool.labels[i]


def mixup_within_class(pool, i, *, alpha, beta, low, high):
    j = _partner(pool.mates[i], i)
    return _mix(pool, i, pool.networks[j], pool.labels[j], _coefficient(alpha, beta, low, high))


def mixup_views(pool, i, *, alpha, beta, low, high):
    j = _partner(pool.views[i], i)
    return _mix(pool, i, pool.networks[j], pool.labels[j], _coefficient(alpha, beta, low, high))


def label_smoothing(pool, i, *, rate):
    label = pool.labels[i]
    return list(pool.networks[i]), label * (1 - rate) + rate / len(label)


def _partner(rows: Sequence[int], i: int) -> int:
    """Another of at least two rows."""
    while (j := random.choice(rows)) == i:
        pass
    return j


def _coefficient(alpha, beta, low, high) -> float:
    return low + (high - low) * random.betavariate(alpha, alpha if beta is None else beta)


def _mix(pool, i, arrays, label, coefficient):
    return _blend(pool.networks[i], arrays, coefficient), label.lerp(pool.labels[i], coefficient)


def _blend(mine, other, coefficient):
    return [b.lerp(a, coefficient) for a, b in zip(mine, other, strict=True)]


def operations(work: Callable[[], Any]) -> int:
    """The number of PyTorch's own operations that one call runs."""
    mode = importlib.import_module("torch.utils._python_dispatch").TorchDispatchMode
    count = 0

    class Counter(mode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            nonlocal count
            count += 1
            return function(*args, **(kwargs or {}))

    with Counter():
        work()
    return count
