"""Readers: Equinox modules that take one network's weights and are equivariant or invariant to its Symmetry."""

import importlib
from types import ModuleType
from typing import TYPE_CHECKING

from wsjax.models.graph.graph import Graph, graph_of
from wsjax.models.graph.padding import pad, union
from wsjax.models.layers.equivariant import EquivariantLinear
from wsjax.models.layers.normalizer import Normalizer
from wsjax.models.readers.activation_probe import ActivationProbe
from wsjax.models.readers.array_encoder import ArrayEncoder
from wsjax.models.readers.dws import DWS
from wsjax.models.readers.editor import Editor
from wsjax.models.readers.flat import FlatMLP
from wsjax.models.readers.grid_probe import GridProbe
from wsjax.models.readers.hybrid import Hybrid
from wsjax.models.readers.image_probe import ImageProbe
from wsjax.models.readers.neural_graph import NeuralGraph
from wsjax.models.readers.nfn import NFN
from wsjax.models.readers.nft import NFT
from wsjax.models.readers.probe import Probe
from wsjax.models.readers.relational import RelationalTransformer
from wsjax.models.readers.rows import RowTransformer
from wsjax.models.readers.scale_editor import ScaleEditor
from wsjax.models.readers.scale_gmn import ScaleGMN
from wsjax.models.readers.statistics_mlp import StatisticsMLP
from wsjax.models.readers.weight_gcn import WeightGCN
from wsjax.models.registry import READERS, NamedReader, make, parameter_count
from wsjax.models.wrappers import TestTimeAugmentation

if TYPE_CHECKING:
    from wsjax.models import testing

__all__ = [
    "DWS",
    "NFN",
    "NFT",
    "READERS",
    "ActivationProbe",
    "ArrayEncoder",
    "Editor",
    "EquivariantLinear",
    "FlatMLP",
    "Graph",
    "GridProbe",
    "Hybrid",
    "ImageProbe",
    "NamedReader",
    "NeuralGraph",
    "Normalizer",
    "Probe",
    "RelationalTransformer",
    "RowTransformer",
    "ScaleEditor",
    "ScaleGMN",
    "StatisticsMLP",
    "TestTimeAugmentation",
    "WeightGCN",
    "graph_of",
    "make",
    "pad",
    "parameter_count",
    "testing",
    "union",
]


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> ModuleType:
    if name != "testing":  # the public module, imported when first used
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return importlib.import_module("wsjax.models.testing")
