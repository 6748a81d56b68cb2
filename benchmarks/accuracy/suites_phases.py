"""The suite of SIRENs as everybody fits them, randomly initialized: what readers make of biases that wrap around."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import jax

from benchmarks.accuracy.cell import Cell
from benchmarks.accuracy.networks import aligned, digits, fashion, network_of
from benchmarks.accuracy.suite import Suite, cell_of
from wsjax import data
from wsjax.symmetry import Group, canonicalize
from wsjax.train import Run

MAPS = "rotate(6) | translate(0.05) | scale(0.05)"
"""Small maps of the input, which move a digit or a garment as another photograph would."""

INPUT_TO_OUTPUT = {"channels": 64, "sweeps": 1, "readout": "io"}


def phases(tier: str, files: Path | None = None) -> Suite:
    """Readers of weights and readers with passes on 4,000 Fashion-MNIST SIRENs, each randomly initialized by itself.

    Of each network `-signs` declares signs and permutations alone, as readers without phases have them, `-canonical`
    is its canonical form read so, and `-aligned` is brought near to one network that was never trained. All have 40
    epochs at one learning rate, 3 seeds and dropout 0.2, 0.1 with augmentation; `weight_gcn/io` is one sweep whose
    outputs alone are read, of averaged parameters.
    """
    toy = tier == "smoke"
    name, epochs = ("digits" if toy else "fashion-siren"), (2 if toy else 40)
    counts = {"small": (4000, 500, 1000), "full": None}
    recipe = replace(data.recipe_named("fast"), steps=300, learning_rate=1e-3, target_psnr=None)

    def made(out: Path) -> data.WeightDataset:
        if toy:
            return digits(out.with_name(name), 60, files=files)
        return fashion(out.with_name(name), counts[tier], recipe, files)

    def cell(dataset: str, reader: str, settings: Any = None, dropout_rate: float = 0.2, **others: Any) -> Cell:
        tried = (Run(learning_rate=3e-3, dropout_rate=dropout_rate),)
        return cell_of(tier, dataset, reader, settings=settings, epochs=epochs, rates=(), tried=tried, **others)

    datasets = {
        name: made,
        f"{name}-signs": lambda out: declared(made(out)),
        f"{name}-canonical": lambda out: declared(canonical(made(out))),
        f"{name}-aligned": lambda out: aligned(made(out)),
    }
    if toy:
        cells = (cell(name, "mlp"), cell(f"{name}-signs", "mlp"), cell(f"{name}-canonical", "mlp"))
        return Suite(datasets, (*cells, cell(f"{name}-aligned", "mlp")), against=lambda _: cells[0].title)
    two_sweeps = {"channels": 64}
    cells = (
        cell(name, "mlp"),
        cell(f"{name}-aligned", "mlp"),
        cell(f"{name}-signs", "weight_gcn", two_sweeps),
        cell(f"{name}-canonical", "weight_gcn", two_sweeps),
        cell(name, "weight_gcn", two_sweeps),
        cell(name, "weight_gcn", INPUT_TO_OUTPUT, configuration="io", ema_decay=0.98),
        cell(name, "weight_gcn", INPUT_TO_OUTPUT, 0.1, configuration="io_maps", augment=MAPS, ema_decay=0.98),
        cell(name, "dws", "small"),
        cell(name, "probe"),
        cell(name, "activation_probe"),
        cell(name, "grid_probe"),
        cell(name, "grid_probe", dropout_rate=0.1, configuration="maps", augment=MAPS, ema_decay=0.98),
    )
    return Suite(datasets, cells, against=lambda cell: f"{name}-signs/weight_gcn/none/1")


def declared(networks: data.WeightDataset) -> data.WeightDataset:
    """The same networks, of whose symmetries signs and permutations alone are declared; no reader can run them."""
    symmetry = networks.symmetry
    signs = lambda one: replace(one, actions=("permute", "sign")) if isinstance(one, Group) else one
    known = replace(symmetry, dimensions=tuple((name, signs(one)) for name, one in symmetry.dimensions))
    return replace(networks, metadata=replace(networks.metadata, network=None, symmetry=known))


def canonical(networks: data.WeightDataset) -> data.WeightDataset:
    """Each network's representative under permutations, signs and phases."""
    symmetry = network_of(networks).symmetry
    weights = jax.jit(jax.vmap(lambda weights: canonicalize(weights, symmetry)))(networks.weights)
    return replace(networks, weights=jax.device_get(weights)).with_statistics()
