"""Our readers' counterparts in PyTorch: DWS from the same settings, and the dense relational transformer."""

import functools
from typing import Any

import numpy as np

from benchmarks.readers_step import CLASSES, Subject
from benchmarks.torch_readers import torch
from benchmarks.torch_readers_dws import DWS, Blocks
from benchmarks.torch_readers_relational import RelationalTransformer, Widths
from wsjax import models


def normalising(subject: Subject) -> dict[str, list[float]]:
    """Shift and scale of each array, as our readers have them."""
    plain = models.normaliser(subject.card.symmetry, subject.card.statistics)
    return {"shift": [float(m) for m in plain.shift], "scale": [float(s) for s in plain.scale]}


def dws(subject: Subject) -> Any:
    """The DWS network of a subject; with linear maps it has our parameters, and gives what ours gives."""
    reader, config = subject.reader(), models.config_of("dws", subject.settings)
    heads = config.heads if config.maps == "attention" else None
    torch.manual_seed(0)
    module = DWS(
        subject.widths,
        CLASSES,
        channels=config.channels,
        layers=config.layers,
        head=config.head,
        activation=config.activation,
        layer=functools.partial(Blocks, heads=heads),
        **normalising(subject),
    )
    if heads is None:
        copy(reader, module)
    return module


def copy(reader: Any, module: DWS) -> None:
    """Our linear maps as PyTorch's blocks: the matrix of a term, cut at its sources and targets."""

    def put(parameter: Any, value: Any) -> None:
        parameter.data.copy_(torch.from_numpy(np.array(value)))

    groups = list(reader.symmetry.groups)
    for layer, blocks in zip(reader.layers, module.layers, strict=True):
        maps: dict[Any, Any] = dict(zip(blocks.wires, blocks.maps, strict=True))
        for term, kernel in zip(layer.layout.terms, map(np.asarray, layer.kernels), strict=True):
            kept = tuple(groups.index(group) + 1 for group, _ in term.kind)
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
    for ours, theirs in ((reader.hidden, module.hidden), (reader.last, module.last)):
        put(theirs.weight, ours.weight)
        put(theirs.bias, ours.bias)


def dense(subject: Subject, widths: Widths) -> Any:
    """The dense relational transformer for a subject's networks, under our normaliser."""
    torch.manual_seed(0)
    return RelationalTransformer(subject.widths, CLASSES, widths, **normalising(subject))
