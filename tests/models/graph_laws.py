"""What both readers of graphs are proved on: architectures, and the law of padding."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from tests.models.drawn import drawn
from tests.models.specs import SKIP, double, random_weights, stacked_weights
from wsjax.models import Normalizer
from wsjax.models.graph.graph import graph_of
from wsjax.models.graph.padding import pad, union, whole
from wsjax.models.testing import check_invariant, check_parts, check_sensitive
from wsjax.symmetry import Axes, Fixed, Group, Symmetry, mlp, siren, symmetry_of


def convolutional(window: int, channels: int = 3) -> Symmetry:
    """A convolution, a residual one tied to its channels, a dense layer after flattening two pixels."""
    kernel = lambda reads: {"kernel": Axes("row", "column", reads, "c"), "bias": Axes("c", bias=True)}
    return symmetry_of(
        {
            "first": kernel("in"),
            "second": {**kernel("c*"), "scale": Axes("c")},
            "dense": {"kernel": Axes(("pixel", "c*"), "out"), "bias": Axes("out", bias=True)},
        },
        {
            "row": Fixed(window),
            "column": Fixed(window),
            "in": Fixed(2, "input"),
            "c": Group(channels, "tanh"),
            "pixel": Fixed(2),
            "out": Fixed(2, "output"),
        },
    )


KEY = jax.random.key(4)
ARCHITECTURES = {
    "three outputs": siren((2, 4, 3, 3)),
    "one hidden layer": mlp((2, 4, 1)),
    "residual convolutions": convolutional(2),
    "skip": SKIP,
}


def plain(symmetry: Symmetry) -> Normalizer:
    return Normalizer([0.1] * len(symmetry.axes), [0.5] * len(symmetry.axes))


def small(kind: Callable[..., Any], defaults: dict[str, Any]) -> Callable[..., Any]:
    """Makes a reader with these settings, but for those that a call changes."""

    def make(symmetry, normalizer, out_size, **settings):
        return drawn(lambda key: kind(symmetry, out_size, **{**defaults, **settings}, normalizer=normalizer, key=key))

    return make


def check_laws(make: Callable[..., Any], name: str) -> None:
    """The laws of a reader on one of the architectures; test_readers.py holds one to gradients too."""
    symmetry = ARCHITECTURES[name]
    settings = {"skip": {"readout": "graph", "layers": 2, "frequencies": 0}, "one hidden layer": {"layers": 2}}.get(
        name, {}
    )
    reader = make(symmetry, plain(symmetry), 4, **settings)
    assert check_invariant(reader, symmetry, key=KEY) < 1e-10
    assert check_sensitive(reader, symmetry, key=KEY) > 1e-8
    assert check_parts(reader, symmetry, key=KEY) == 0


def padding_difference(make: Callable[..., Any], chain: Symmetry) -> float:
    """The largest between networks alone and padded to a union of depths, widths, inputs and kernel sizes."""
    specs = [chain, convolutional(2, 2)]
    graphs = [graph_of(spec) for spec in specs]
    largest = union([*graphs, graph_of(convolutional(3))])
    with jax.enable_x64(True):
        reader = double(make(largest, None, 4))
        networks = [spec.leaves(random_weights(jax.random.key(i), spec)) for i, spec in enumerate(specs)]

        @eqx.filter_jit
        def outputs(reader, networks):
            pairs = list(zip(graphs, networks, strict=True))
            padded = [pad(graph, leaves, largest) for graph, leaves in pairs]
            alone = jnp.stack([reader(whole(graph, leaves)) for graph, leaves in pairs])
            return alone, jax.lax.map(reader, jax.tree.map(lambda *xs: jnp.stack(xs), *padded))

        alone, padded = map(np.asarray, outputs(reader, networks))
        assert alone.dtype == jnp.float64
        assert alone.std(axis=1).min() > 1e-3
        return np.abs(alone - padded).max()


def batch_shape(make: Callable[..., Any]) -> tuple[int, ...]:
    """Of the outputs for one batch of two architectures."""
    specs = [siren((2, 4, 1)), siren((2, 2, 3, 1))]
    graphs = [graph_of(spec) for spec in specs]
    reader = make(union(graphs), None, 4, readout="graph", layers=1, frequencies=0)

    def outputs(networks):
        padded = [
            jax.vmap(lambda w, s=spec, g=graph: pad(g, s.leaves(w), union(graphs)))(stack)
            for spec, graph, stack in zip(specs, graphs, networks, strict=True)
        ]
        return jax.vmap(reader)(jax.tree.map(lambda *xs: jnp.concatenate(xs), *padded))

    return jax.eval_shape(outputs, [stacked_weights(KEY, spec, 3) for spec in specs]).shape
