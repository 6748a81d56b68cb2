"""Settings of readers by the name of a size: `small`, `base`, and `published` where a paper states its own."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from wsjax.errors import check_choice

SIZES: Mapping[str, Mapping[str, Mapping[str, Any]]] = MappingProxyType(
    {
        "dws": {
            "small": {"channels": 8},
            "base": {"channels": 32, "layers": 4, "head": 128},
            # The defaults of DWSNets' code: two hidden layers, set attention, maxima, on 16 channels.
            "published": {"channels": 16, "activation": "relu", "pooling": "max", "maps": "attention", "heads": 8},
        },
        "mlp": {"small": {"width": 64, "depth": 1}, "base": {"width": 512, "depth": 3}},
        "probe": {
            "small": {"probes": 32, "width": 64},
            "base": {"probes": 128, "width": 256, "depth": 3},
            # ProbeGen on Fashion-MNIST, arXiv 2410.10811.
            "published": {"probes": 128, "width": 256, "depth": 6, "generator": 2},
        },
        "activation_probe": {
            "small": {"probes": 32, "neuron": 16, "width": 64},
            "base": {"probes": 128, "neuron": 64, "width": 256, "depth": 3},
        },
        "probed_dws": {
            "small": {"channels": 8, "probes": 16},
            "base": {"channels": 32, "layers": 4, "head": 128, "probes": 64},
        },
        "hybrid": {
            "small": {"settings": "small", "probes": 16, "seen": 16},
            "base": {"settings": "base", "probes": 64, "seen": 16},
        },
        "statistics": {"small": {"width": 64, "depth": 1}, "base": {"width": 512, "depth": 3}},
        "rows": {"small": {"width": 32, "layers": 2}, "base": {"width": 128, "layers": 4, "head": 128}},
        "scale_gmn": {
            "small": {"channels": 16, "layers": 3},
            "base": {"channels": 64, "layers": 4, "head": 128, "direction": "bidirectional"},
            # Its settings for MNIST, arXiv 2406.10685.
            "published": {"channels": 128, "layers": 4, "head": 128, "readout": "outputs"},
        },
        "weight_gcn": {"small": {"channels": 32}, "base": {"channels": 128, "head": 128}},
        "nfn": {
            "small": {"channels": 8},
            "base": {"channels": 32, "layers": 4, "head": 128},
            # HNP on MNIST's INRs, arXiv 2302.14040. Its frequencies, of deviation 3 on weights as they are, are about
            # the default's on normalised ones.
            "published": {"channels": 512, "activation": "relu", "bands": 128, "head": 1000, "depth": 3},
        },
        "nft": {"small": {"width": 16}, "base": {"width": 64, "layers": 3, "head": 128}},
        "neural_graph": {
            "small": {"width": 16, "edges": 16, "layers": 3},
            "base": {"width": 64, "edges": 64, "head": 128},
            # The defaults, the width, layers and frequencies of NG-GNN, arXiv 2403.12143.
            "published": {},
        },
        "relational": {
            "small": {"width": 32, "edges": 16, "layers": 3, "waves": 32, "attention": 32, "heads": 4, "hidden": 64},
            "base": {"width": 96, "edges": 48, "attention": 192},
            # The defaults, near the 376,586 parameters of arXiv 2403.12143.
            "published": {},
        },
        "array_encoder": {
            "small": {"width": 16, "latents": 8},
            "base": {"width": 64, "layers": 3, "head": 128},
            # INR2Array's encoder, arXiv 2305.13546.
            "published": {"width": 256, "layers": 6, "heads": 4, "latents": 16},
        },
    }
)
"""Settings by reader and size; what is not named keeps its default."""


def size_settings(reader: str, size: str) -> dict[str, Any]:
    """The settings of a reader at a size.

    Raises:
        ValueError: a size that this reader has none of; its sizes are listed.

    Example:
        >>> size_settings("probe", "small")
        {'probes': 32, 'width': 64}
    """
    check_choice(f"size of reader {reader!r}", size, tuple(SIZES[reader]))
    return dict(SIZES[reader][size])
