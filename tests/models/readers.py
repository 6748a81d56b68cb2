"""Every reader at a toy size, with its variants, built once in a worker; and networks to read."""

import functools
from typing import Any

import jax
import numpy as np
from jax.interpreters import partial_eval

from tests.models.helpers import StubMetadata, drawn, metadata
from wsjax.models import Editor, ScaleEditor, make
from wsjax.models.layers.normalizer import normalizer
from wsjax.models.wrappers import Rescaled, Units
from wsjax.symmetry.group import Action

SMALL: dict[str, dict[str, Any]] = {
    "dws": {"channels": 3, "layers": 2, "head": 8},
    "mlp": {"width": 8},
    "probe": {"probes": 6, "width": 8},
    "activation_probe": {"probes": 6, "neuron": 5, "width": 8, "generator": 1},
    "grid_probe": {"side": 5, "channels": 4, "layers": 2, "width": 8},
    "hybrid": {"settings": {"channels": 2, "layers": 1}, "probes": 6, "probe_features": 2},
    "statistics": {"width": 8},
    "rows": {"width": 8, "heads": 2, "layers": 2, "head": 8},
    "scale_gmn": {"channels": 3, "layers": 2, "head": 4},
    "weight_gcn": {"channels": 3, "head": 8},
    "neural_graph": {"width": 4, "edges": 3, "layers": 2, "frequencies": 0, "head": 6},
    "relational": {
        "width": 4,
        "edges": 3,
        "layers": 2,
        "frequencies": 0,
        "head": 6,
        "attention": 4,
        "heads": 2,
        "hidden": 4,
    },
    "nfn": {"channels": 2, "layers": 2, "frequencies": 2, "head": 4},
    "nft": {"width": 4, "heads": 2, "layers": 1, "frequencies": 2, "head": 4},
    "array_encoder": {"width": 4, "heads": 2, "layers": 1, "frequencies": 2, "latents": 3, "mixing": 1, "head": 4},
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
    "hybrid": ("permute", "sign"),
    **dict.fromkeys(("scale_gmn", "weight_gcn", "probe", "generated probe", "activation_probe", "grid_probe"), ALL),
    "canonical mlp": ALL,
    **dict.fromkeys(("mlp", "rows", "rows with a token"), ()),
}
"""What each is invariant to, of all that acts on a SIREN."""


TINY = metadata((2, 4, 3))
DEEP = ("dws", "nfn", "canonical mlp")
"""Those that read two hidden layers; of the others files of their own have readers that do."""


def metadata_of(name: str) -> StubMetadata:
    return metadata() if name in DEEP else TINY


@functools.cache
def made(name: str) -> Any:
    """The reader for the SIREN of its metadata."""
    kind, settings = READERS[name]
    with jax.enable_x64(False):  # the first test that asks for it may compute in float64
        return drawn(lambda key: make(kind, metadata_of(name), settings, key=key))


def fewest(name: str) -> dict[str, Any]:
    """Its settings with as few layers as it works with."""
    settings = READERS[name][1]
    more = name in ("scale_gmn", "neural_graph", "relational")
    return {**settings, **({"layers": 1} if "layers" in settings and not more else {})}


@functools.cache
def tiny(name: str) -> Any:
    """The reader with as few layers as it works with, for `TINY`; or what is made of readers, or one of the editors."""
    symmetry, own = TINY.symmetry, normalizer(TINY.symmetry, TINY.statistics)
    others = {
        "rescaled": lambda key: Rescaled(tiny("dws"), Units([5.0] * 4, [2.0] * 4)),
        "editor": lambda key: Editor(symmetry, channels=2, layers=1, normalizer=own, key=key),
        "scale editor": lambda key: ScaleEditor(symmetry, channels=3, layers=1, normalizer=own, key=key),
    }
    with jax.enable_x64(False):
        return drawn(others.get(name) or (lambda key: make(READERS[name][0], TINY, fewest(name), key=key)))


def network(of: StubMetadata = TINY, seed: int = 0, dtype: Any = np.float32) -> Any:
    """Weights of metadata's network, every entry drawn, biases too: equal ones hide mistakes, and have no order."""
    rng, symmetry = np.random.default_rng(seed), of.symmetry
    return symmetry.unflatten([(rng.normal(size=s) * max(s) ** -0.5).astype(dtype) for s in symmetry.shapes])


def used(function, arrays) -> tuple[list[bool], Any]:
    """Which of a list of arrays a function reads, and what it gives."""
    traced = jax.make_jaxpr(function)(arrays)
    return partial_eval.dce_jaxpr(traced.jaxpr, [True] * len(traced.out_avals))[1], traced.out_avals[0]
