"""Every reader at a toy size, with its variants, built once in a worker; and networks to read."""

import functools
from typing import Any

import jax
import numpy as np

from tests.models.cards import card
from tests.models.drawn import drawn
from wsjax.models import build
from wsjax.symmetry.group import Action

SMALL: dict[str, dict[str, Any]] = {
    "dws": {"channels": 3, "layers": 2, "head": 8},
    "mlp": {"width": 8},
    "probe": {"probes": 6, "width": 8},
    "activation_probe": {"probes": 6, "neuron": 5, "width": 8, "generator": 1},
    "probed_dws": {"probes": 6, "channels": 3, "layers": 2, "head": 8},
    "hybrid": {"settings": {"channels": 2, "layers": 1}, "probes": 6, "seen": 2},
    "statistics": {"width": 8},
    "rows": {"width": 8, "heads": 2, "layers": 2, "head": 8},
    "scale_gmn": {"channels": 3, "layers": 2, "head": 4},
    "weight_gcn": {"channels": 3, "head": 8},
    "neural_graph": {"width": 4, "edges": 3, "layers": 3, "waves": 0, "head": 6},
    "relational": {"width": 4, "edges": 3, "layers": 3, "waves": 0, "head": 6, "attention": 4, "heads": 2, "hidden": 4},
    "nfn": {"channels": 2, "layers": 2, "bands": 2, "head": 4},
    "nft": {"width": 4, "heads": 2, "layers": 1, "bands": 2, "head": 4},
    "array_encoder": {"width": 4, "heads": 2, "layers": 1, "bands": 2, "latents": 3, "mixing": 1, "head": 4},
}
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "generated probe": ("probe", {**SMALL["probe"], "generator": 2}),
    "canonical mlp": ("mlp", {**SMALL["mlp"], "canonical": True}),
    "rows with a token": ("rows", {**SMALL["rows"], "layers": 1, "pool": "token"}),
}
READERS = {**{name: (name, settings) for name, settings in SMALL.items()}, **VARIANTS}

Actions = tuple[Action, ...]
ALL: Actions = ("permute", "sign", "phase")
CLAIMS: dict[str, Actions] = {
    **dict.fromkeys(READERS, ("permute",)),
    **dict.fromkeys(("scale_gmn", "weight_gcn", "hybrid"), ("permute", "sign")),
    **dict.fromkeys(("probe", "generated probe", "activation_probe", "canonical mlp"), ALL),
    **dict.fromkeys(("mlp", "rows", "rows with a token"), ()),
}
"""What each is invariant to, of all that acts on a SIREN."""


@functools.cache
def made(name: str) -> Any:
    """The reader for a SIREN of four classes."""
    kind, settings = READERS[name]
    with jax.enable_x64(False):  # the first test that asks for it may compute in float64
        return drawn(lambda key: build(kind, card(), settings, key=key))


def network(seed: int = 0, dtype: Any = np.float32) -> Any:
    """Weights of the SIREN, every entry drawn, biases too: equal ones hide mistakes, and have no canonical order."""
    rng, symmetry = np.random.default_rng(seed), card().symmetry
    return symmetry.unflatten([(rng.normal(size=s) * max(s) ** -0.5).astype(dtype) for s in symmetry.shapes])
