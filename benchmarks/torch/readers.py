"""The PyTorch contestants of the suite `readers`: counterparts of our readers, and Adam steps of a plain loop."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.speed.readers_step import CLASSES, Subject
from benchmarks.torch.dws import DWS, Blocks
from benchmarks.torch.loop import load_torch, tensors
from benchmarks.torch.relational import RelationalTransformer, Widths
from wsjax import models
from wsjax.models.layers.normalizer import normalizer

torch: Any = load_torch()


def steps(
    module: Any, leaves: Sequence[np.ndarray], label: np.ndarray, count: int, *, adam: str, learning_rate: float
) -> Callable[[int], list[float]]:
    """A function that takes `count` steps and gives the loss before each.

    Args:
        module: stacked arrays to (batch, classes); trained in place.
        leaves: the batch's stacked arrays.
        label: (batch,) integers.
        count: steps a call.
        adam: `"foreach"` or `"fused"`, its two implementations.
        learning_rate: of Adam.
    """
    batch, target = tensors(leaves), torch.from_numpy(np.array(label, np.int64))
    optimizer = torch.optim.Adam(module.parameters(), lr=learning_rate, **{adam: True})

    def run(_: int) -> list[float]:
        losses = []
        for _ in range(count):
            optimizer.zero_grad(set_to_none=True)
            loss = torch.nn.functional.cross_entropy(module(batch), target)
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())
        return [float(loss) for loss in losses]

    return run


def count_parameters(module: Any) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def normalizing(subject: Subject) -> dict[str, list[float]]:
    """Shift and scale of each array, as our readers have them."""
    plain = normalizer(subject.metadata.symmetry, subject.metadata.statistics)
    return {"shift": plain.shift.value.tolist(), "scale": plain.scale.value.tolist()}


def dws(subject: Subject) -> Any:
    """The DWS network of a subject; with linear maps it has our parameters and computes the same."""
    reader, settings = subject.reader(), models.registry.settings_of("dws", subject.settings)
    heads = settings["heads"] if settings["maps"] == "attention" else None
    torch.manual_seed(0)
    module = DWS(
        subject.widths,
        CLASSES,
        channels=settings["channels"],
        layers=settings["layers"],
        head=settings["head"],
        activation=settings["activation"],
        layer=functools.partial(Blocks, heads=heads),
        **normalizing(subject),
    )
    if heads is None:
        copy_parameters(reader, module)
    return module


def copy_parameters(reader: Any, module: DWS) -> None:
    """Write our parameters into PyTorch's: the matrix of a term is cut at its sources and targets."""

    def put(parameter: Any, value: Any) -> None:
        parameter.data.copy_(torch.from_numpy(np.array(value)))

    groups = list(reader.symmetry.groups)
    for layer, blocks in zip(reader.layers, module.layers, strict=True):
        maps: dict[Any, Any] = dict(zip(blocks.wires, blocks.maps, strict=True))
        for term, kernel in zip(layer.layout.terms, map(np.asarray, layer.kernels), strict=True):
            kept = tuple(groups.index(group) + 1 for group, *_ in term.kind)
            row = 0
            for s, _ in term.reads:
                rows, column = layer.layout.spec[s].fixed * layer.layout.inputs, 0
                for t, _ in term.writes:
                    columns = layer.layout.widths[t]
                    put(maps[s, t, kept].weight, kernel[row : row + rows, column : column + columns].T)
                    column += columns
                row += rows
        for mine, bias in zip(blocks.biases, layer.biases, strict=True):
            put(mine, bias)
    for ours, theirs in zip(reader.head.layers, (module.hidden, module.last), strict=True):
        put(theirs.weight, ours.weight)
        put(theirs.bias, ours.bias)


def dense(subject: Subject, widths: Widths) -> Any:
    """The dense relational transformer for a subject's networks, under our normalizer."""
    torch.manual_seed(0)
    return RelationalTransformer(subject.widths, CLASSES, widths, **normalizing(subject))
