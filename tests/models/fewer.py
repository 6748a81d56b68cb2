"""Settings of readers with fewer layers than at the size `small`, at which they take long to compile."""

from typing import Any

FEWER: dict[str, dict[str, Any]] = {
    "hybrid": {"settings": {"channels": 8, "layers": 2}, "probes": 8},
    "scale_gmn": {"channels": 8, "layers": 2},
    "nft": {"width": 8, "layers": 1},
    "array_encoder": {"width": 8, "layers": 1, "latents": 4},
    "neural_graph": {"readout": "graph", "width": 8, "edges": 8, "layers": 2},
    "relational": {
        "readout": "graph",
        "width": 8,
        "edges": 8,
        "layers": 2,
        "waves": 4,
        "attention": 8,
        "heads": 2,
        "hidden": 8,
    },
}
